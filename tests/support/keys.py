"""Key pairs for tests: made anew for every test run, never read from the machine's own accounts."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from transports.base import Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A key pair in OpenSSH's text form. `path` holds the private half, mode 0600."""

    path: Path
    private: bytes = field(repr=False)
    public: str
    passphrase: str | None = None

    @property
    def credential(self) -> Credential:
        """The credential that opens nodes which trust this key."""
        return Credential(private_key=self.private, passphrase=self.passphrase)


def make_key_pair(path: Path, *, algorithm: str = "ssh-ed25519", passphrase: str | None = None) -> KeyPair:
    """Generate a key pair and write its private half to `path`."""
    key = asyncssh.generate_private_key(algorithm)
    private = key.export_private_key("openssh", passphrase)
    path.touch(mode=0o600)
    path.write_bytes(private)
    public = " ".join(key.export_public_key("openssh").decode().split()[:2])
    return KeyPair(path=path, private=private, public=public, passphrase=passphrase)


def make_encrypted_key(path: Path, passphrase: str) -> bytes:
    """A private key in OpenSSH's own encrypted form, made by ssh-keygen: the library needs bcrypt for that."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path.read_bytes()
