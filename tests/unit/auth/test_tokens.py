"""Tokens: what is minted verifies, and nothing else does (contract E-5, A-5)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from api.auth.principal import Role
from api.auth.tokens import InvalidToken, mint, read, sign, verify

SECRET = "a-secret-of-forty-random-characters-1234"
NOW = datetime(2026, 1, 13, 18, 17, tzinfo=UTC)
T = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": "vendetta",
    "aud": "vendetta",
    "sub": "alice",
    "role": "admin",
    "iat": T,
    "exp": T + 600,
    "jti": "one",
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(
    header: Mapping[str, Any], claims: Any = None, *, key: bytes = SECRET.encode(), digest: Any = hashlib.sha256
) -> str:
    """A token made by hand, so that no library keeps us from making a bad one."""
    body = claims if isinstance(claims, bytes) else json.dumps(CLAIMS if claims is None else claims).encode()
    signed = b64(json.dumps(header).encode()) + "." + b64(body)
    return signed + "." + b64(hmac.new(key, signed.encode(), digest).digest())


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in CLAIMS.items() if k != name}


HS256 = {"alg": "HS256", "typ": "JWT"}
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
UNSIGNED = b64(json.dumps(HS256).encode()) + "." + b64(json.dumps(CLAIMS).encode())

ATTACKS: dict[str, str] = {
    "empty": "",
    "one dot": "a.b",
    "no signature": UNSIGNED + ".",
    "four parts": forge(HS256) + ".x",
    "the secret itself": SECRET,
    "huge": forge(HS256, CLAIMS | {"pad": "x" * 10_000}),
    "lone surrogate": forge(HS256)[:-3] + "\ud800",
    "not ASCII": forge(HS256)[:-3] + "é",
    "NUL": forge(HS256) + "\x00",
    "another key": forge(HS256, key=b"another-secret-of-forty-random-characters"),
    "empty key": forge(HS256, key=b""),
    "HS384": forge({"alg": "HS384"}, digest=hashlib.sha384),
    "HS512": forge({"alg": "HS512"}, digest=hashlib.sha512),
    "RS256 named, HMAC made": forge({"alg": "RS256"}),
    "HMAC with a public key": forge(HS256, key=PUBLIC_PEM),
    "alg a number": forge({"alg": 256}),
    "alg a list": forge({"alg": ["HS256"]}),
    "no alg": forge({"typ": "JWT"}),
    "crit unknown": forge({**HS256, "crit": ["exp"], "exp": 1}),
    "crit b64": forge({**HS256, "crit": ["b64"], "b64": False}),
    "b64 false": forge({**HS256, "b64": False}),
    "jwk injected": forge(
        {**HS256, "jwk": {"kty": "oct", "k": b64(b"k" * 32)}},
        key=b"k" * 32,
    ),
    "jku injected": forge({**HS256, "jku": "http://127.0.0.1:1/jwks"}, key=b"k" * 32),
    "x5u injected": forge({**HS256, "x5u": "http://127.0.0.1:1/x.pem"}, key=b"k" * 32),
    "kid path": forge({**HS256, "kid": "../../../../dev/null"}, key=b""),
    "kid SQL": forge({**HS256, "kid": "x' UNION SELECT 'k'--"}, key=b"k"),
    "kid a list": forge({**HS256, "kid": ["x"]}),
    "expired": forge(HS256, CLAIMS | {"exp": T - 31}),
    "from the future": forge(HS256, CLAIMS | {"iat": T + 31}),
    "nbf in the future": forge(HS256, CLAIMS | {"nbf": T + 31}),
    "exp a text": forge(HS256, CLAIMS | {"exp": str(T + 600)}),
    "exp a float": forge(HS256, CLAIMS | {"exp": T + 600.5}),
    "exp true": forge(HS256, CLAIMS | {"exp": True}),
    "exp NaN": forge(HS256, json.dumps(CLAIMS | {"exp": float("nan")}).encode()),
    "exp infinite": forge(HS256, json.dumps(CLAIMS | {"exp": float("inf")}).encode()),
    "exp beyond all": forge(HS256, CLAIMS | {"exp": 10**30}),
    "exp null": forge(HS256, CLAIMS | {"exp": None}),
    "iss wrong": forge(HS256, CLAIMS | {"iss": "other"}),
    "iss a list": forge(HS256, CLAIMS | {"iss": ["vendetta"]}),
    "aud wrong": forge(HS256, CLAIMS | {"aud": "other"}),
    "aud a list": forge(HS256, CLAIMS | {"aud": ["vendetta", "other"]}),
    "sub empty": forge(HS256, CLAIMS | {"sub": ""}),
    "sub a number": forge(HS256, CLAIMS | {"sub": 1}),
    "sub with a line feed": forge(HS256, CLAIMS | {"sub": "alice\nadmin"}),
    "jti empty": forge(HS256, CLAIMS | {"jti": ""}),
    "role unknown": forge(HS256, CLAIMS | {"role": "root"}),
    "role upper case": forge(HS256, CLAIMS | {"role": "ADMIN"}),
    "role a list": forge(HS256, CLAIMS | {"role": ["admin"]}),
    "role node without a node": forge(HS256, CLAIMS | {"role": "node"}),
    "node with another role": forge(HS256, CLAIMS | {"node": "uid"}),
    "claims a list": forge(HS256, [CLAIMS]),
    "claims not JSON": forge(HS256, b"{"),
    "claims nested deeply": forge(HS256, b"[" * 1500 + b"]" * 1500),
    "a stream ticket": sign(without("aud"), SECRET, audience="vendetta/stream-ticket"),
}
ATTACKS |= {
    f"alg {alg!r}": b64(json.dumps({"alg": alg}).encode()) + "." + UNSIGNED.split(".")[1] + "."
    for alg in ("none", "None", "nOnE", "NONE", "", None)
}
ATTACKS |= {f"{name} missing": forge(HS256, without(name)) for name in CLAIMS}


def test_a_hand_made_token_that_is_right_counts() -> None:
    """E-5: the table below fails for the reason that each line names, and not because every forgery does."""
    assert verify(forge(HS256), SECRET, NOW).name == "alice"


@pytest.mark.parametrize("token", ATTACKS.values(), ids=ATTACKS.keys())
def test_no_attack_gets_past(token: str) -> None:
    """E-5: whatever is wrong with a token, InvalidToken is all that comes out."""
    with pytest.raises(InvalidToken):
        verify(token, SECRET, NOW)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_what_is_minted_verifies(role: Role) -> None:
    """E-5: all claims come back."""
    principal = verify(mint(SECRET, subject="bob", role=role, expiry_seconds=60, now=NOW), SECRET, NOW)
    assert (principal.name, principal.role, principal.node_uid, principal.expires) == ("bob", role, None, T + 60)
    assert principal.token_id


def test_a_nodes_token_carries_its_uid() -> None:
    """E-5: role node names the one node it acts for."""
    token = mint(SECRET, subject="node", role=Role.NODE, node="uid-1", expiry_seconds=60, now=NOW)
    assert verify(token, SECRET, NOW).node_uid == "uid-1"


@pytest.mark.parametrize(
    ("role", "node", "expiry"), [(Role.NODE, None, 60), (Role.ADMIN, "uid", 60), (Role.ADMIN, None, 0)]
)
def test_a_token_that_would_not_count_is_not_minted(role: Role, node: str | None, expiry: int) -> None:
    """E-5: the mistake is told where it is made."""
    with pytest.raises(ValueError, match="token"):
        mint(SECRET, subject="x", role=role, node=node, expiry_seconds=expiry, now=NOW)


def test_clocks_may_differ_a_little() -> None:
    """E-5: at most 30 seconds of leeway, both ways."""
    token = mint(SECRET, subject="x", role=Role.VIEWER, expiry_seconds=60, now=NOW)
    assert verify(token, SECRET, NOW - timedelta(seconds=5)).name == "x"
    assert verify(token, SECRET, NOW + timedelta(seconds=65)).name == "x"
    with pytest.raises(InvalidToken):
        verify(token, SECRET, NOW + timedelta(seconds=91))


def test_two_tokens_are_never_the_same() -> None:
    """E-5: the jti tells them apart, so that one can be revoked."""
    a, b = (mint(SECRET, subject="x", role=Role.VIEWER, expiry_seconds=60, now=NOW) for _ in range(2))
    assert verify(a, SECRET, NOW).token_id != verify(b, SECRET, NOW).token_id


def test_an_empty_secret_verifies_nothing() -> None:
    """A-9: an HMAC with an empty key is one that everybody can make."""
    with pytest.raises(InvalidToken):
        verify(forge(HS256, key=b""), "", NOW)


def test_a_bearer_token_is_no_ticket() -> None:
    """E-5: the audiences keep tickets, cookies and tokens apart."""
    with pytest.raises(InvalidToken):
        read(forge(HS256), SECRET, NOW, audience="vendetta/stream-ticket")
