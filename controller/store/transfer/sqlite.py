"""A SQLite store as a source and as a target."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager

from controller.store.base import Unavailable
from controller.store.migrations import check_applied
from controller.store.sqlite.file import DatabaseFile, path_of
from controller.store.sqlite.migrate import known, migrate, read_applied
from controller.store.sqlite.transaction import transaction
from controller.store.transfer.records import (
    Header,
    Record,
    StoredChange,
    StoredChunk,
    StoredLog,
    StoredObject,
    TransferError,
    batches,
)


@asynccontextmanager
async def open_source(dsn: str) -> AsyncIterator["SQLiteSource"]:
    """A store to read. No server can take it meanwhile; one that has it goes on. Raises TransferError."""
    with _translated(dsn), ExitStack() as stack:
        file, live = DatabaseFile(path_of(dsn)), False
        if not file.path.is_file():
            raise TransferError(f"there is no store at {file.path}")
        connection = stack.enter_context(closing(file.connect_to_read()))
        check_applied(read_applied(connection), known())
        try:
            file.acquire()
            stack.callback(file.release)
        except Unavailable:
            live = True
        with transaction(connection, "BEGIN"):
            yield SQLiteSource(connection, live=live)


@asynccontextmanager
async def open_target(dsn: str) -> AsyncIterator["SQLiteTarget"]:
    """A file that is not there yet, or holds an empty store that no server uses. Raises TransferError."""
    with _translated(dsn), ExitStack() as stack:
        file = DatabaseFile(path_of(dsn))
        is_new = not file.path.exists()
        file.acquire()
        stack.callback(file.release)
        if is_new:
            stack.push(lambda kind, *_: file.path.unlink() if kind is not None else None)
        connection = stack.enter_context(closing(file.connect()))
        # All is one transaction, which a write-ahead log would hold twice. The server turns to that by itself.
        connection.execute("PRAGMA journal_mode = DELETE")
        migrate(connection, known())
        with transaction(connection):
            for table in ("objects", "history", "logs"):
                if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():  # noqa: S608 - constants
                    raise TransferError(f"the store at {file.path} is not empty: name a new file")
            yield SQLiteTarget(connection)


class SQLiteSource:
    """A file, open, in a transaction."""

    def __init__(self, connection: sqlite3.Connection, *, live: bool = False) -> None:
        self._connection = connection
        self.live = live

    async def header(self) -> Header:
        """What it is."""
        meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        (newest,) = self._connection.execute("SELECT max(revision) FROM history").fetchone()
        if "uid" not in meta:
            raise TransferError("nothing was ever stored there")
        compacted = int(meta["compacted"])
        return Header(uid=meta["uid"], revision=newest or compacted, compacted=compacted)

    async def records(self) -> AsyncIterator[Record]:
        """All that it holds."""
        for record in self._read():
            yield record

    def _read(self) -> Iterator[Record]:
        select = self._connection.execute
        for kind, name, schema, body in select("SELECT kind, name, schema, body FROM objects ORDER BY kind, name"):
            yield StoredObject(kind=kind, name=name, schema=schema, body=_bytes(body))
        for revision, type_, kind, name, at, announce, schema, body in select(
            "SELECT revision, type, kind, name, at, announce, schema, body FROM history "
            "WHERE revision > (SELECT value FROM meta WHERE key = 'compacted') ORDER BY revision"
        ):
            yield StoredChange(
                revision=revision,
                type=type_,
                kind=kind,
                name=name,
                at=at,
                announce=announce,
                schema=schema,
                body=_bytes(body),
            )
        for log, command, out, err in select(
            "SELECT id, command, stdout, stderr FROM logs WHERE command IS NOT NULL ORDER BY command"
        ):
            yield StoredLog(command=command, stdout=out, stderr=err)
            for position, stream, start, at, data in select(
                "SELECT position, stream, start, at, data FROM output WHERE log = ? ORDER BY position", (log,)
            ):
                yield StoredChunk(position=position, stream=stream, start=start, at=at, data=data)


class SQLiteTarget(SQLiteSource):
    """The same, to be filled."""

    async def fill(self, header: Header, records: AsyncIterator[Record]) -> None:
        """Insert it all."""
        self._connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('uid', ?), ('compacted', ?)", (header.uid, header.compacted)
        )
        log = 0
        async for batch in batches(records):
            if isinstance(batch[0], StoredLog):
                log = self._insert_log(batch[0])
            else:
                self._insert(batch, log)

    def _insert_log(self, record: StoredLog) -> int:
        cursor = self._connection.execute(
            "INSERT INTO logs (command, stdout, stderr) VALUES (?, ?, ?)",
            (record.command, record.stdout, record.stderr),
        )
        return int(cursor.lastrowid or 0)

    def _insert(self, batch: Sequence[Record], log: int) -> None:
        many = self._connection.executemany
        many(
            "INSERT INTO objects (kind, name, schema, body) VALUES (?, ?, ?, ?)",
            [(r.kind, r.name, r.schema, r.body) for r in batch if isinstance(r, StoredObject)],
        )
        many(
            "INSERT INTO history (revision, type, kind, name, at, announce, schema, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (r.revision, r.type, r.kind, r.name, r.at, r.announce, r.schema, r.body)
                for r in batch
                if isinstance(r, StoredChange)
            ],
        )
        many(
            "INSERT INTO output (log, position, stream, start, at, data) VALUES (?, ?, ?, ?, ?, ?)",
            [(log, r.position, r.stream, r.start, r.at, r.data) for r in batch if isinstance(r, StoredChunk)],
        )


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


@contextmanager
def _translated(dsn: str) -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise TransferError(str(error)) from error
    except (sqlite3.Error, OSError) as error:
        raise TransferError(f"the store at {dsn}: {error}") from error
