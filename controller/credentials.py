"""Secrets by reference: files in the credentials directory, read at delivery and never stored (contract E-8).

`<dir>/<ref>` is either a file with a private key (`<ref>-cert.pub` beside it is its certificate), or a folder with
files named as in Kubernetes' Secrets: `ssh-privatekey`, `ssh-certificate`, `passphrase`, `password`, `token`, and
for TLS `tls.key`, `tls.crt` (a client certificate) and `ca.crt` (whom to trust).

Values for commands' environments lie apart, in `<dir>/env/<ref>`: whoever may send commands may read those, and
must not be able to read a key that opens a node.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from transports.base import Credential
from transports.errors import AuthFailed

LIMIT = 64 * 1024
VALUES = "env"
BESIDE = "-cert.pub"
CertificateKind = Literal["ssh", "tls", "authority"]
CERTIFICATES: Final[Mapping[CertificateKind, str]] = {
    "ssh": "ssh-certificate",
    "tls": "tls.crt",
    "authority": "ca.crt",
}
"""Certificates in a credential's folder: for logging in over SSH, for TLS, and of whom to trust."""


class Credentials:
    """The credentials directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, ref: str) -> Credential:
        """Read one credential. Raises AuthFailed with a message that names the reference, never a path or content."""
        path = self._path(ref)
        if path.is_dir():
            return Credential(
                private_key=_optional(path / "ssh-privatekey", ref) or _optional(path / "tls.key", ref),
                certificate=_optional(path / "ssh-certificate", ref) or _optional(path / "tls.crt", ref),
                passphrase=_line(path / "passphrase", ref),
                password=_line(path / "password", ref),
                token=_line(path / "token", ref),
                authority=_optional(path / "ca.crt", ref),
            )
        if not path.is_file():
            raise AuthFailed(
                f"there is no credential {ref!r}: put a private key (mode 0600) under that name into the server's "
                "credentials directory (transports.credentials_dir)"
            )
        certificate = _optional(path.with_name(path.name + BESIDE), ref)
        return Credential(private_key=_read(path, ref), certificate=certificate)

    def certificates(self) -> Iterator[tuple[str, CertificateKind, bytes]]:
        """Every certificate that there is and that can be read: the credential's name, the kind, the content."""
        for place in self._places():
            if place.name.endswith(BESIDE):
                yield from _readable(place, place.name.removesuffix(BESIDE), "ssh")
            elif place.name != VALUES:
                for kind, name in CERTIFICATES.items():
                    yield from _readable(place / name, place.name, kind)

    def _places(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except OSError:
            return []

    def secret(self, ref: str) -> str:
        """The text of a value for an environment variable. Raises AuthFailed."""
        path = self._path(ref, VALUES)
        if not path.is_file():
            raise AuthFailed(
                f"there is no value {ref!r} for commands: put it into the credentials directory as env/{ref}"
            )
        return _read(path, ref).decode(errors="replace").removesuffix("\n")

    def _path(self, ref: str, within: str = "") -> Path:
        if not ref or ref in {".", ".."} or "/" in ref or "\x00" in ref:
            raise AuthFailed(f"{ref!r} is not the name of a credential: it is one file name, without folders")
        return self._folder / within / ref


def _read(path: Path, ref: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise AuthFailed(
            f"credential {ref!r} cannot be read ({error.strerror}): check the file's owner and mode"
        ) from error
    if len(content) > LIMIT:
        raise AuthFailed(f"credential {ref!r} is larger than {LIMIT} bytes: that is no key")
    return content


def _optional(path: Path, ref: str) -> bytes | None:
    return _read(path, ref) if path.is_file() else None


def _readable(path: Path, ref: str, kind: CertificateKind) -> Iterator[tuple[str, CertificateKind, bytes]]:
    try:
        content = _optional(path, ref)
    except (AuthFailed, OSError):  # it may not even be looked at: a volume's lost+found is root's
        return
    if content is not None:
        yield ref, kind, content


def _line(path: Path, ref: str) -> str | None:
    content = _optional(path, ref)
    return None if content is None else content.decode(errors="replace").removesuffix("\n")
