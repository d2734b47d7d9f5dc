"""Is this the machine that we meant? The host key policies of contract E-7 as one pure object."""

from collections.abc import Iterable

import asyncssh

from transports.base import Endpoint, HostKeyPolicy
from transports.errors import CredentialRebindRequired, EndpointInvalid, HostKeyMismatch
from transports.ssh.algorithms import HOST_KEYS

_CA_MARK = "@cert-authority"
_CERTIFICATE = "-cert-v01@openssh.com"
_SIGNED_WITH = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""RSA keys are called ssh-rsa but must sign with SHA-2."""


def public_line(key: asyncssh.SSHKey) -> str:
    """A key as an OpenSSH public key line, `ssh-ed25519 AAAA…`, without a comment."""
    return " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])


def fingerprint(key: asyncssh.SSHKey) -> str:
    """A key's fingerprint as `ssh-keygen -l` prints it, `SHA256:…`."""
    return key.get_fingerprint()


class HostKeys:
    """What one connection accepts as a host key, and what it was shown.

    `pinned` are public key lines; `@cert-authority` in front of one makes it the key of an authority that
    signs host keys. The key that was shown last is `presented`, whether it was accepted or not. `bound` is the one
    key that the credential may be shown to, whatever is trusted.
    """

    def __init__(self, policy: HostKeyPolicy, pinned: Iterable[str], bound: str | None = None) -> None:
        self.policy = policy
        self.presented: asyncssh.SSHKey | None = None
        self.unbound = False
        """The key presented is trusted, and the credential is bound to another one."""
        self._keys: list[asyncssh.SSHKey] = []
        self._authorities: list[asyncssh.SSHKey] = []
        self._bound = _read(bound) if bound is not None else None
        for line in map(str.strip, pinned):
            keys = self._authorities if line.startswith(_CA_MARK) else self._keys
            keys.append(_read(line.removeprefix(_CA_MARK).strip()))

    @property
    def pinned(self) -> bool:
        """Whether anything at all is pinned."""
        return bool(self._keys or self._authorities)

    @property
    def algorithms(self) -> list[str]:
        """Host key algorithms to ask for: pinned types first, so that a server shows the key we know."""
        by_authority = self._authorities and self._bound is None
        certified = [name + _CERTIFICATE for name in HOST_KEYS] if by_authority else []
        first = [self._bound] if self._bound is not None else []
        known = [name for key in (*first, *self._keys) for name in _signed_with(key)]
        return list(dict.fromkeys([*certified, *known, *HOST_KEYS]))

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether to go on with this key."""
        self.presented = key
        trusted = self._trusts(key)
        self.unbound = trusted and self._bound is not None and key != self._bound
        return trusted and not self.unbound

    def _trusts(self, key: asyncssh.SSHKey) -> bool:
        if self.policy is HostKeyPolicy.INSECURE:
            return True
        if self.policy is HostKeyPolicy.ACCEPT_NEW and not self.pinned:
            return True
        return key in self._keys

    def accepts_authority(self, key: asyncssh.SSHKey) -> bool:
        """Whether host keys signed by this key are good. The library checks the certificate itself."""
        self.presented = key
        return key in self._authorities

    def refused(self, endpoint: Endpoint, where: str) -> HostKeyMismatch | CredentialRebindRequired:
        """Why the key presented was not accepted: it is not trusted, or the credential is bound to another one."""
        if not self.unbound or self._bound is None or self.presented is None:
            return self.mismatch(where)
        return CredentialRebindRequired(
            node=endpoint.node,
            credential=endpoint.credential_ref,
            bound_to=[f"{endpoint.place} ({fingerprint(self._bound)})"],
            place=endpoint.place,
            presented=public_line(self.presented),
        )

    def mismatch(self, place: str) -> HostKeyMismatch:
        """Why the key presented was not accepted, and what to do about it."""
        line = public_line(self.presented) if self.presented else ""
        mark = fingerprint(self.presented) if self.presented else ""
        return HostKeyMismatch(self._explanation(place, mark), presented=line, fingerprint=mark)

    def _explanation(self, place: str, mark: str) -> str:
        shown = f"it presented {mark}" if mark else "it presented a key or certificate that could not be verified"
        if not self.pinned:
            return (
                f"the host key of {place} is not known and the policy is strict: {shown}; compare that with the "
                "node's own key, then pin it with `vendetta node trust`, in spec.transport.hostKeys or in known_hosts"
            )
        known = ", ".join(fingerprint(key) for key in [*self._keys, *self._authorities])
        return (
            f"the host key of {place} is not the trusted one: {shown}, trusted is {known}; if the node was "
            "reinstalled, accept the new key with `vendetta node trust`, otherwise somebody may be in between"
        )


def _read(line: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(line)
    except ValueError as exc:
        raise EndpointInvalid(
            f"cannot read the pinned host key {line[:40]!r}: {exc}; "
            "expected a public key line such as `ssh-ed25519 AAAA…`"
        ) from exc


def _signed_with(key: asyncssh.SSHKey) -> tuple[str, ...]:
    name = key.get_algorithm()
    return _SIGNED_WITH.get(name, (name,))


def host_keys_of(endpoint: Endpoint) -> HostKeys:
    """The policy of an endpoint. Raises `EndpointInvalid` for an unreadable pin."""
    return HostKeys(endpoint.host_key_policy, endpoint.host_keys, endpoint.bound_host_key)
