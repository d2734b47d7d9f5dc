"""A PostgreSQL store as a source and as a target."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from controller.store.base import Unavailable
from controller.store.migrations import check_applied
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, sentence
from controller.store.postgres.migrate import known, migrate, read_applied
from controller.store.postgres.rows import HISTORY_SPAN, LOG_SPAN, ensure_partition
from controller.store.sqlite.rows import from_stamp, to_stamp
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

_FETCH: Final = 256
_MEMBERS: Final = 2
"""The migration that made what tells of servers."""
_PATIENT: Final = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
"""This transaction lasts as long as it lasts, and waits for the other side of the transfer."""


@asynccontextmanager
async def open_source(dsn: str) -> AsyncIterator["PostgresSource"]:
    """A store, in one snapshot; servers that use it go on. Raises TransferError."""
    async with (
        _connected(dsn) as (database, connection),
        database.transaction(connection, "REPEATABLE READ, READ ONLY"),
    ):
        await connection.execute(_PATIENT)
        if await connection.fetchval("SELECT to_regclass('migrations')") is None:
            raise TransferError(f"there is no store in the schema {database.schema!r}")
        applied = await read_applied(connection)
        check_applied(applied, known())
        yield PostgresSource(connection, live=await _is_used(connection, max(applied)))


@asynccontextmanager
async def open_target(dsn: str) -> AsyncIterator["PostgresTarget"]:
    """A schema that is not there yet, or holds an empty store that no server uses. Raises TransferError."""
    async with _connected(dsn) as (database, connection):
        await migrate(connection, database, known())
        async with database.transaction(connection):
            await connection.execute(_PATIENT)
            await connection.execute("LOCK TABLE head IN ACCESS EXCLUSIVE MODE")
            if await _is_used(connection, known()[-1].number):
                raise TransferError(f"a server uses the schema {database.schema!r}: stop it, or name another one")
            if await connection.fetchval("SELECT revision > 0 OR EXISTS (SELECT FROM objects) FROM head"):
                raise TransferError(f"the store in the schema {database.schema!r} is not empty: name another one")
            yield PostgresTarget(connection)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[tuple[Database, asyncpg.Connection]]:
    try:
        database = Database.of(dsn)
        connection = await database.connect()
        try:
            yield database, connection
        finally:
            connection.terminate()
    except Unavailable as error:
        raise TransferError(str(error)) from error
    except FAILURES as error:
        raise TransferError(f"the store in PostgreSQL: {sentence(error)}") from error


async def _is_used(connection: asyncpg.Connection, newest: int) -> bool:
    """Whether a server has given a sign of life lately, in a schema of that version."""
    if newest < _MEMBERS:
        return False
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM members WHERE expires > now())"))


class PostgresSource:
    """A connection in a transaction."""

    def __init__(self, connection: asyncpg.Connection, *, live: bool = False) -> None:
        self._connection = connection
        self.live = live

    async def header(self) -> Header:
        """What it is."""
        row = await self._connection.fetchrow("SELECT uid, revision, compacted FROM head")
        if row is None:
            raise TransferError("nothing was ever stored there, or the database was emptied")
        return Header(**dict(row))

    async def records(self) -> AsyncIterator[Record]:
        """All that it holds."""
        cursor = self._connection.cursor
        objects = "SELECT kind, name, schema, body FROM objects ORDER BY kind, name"
        async for row in cursor(objects, prefetch=_FETCH):
            yield StoredObject(**dict(row))
        history = (
            "SELECT revision, type, kind, name, at, announce, schema, body FROM history "
            "WHERE revision > (SELECT compacted FROM head) ORDER BY revision"
        )
        async for row in cursor(history, prefetch=_FETCH):
            yield StoredChange(**dict(row) | {"at": to_stamp(row["at"])})
        logs = "SELECT id, command, stdout, stderr FROM logs WHERE command IS NOT NULL ORDER BY command"
        async for log in cursor(logs, prefetch=_FETCH):
            yield StoredLog(command=log["command"], stdout=log["stdout"], stderr=log["stderr"])
            output = "SELECT position, stream, start, at, data FROM output WHERE log = $1 ORDER BY position"
            async for row in cursor(output, log["id"], prefetch=_FETCH):
                yield StoredChunk(**dict(row) | {"at": to_stamp(row["at"])})


class PostgresTarget(PostgresSource):
    """The same, to be filled."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        super().__init__(connection)
        self._bytes = 0
        self._partitions: set[tuple[str, int]] = set()

    async def fill(self, header: Header, records: AsyncIterator[Record]) -> None:
        """Copy it all in."""
        log = 0
        async for batch in batches(records):
            if isinstance(batch[0], StoredLog):
                log = await self._insert_log(batch[0])
            else:
                await self._insert(batch, log)
        await self._connection.execute(
            "UPDATE head SET uid = $1, revision = $2, compacted = $3, appended = 1, bytes = $4",
            header.uid,
            header.revision,
            header.compacted,
            self._bytes,
        )

    async def _insert_log(self, record: StoredLog) -> int:
        log = await self._connection.fetchval(
            "INSERT INTO logs (command, stdout, stderr, changed) VALUES ($1, $2, $3, 1) RETURNING id",
            record.command,
            record.stdout,
            record.stderr,
        )
        await self._ensure_partition("output", LOG_SPAN, log)
        return int(log)

    async def _insert(self, batch: Sequence[Record], log: int) -> None:
        match batch:
            case [StoredObject(), *_]:
                await self._copy("objects", ("kind", "name", "schema", "body"), batch)
            case [StoredChange(), *_]:
                await self._insert_history([record for record in batch if isinstance(record, StoredChange)])
            case [StoredChunk(), *_]:
                rows = [
                    (log, r.position, r.stream, r.start, from_stamp(r.at), r.data)
                    for r in batch
                    if isinstance(r, StoredChunk)
                ]
                columns = ["log", "position", "stream", "start", "at", "data"]
                await self._connection.copy_records_to_table("output", records=rows, columns=columns)

    async def _insert_history(self, changes: Sequence[StoredChange]) -> None:
        rows = []
        for change in changes:
            await self._ensure_partition("history", HISTORY_SPAN, change.revision)
            self._bytes += len(change.body)
            rows.append(
                (
                    change.revision,
                    change.type,
                    change.kind,
                    change.name,
                    from_stamp(change.at),
                    change.announce,
                    change.schema,
                    self._bytes,
                    change.body,
                )
            )
        columns = ["revision", "type", "kind", "name", "at", "announce", "schema", "bytes", "body"]
        await self._connection.copy_records_to_table("history", records=rows, columns=columns)

    async def _copy(self, table: str, columns: Sequence[str], batch: Sequence[Record]) -> None:
        rows = [tuple(getattr(record, column) for column in columns) for record in batch]
        await self._connection.copy_records_to_table(table, records=rows, columns=list(columns))

    async def _ensure_partition(self, table: str, span: int, number: int) -> None:
        if (table, number // span) not in self._partitions:
            await ensure_partition(self._connection, table, span, number)
            self._partitions.add((table, number // span))
