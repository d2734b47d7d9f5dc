"""Keys are parsed once; what cannot be used is an `AuthFailed` that names the place and no secret."""

import asyncio
import random
from pathlib import Path

import asyncssh
import pytest

from tests.support.keys import make_encrypted_key
from transports.base import Credential
from transports.errors import AuthFailed
from transports.ssh.credentials import Identities

KEY = asyncssh.generate_private_key("ssh-ed25519")
PRIVATE = KEY.export_private_key("openssh")


async def parse(**parts: object) -> object:
    return await Identities().get(Credential(**parts), "node 'n'")  # type: ignore[arg-type]


async def refusal(private_key: bytes) -> str:
    """All that an `AuthFailed` for this key says, its chain of causes included; empty when the key is good."""
    try:
        await parse(private_key=private_key, passphrase="pw")
    except AuthFailed as exc:
        return f"{exc} {exc.__cause__ or ''}"
    return ""


async def test_the_same_content_is_parsed_once() -> None:
    identities = Identities()
    one = await identities.get(Credential(private_key=PRIVATE), "a")
    assert await identities.get(Credential(private_key=bytes(PRIVATE)), "b") is one
    identities.clear()
    assert await identities.get(Credential(private_key=PRIVATE), "a") is not one


async def test_a_credential_without_a_key_is_no_identity() -> None:
    assert await parse(password="x") is None


@pytest.mark.parametrize("form", ["openssh", "pkcs8-pem", "pkcs1-pem"])
async def test_keys_in_every_usual_form_are_read(form: str) -> None:
    key = asyncssh.generate_private_key("ssh-rsa")
    assert await parse(private_key=key.export_private_key(form)) is not None


async def test_an_encrypted_key_needs_its_own_passphrase() -> None:
    encrypted = KEY.export_private_key("pkcs8-pem", "s3cret")
    assert await parse(private_key=encrypted, passphrase="s3cret") is not None
    with pytest.raises(AuthFailed, match="node 'n' is encrypted; put its passphrase"):
        await parse(private_key=encrypted)
    with pytest.raises(AuthFailed, match="could not be decrypted; check the passphrase") as refused:
        await parse(private_key=encrypted, passphrase="wr0ng")
    assert "wr0ng" not in str(refused.value)


async def test_an_encrypted_key_in_openssh_form(tmp_path: Path) -> None:
    pytest.importorskip("bcrypt")
    encrypted = await asyncio.to_thread(make_encrypted_key, tmp_path / "key", "s3cret")
    assert await parse(private_key=encrypted, passphrase="s3cret") is not None
    with pytest.raises(AuthFailed, match="could not be decrypted"):
        await parse(private_key=encrypted, passphrase="wr0ng")


@pytest.mark.parametrize(
    "garbage", [b"", b"garbage", b"\0\xff" * 99, PRIVATE[:-40], PRIVATE[:60], b"ssh-ed25519 AAAA x"]
)
async def test_garbage_is_an_authentication_failure(garbage: bytes) -> None:
    with pytest.raises(AuthFailed, match="the private key for node 'n' cannot be read"):
        await parse(private_key=garbage)


async def test_a_damaged_key_never_raises_anything_else_nor_shows_itself() -> None:
    dice = random.Random(7)
    for source in (PRIVATE, KEY.export_private_key("pkcs8-pem"), KEY.export_private_key("pkcs8-pem", "pw")):
        for _ in range(300):
            damaged = bytearray(source)
            for _ in range(dice.randint(1, 4)):
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            said = await refusal(bytes(damaged))
            assert source.splitlines()[1].decode()[:20] not in said


async def test_a_certificate_must_be_readable_and_belong_to_the_key() -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    certificate = authority.generate_user_certificate(KEY.convert_to_public(), "me").export_certificate()
    identity = await Identities().get(Credential(private_key=PRIVATE, certificate=certificate), "n")
    assert identity is not None
    assert [pair.has_cert for pair in identity.key_pairs()] == [True, False]
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh")
    with pytest.raises(AuthFailed, match="belongs to another key"):
        await parse(private_key=other, certificate=certificate)
    with pytest.raises(AuthFailed, match="certificate in the credential for node 'n' cannot be read"):
        await parse(private_key=PRIVATE, certificate=b"nonsense")


def test_no_secret_is_in_a_credentials_own_text() -> None:
    text = repr(Credential(private_key=b"s3cret", passphrase="s3cret", password="s3cret", certificate=b"s3cret"))
    assert "s3cret" not in text
