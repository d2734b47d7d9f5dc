"""An OpenSSH known_hosts file: which host keys (and authorities) it trusts for an address."""

from pathlib import Path

import asyncssh

from transports.ssh.hostkeys import public_line


class KnownHosts:
    """Reads the file again when it has changed, so that an added host needs no restart."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._hosts: asyncssh.SSHKnownHosts | None = None

    def __call__(self, address: str, port: int) -> tuple[str, ...]:
        """Trusted keys as public key lines; none when there is no such file. Revoked keys are left out.

        Raises ValueError for a file that cannot be read as known_hosts.
        """
        hosts = self._current()
        if hosts is None:
            return ()
        keys, authorities, revoked, *_ = hosts.match(address, address, None if port == 22 else port)
        refused = {public_line(key) for key in revoked}
        lines = [public_line(key) for key in keys]
        lines += [f"@cert-authority {public_line(key)}" for key in authorities]
        return tuple(line for line in lines if line not in refused)

    def _current(self) -> asyncssh.SSHKnownHosts | None:
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._read_at:
            self._hosts = asyncssh.read_known_hosts(str(self._path))
            self._read_at = stamp
        return self._hosts
