"""Reading what memory does not hold: output and old history, on a thread of its own that can only read."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from controller.resources.scheme import SchemaTooNew, decode
from controller.store.base import Change, ChangeType, Chunk, Expired, Stream, Unavailable
from controller.store.chunks import cut
from controller.store.history import Interest
from controller.store.sqlite.file import DatabaseFile
from controller.store.sqlite.load import read_compacted
from controller.store.sqlite.rows import from_stamp
from controller.store.sqlite.transaction import transaction

T = TypeVar("T")


class Reader:
    """A read-only connection and its thread."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-reader")

    async def output(self, uid: str, stream: Stream | None, offset: int, limit: int) -> Sequence[Chunk]:
        """A command's output from `offset` in one of its views, at most `limit` bytes."""
        return await self._run(lambda connection: read_output(connection, uid, stream, offset, limit))

    async def history(self, interest: Interest, since: int, upto: int, limit: int) -> Sequence[Change]:
        """At most `limit` changes of interest after `since` and up to `upto`. Raises Expired."""
        return await self._run(lambda connection: read_history(connection, interest, since, upto, limit))

    async def aclose(self) -> None:
        """Finish reads under way, then close."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, read)

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._file.connect_to_read()
            return read(self._connection)
        except sqlite3.Error as error:
            raise Unavailable(f"cannot read the store: {error}") from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def read_output(
    connection: sqlite3.Connection, uid: str, stream: Stream | None, offset: int, limit: int
) -> Sequence[Chunk]:
    """At most `limit` bytes from `offset`, found by an index in either view."""
    row = connection.execute("SELECT id FROM logs WHERE command = ?", (uid,)).fetchone()
    if row is None:
        return ()
    place = "position" if stream is None else "start"
    view = "log = ?" if stream is None else "log = ? AND stream = ?"
    which = (row[0],) if stream is None else (row[0], stream)
    rows = connection.execute(
        "SELECT stream, start, position, at, data FROM output "  # noqa: S608 - constants, chosen above
        f"WHERE {view} AND {place} >= coalesce("
        f"(SELECT max({place}) FROM output WHERE {view} AND {place} <= ?), 0) ORDER BY {place}",
        (*which, *which, offset),
    )
    try:
        return cut(_chunks(rows), stream, offset, limit)
    finally:
        rows.close()


def _chunks(rows: sqlite3.Cursor) -> Iterator[Chunk]:
    for stream, start, position, at, data in rows:
        yield Chunk(stream=stream, offset=start, position=position, data=data, at=from_stamp(at))


def read_history(
    connection: sqlite3.Connection, interest: Interest, since: int, upto: int, limit: int
) -> Sequence[Change]:
    """At most `limit` changes of interest after `since` and up to `upto`."""
    # One transaction: what is found is complete, or known not to be.
    with transaction(connection, "BEGIN"):
        compacted = read_compacted(connection)
        if since < compacted:
            raise Expired(f"history after revision {since} is gone: it begins at {compacted} now, list again")
        where, values = _condition(interest)
        rows = connection.execute(
            "SELECT revision, type, kind, at, announce, schema, body FROM history "  # noqa: S608 - constants
            f"WHERE revision > ? AND revision <= ?{where} ORDER BY revision LIMIT ?",
            (since, upto, *values, limit),
        ).fetchall()
    return [_change(*row) for row in rows]


def _change(revision: int, type_: str, kind: str, at: int, announce: str | None, schema: int, body: bytes) -> Change:
    try:
        obj = decode(kind, schema, body)
    except (SchemaTooNew, KeyError, ValueError) as error:
        # The objects that exist could all be read when the store was opened: listing them again will do.
        raise Expired(f"history at revision {revision} cannot be read by this version: list again") from error
    return Change(type=ChangeType(type_), revision=revision, obj=obj, at=from_stamp(at), announce=announce)


def _condition(interest: Interest) -> tuple[str, Sequence[str]]:
    where, values = "", []
    if interest.kinds is not None:
        where += f" AND kind IN ({', '.join('?' * len(interest.kinds))})"
        values += sorted(interest.kinds)
    if interest.name is not None:
        where += " AND name = ?"
        values.append(interest.name)
    return where, values
