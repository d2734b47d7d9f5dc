"""What can go wrong between the controller and a node. Foreign exceptions end at the transport.

    TransportError
    ├── Unreachable            may pass by itself: no route, refused, timed out, name not found
    ├── Busy                   the node has no channel free just now: back-pressure, not a failure
    ├── ConnectionLost         a request was under way: it may or may not have arrived
    ├── Refused                stays so until somebody changes something
    │   ├── AuthFailed         no credential was accepted, or it could not be used
    │   ├── HostKeyMismatch    the key presented is not one that is trusted
    │   ├── CredentialRebindRequired  the credential was used for this node at another place
    │   ├── CertificateInvalid the certificate presented does not verify
    │   ├── UnsupportedShell   the login gives no POSIX shell
    │   ├── AddressDenied      the address policy forbids it
    │   └── EndpointInvalid    the endpoint makes no sense for this transport
    └── StartRefused           the node answered: nothing was claimed, nothing ran
        ├── Conflict           the run id is taken by a run with another digest
        ├── NodeStorageFull    no space for the run's files
        └── Rejected           the node will not take this run, however often it is asked

A message says what was attempted, on what, why it failed and what to do. It never holds a secret.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import ClassVar


class TransportError(Exception):
    """Anything a transport reports. `reason` is a CamelCase constant for conditions and results."""

    reason: ClassVar[str] = "TransportError"


class Unreachable(TransportError):
    """The node did not answer; trying again later makes sense. Nothing was sent."""

    reason = "NodeUnreachable"


class Busy(TransportError):
    """The node admits no further channel at the moment. Nothing was sent."""

    reason = "Busy"


class ConnectionLost(TransportError):
    """The connection ended while a request was under way. Whether it arrived is not known."""

    reason = "ConnectionLost"


class Refused(TransportError):
    """A permanent refusal before the start point. Nothing was sent."""

    reason = "Refused"


class AuthFailed(Refused):
    """The node accepted none of the credentials, or the credential could not be read."""

    reason = "AuthFailed"


class HostKeyMismatch(Refused):
    """The host key is not trusted. `presented` is its public key line, `fingerprint` its SHA256 form."""

    reason = "HostKeyMismatch"

    def __init__(self, message: str, *, presented: str = "", fingerprint: str = "") -> None:
        super().__init__(message)
        self.presented = presented
        self.fingerprint = fingerprint


class CredentialRebindRequired(Refused):
    """The credential is bound to another address or host key of this node (contract B-2).

    `presented` is the public key line that was refused; empty when the address alone was reason enough, or when an
    authority vouched for the key.
    """

    reason = "CredentialRebindRequired"

    def __init__(
        self, *, node: str, credential: str, bound_to: Sequence[str], place: str, presented: str = ""
    ) -> None:
        seen = f" ({fingerprint_of(presented)})" if presented else ""
        super().__init__(
            f"credential {credential!r} is bound to {' and '.join(bound_to)} for node {node}, and was not sent to "
            f"{place}{seen}: if that is the node, say `vendetta node trust {node} --credential`"
        )
        self.node, self.credential, self.place, self.presented = node, credential, place, presented


class CertificateInvalid(Refused):
    """The node's TLS certificate does not verify against what is trusted, or is another host's."""

    reason = "CertificateInvalid"


class UnsupportedShell(Refused):
    """The login's shell runs no commands (nologin, false, a menu), or the node lacks a needed tool."""

    reason = "UnsupportedShell"


class AddressDenied(Refused):
    """The address policy forbids connecting there."""

    reason = "AddressDenied"


class EndpointInvalid(Refused):
    """The endpoint lacks or contradicts something, for example a password without a pinned host key."""

    reason = "EndpointInvalid"


class StartRefused(TransportError):
    """The node answered that it did not take the run. Nothing was claimed; delivering again is safe."""

    reason = "StartRefused"


class Conflict(StartRefused):
    """Another run with the same id but another digest holds the claim."""

    reason = "Conflict"


class NodeStorageFull(StartRefused):
    """The node has no room for the run's files."""

    reason = "NodeStorageFull"


class Rejected(StartRefused):
    """The node's agent will not take this run: it lacks what the run asks for, or said no to the request."""

    reason = "Rejected"


def described(exc: BaseException) -> str:
    """What went wrong, in words: its own, or its name where it says nothing."""
    return str(exc) or type(exc).__name__


def printable(text: str, *, limit: int = 200) -> str:
    """A peer's words, safe to show: one line, no control characters, at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def fingerprint_of(key: str) -> str:
    """`SHA256:…` of an OpenSSH public key line, as `ssh-keygen -l` prints it; empty when it is no such line."""
    fields = key.split()
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except (IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
