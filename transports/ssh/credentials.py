"""From the bytes of a credential to keys that can sign.

Parsing is slow (an encrypted key takes a tenth of a second on purpose), so it happens once for each content, in
a thread. Only `AuthFailed` leaves this module, and it never says what was in a key.
"""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import asyncssh
from cryptography.exceptions import UnsupportedAlgorithm

from transports.base import Credential
from transports.errors import AuthFailed
from transports.ssh.hostkeys import fingerprint

_CACHED = 512

_UNREADABLE = (ValueError, TypeError, OverflowError, re.error, UnsupportedAlgorithm)
"""What the library raises for damaged keys. `re.error`: it makes a pattern out of a key's first line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A parsed private key and, if there is one, the certificate for it."""

    key: asyncssh.SSHKey
    certificate: asyncssh.SSHCertificate | None = None

    def key_pairs(self) -> Sequence[asyncssh.SSHKeyPair]:
        """Fresh pairs for one connection: a pair remembers the signature algorithm that its server wants."""
        if self.certificate is None:
            return asyncssh.load_keypairs([self.key])
        return asyncssh.load_keypairs([(self.key, self.certificate)])

    def __str__(self) -> str:
        return f"{self.key.get_algorithm()} {fingerprint(self.key)}"


class Identities:
    """Parsed keys by a hash of their content, at most `_CACHED` of them."""

    def __init__(self) -> None:
        self._parsed: OrderedDict[bytes, Identity] = OrderedDict()

    async def get(self, credential: Credential, place: str) -> Identity | None:
        """The identity in a credential, None if it holds no key. Raises `AuthFailed` naming `place`."""
        if credential.private_key is None:
            return None
        mark = _digest(credential)
        if mark not in self._parsed:
            self._parsed[mark] = await asyncio.to_thread(_parse, credential, place)
            if len(self._parsed) > _CACHED:
                self._parsed.popitem(last=False)
        self._parsed.move_to_end(mark)
        return self._parsed[mark]

    def clear(self) -> None:
        """Forget every key."""
        self._parsed.clear()


def _digest(credential: Credential) -> bytes:
    h = hashlib.sha256()
    for part in (credential.private_key, credential.certificate, (credential.passphrase or "").encode()):
        h.update(hashlib.sha256(part or b"").digest())
    return h.digest()


def _parse(credential: Credential, place: str) -> Identity:
    assert credential.private_key is not None
    try:
        key = asyncssh.import_private_key(credential.private_key, credential.passphrase)
    except _UNREADABLE as exc:
        # Not chained: a library's own words about a key are not known to keep its content to themselves.
        raise AuthFailed(f"the private key for {place} {_fault(credential, str(exc).lower())}") from None
    identity = Identity(key=key, certificate=_certificate(credential, place))
    try:
        identity.key_pairs()
    except ValueError as exc:
        raise AuthFailed(f"the certificate in the credential for {place} belongs to another key") from exc
    return identity


def _fault(credential: Credential, said: str) -> str:
    if "bcrypt" in said:
        return "is encrypted in OpenSSH's own format; install the Python package bcrypt, or convert the key to PKCS#8"
    if credential.passphrase is None and "passphrase" in said:
        return "is encrypted; put its passphrase into the credential"
    if "passphrase" in said or "decrypt" in said:
        return "could not be decrypted; check the passphrase in the credential"
    return (
        "cannot be read: it is no key in OpenSSH or PEM form; "
        "check that the credential holds the whole file, last line included"
    )


def _certificate(credential: Credential, place: str) -> asyncssh.SSHCertificate | None:
    if credential.certificate is None:
        return None
    try:
        return asyncssh.import_certificate(credential.certificate)
    except _UNREADABLE as exc:
        raise AuthFailed(
            f"the certificate in the credential for {place} cannot be read; expected a `…-cert-v01@openssh.com` line"
        ) from exc
