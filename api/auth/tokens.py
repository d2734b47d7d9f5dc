"""Tokens: JSON Web Tokens, signed with one secret by one algorithm (contract E-5).

HS256 is pinned and never taken from the token. Every claim is required and checked for its type: `iss`, `aud`,
`sub`, `role`, `iat`, `exp`, `jti`, and `node` for role node and for no other. Whatever is wrong with a token,
`InvalidToken` is all that comes out. The clock is the caller's, so that time is injected here as everywhere.
"""

import secrets
import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from api.auth.principal import Principal, Role

ALGORITHM: Final = "HS256"
ISSUER: Final = "vendetta"
AUDIENCE: Final = "vendetta"
LEEWAY: Final = 10
"""Seconds by which clocks may differ."""
MAX_LENGTH: Final = 4096
"""Characters of a token; longer ones are refused unread."""
_REQUIRED: Final = ("iss", "aud", "sub", "role", "iat", "exp", "jti")
_ABSURD: Final = 1 << 53

# The start says once that a secret is short; PyJWT would say it for every request.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)


class InvalidToken(Exception):
    """The token does not count. The message is a short reason that a client may be told."""


def mint(
    secret: str, *, subject: str, role: Role, node: str | None = None, expiry_seconds: int, now: datetime
) -> str:
    """Return a new signed token.

    `node` is the node's uid, given exactly for role node. Raises ValueError for claims that `verify` would refuse.
    """
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "sub": subject,
        "role": str(role),
        "iat": issued,
        "exp": issued + expiry_seconds,
        "jti": secrets.token_urlsafe(16),
    }
    if node is not None:
        claims["node"] = node
    try:
        principal_of(claims)
    except InvalidToken as error:
        raise ValueError(f"no such token can be made: {error}") from None
    if expiry_seconds <= 0:
        raise ValueError("a token needs a lifetime above zero")
    return sign(claims, secret)


def verify(token: str, secret: str, now: datetime) -> Principal:
    """Return whom the token speaks for. Raises InvalidToken."""
    return principal_of(read(token, secret, now))


def sign(claims: Mapping[str, Any], secret: str, *, audience: str = AUDIENCE) -> str:
    """Sign claims for one audience."""
    return jwt.encode({"iss": ISSUER, "aud": audience, **claims}, secret, algorithm=ALGORITHM)


def read(token: str, secret: str, now: datetime, *, audience: str = AUDIENCE) -> dict[str, Any]:
    """Return the claims of a token that this server signed for that audience and that counts now.

    Raises InvalidToken.
    """
    if not secret or len(token) > MAX_LENGTH:
        raise InvalidToken("malformed")
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            audience=audience,
            issuer=ISSUER,
            options={
                "require": list(_REQUIRED),
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except Exception:  # a lone surrogate raises UnicodeEncodeError, deep nesting RecursionError, …
        # `from None`: what the library says may hold pieces of the token.
        raise InvalidToken("not a token of this server") from None
    _check_times(claims, now.timestamp())
    return claims


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    issued, expires, not_before = (_seconds(claims, name) for name in ("iat", "exp", "nbf"))
    if expires is None or issued is None or expires <= now - LEEWAY:
        raise InvalidToken("expired")
    if issued > now + LEEWAY or (not_before is not None and not_before > now + LEEWAY):
        raise InvalidToken("not valid yet")


def _seconds(claims: Mapping[str, Any], name: str) -> int | None:
    """Read a time. A float may be NaN, which is neither before nor after anything."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < _ABSURD:
        raise InvalidToken(f"{name} is not a time")
    return value


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """Return whom verified claims speak for. Raises InvalidToken."""
    subject, token_id = _text(claims, "sub"), _text(claims, "jti")
    try:
        role = Role(_text(claims, "role"))
    except ValueError:
        raise InvalidToken("unknown role") from None
    node = _text(claims, "node") if "node" in claims else None
    if (role is Role.NODE) != (node is not None):
        raise InvalidToken("a node's uid belongs to role node, and to no other")
    issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
    return Principal(name=subject, role=role, node_uid=node, token_id=token_id, issued=issued, expires=expires)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise InvalidToken(f"{name} is missing or not a short text")
    return value
