"""The database file: found, locked against a second server, private to its owner, opened in the one right way."""

import fcntl
import os
import sqlite3
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

import structlog

from controller.store.base import Unavailable

APPLICATION_ID = 0x564E4454
"""Marks the file as ours (`VNDT`) in the database header."""

_WAL_RESET_BUG = ((3, 7, 0), (3, 51, 3))
"""https://sqlite.org/wal.html#walresetbug: from the first of these versions up to, but not including, the second."""

_URL = "sqlite:///"

log = structlog.get_logger(__name__)


def path_of(dsn: str) -> Path:
    """The file that a dsn names: a path, `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    path = dsn.removeprefix(_URL)
    if not path or "\0" in path or "://" in path:
        raise Unavailable(f"registry.dsn: {dsn!r} names no SQLite file: use a path or sqlite:////var/lib/vendetta/db")
    return Path(path)


class DatabaseFile:
    """One file. Between `acquire` and `release` no other server can have it."""

    def __init__(self, path: Path) -> None:
        # Two names of one file must lead to one lock.
        self.path = path.expanduser().resolve()
        self._lock: int | None = None

    def acquire(self) -> None:
        """Create what is missing and take the lock. Raises Unavailable at once when it is taken."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            self._make_private()
        except OSError as error:
            self.release()
            raise Unavailable(f"cannot open the store at {self.path}: {error.strerror or error}") from error
        _warn_of_old_library()

    def release(self) -> None:
        """Let another server have it. The lock file stays: removing it would let two servers in at once."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def size(self) -> int:
        """Bytes on disk, with what is not checkpointed yet."""
        sizes = 0
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            with suppress(FileNotFoundError):
                sizes += path.stat().st_size
        return sizes

    def connect(self) -> sqlite3.Connection:
        """The connection that writes and checkpoints. There is one, for one thread."""
        connection = self._connect("rw")
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may take nothing that was acknowledged: WAL alone would be happy with NORMAL.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    def connect_to_read(self) -> sqlite3.Connection:
        """A connection that can only read: it never checkpoints."""
        return self._connect("ro")

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=5,
            isolation_level=None,
            cached_statements=256,
        )
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _take_lock(self) -> None:
        path = self.path.with_name(self.path.name + ".lock")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip()
            self.release()
            raise Unavailable(
                f"the store at {self.path} is in use by another server (process {holder or 'unknown'}): "
                "stop that one, or give this one a file of its own"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _make_private(self) -> None:
        """The file exists, is readable by its owner alone, and its name will survive a power cut."""
        for path in (self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))):
            if path == self.path:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with suppress(FileNotFoundError):
                if path.stat().st_mode & 0o077:
                    path.chmod(0o600)
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@cache
def _warn_of_old_library() -> None:
    """Once a process."""
    first, fixed = _WAL_RESET_BUG
    if first <= sqlite3.sqlite_version_info < fixed:
        log.warning(
            "This SQLite library can corrupt a database that two programs write to at once: "
            "do not open the store's file with another program while the server runs",
            sqlite=sqlite3.sqlite_version,
            fixed_in=".".join(map(str, fixed)),
        )
