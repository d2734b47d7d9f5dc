"""Reading what memory does not hold: output, and old history."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from controller.store.base import Change, Chunk, Expired, Stream, Unavailable
from controller.store.chunks import cut
from controller.store.history import Interest
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, passes, sentence
from controller.store.postgres.mirror import to_change
from controller.store.postgres.rows import read_head

_CONNECTIONS = 4
_ROWS = 256


class Reader:
    """A few connections that only read, made when they are needed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._idle: list[asyncpg.Connection] = []
        self._closed = False

    async def output(self, uid: str, stream: Stream | None, offset: int, limit: int) -> Sequence[Chunk]:
        """A command's output from `offset` in one of its views, at most `limit` bytes."""
        place = "position" if stream is None else "start"
        view = "log = $1" if stream is None else "log = $1 AND stream = $3"
        of_stream = () if stream is None else (stream,)
        async with self._snapshot() as connection:
            log = await connection.fetchval("SELECT id FROM logs WHERE command = $1", uid)
            if log is None:
                return ()
            first = await connection.fetchval(
                f"SELECT max({place}) FROM output WHERE {view} AND {place} <= $2",  # noqa: S608 - constants
                log,
                offset,
                *of_stream,
            )
            chunks: list[Chunk] = []
            read = connection.cursor(
                "SELECT stream, start, position, at, data FROM output "  # noqa: S608 - constants, chosen above
                f"WHERE {view} AND {place} >= $2 ORDER BY {place}",
                log,
                first or 0,
                *of_stream,
                prefetch=_ROWS,
            )
            size = 0
            async for row in read:
                chunks.append(_to_chunk(row))
                size += len(row["data"])
                if size >= limit + len(chunks[0].data):
                    break
        return cut(chunks, stream, offset, limit)

    async def history(self, interest: Interest, since: int, upto: int, limit: int) -> Sequence[Change]:
        """At most `limit` changes of interest after `since` and up to `upto`. Raises Expired."""
        async with self._snapshot() as connection:
            head = await read_head(connection)
            if since < head.compacted:
                raise Expired(
                    f"history after revision {since} is gone: it begins at {head.compacted} now, list again"
                )
            rows = await connection.fetch(
                "SELECT revision, type, kind, at, announce, schema, body FROM history "
                "WHERE revision > $1 AND revision <= $2 AND ($3::text[] IS NULL OR kind = ANY($3)) "
                "AND ($4::text IS NULL OR name = $4) ORDER BY revision LIMIT $5",
                since,
                upto,
                None if interest.kinds is None else sorted(interest.kinds),
                interest.name,
                limit,
            )
        try:
            return [to_change(row) for row in rows]
        except Unavailable as error:
            raise Expired(f"{error}: list again") from error

    def close(self) -> None:
        """Reads under way fail."""
        self._closed = True
        while self._idle:
            self._idle.pop().terminate()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction that sees one moment. Raises Unavailable."""
        if self._is_closed():
            raise Unavailable("the store is closed")
        try:
            connection = await self._take()
            async with self._database.transaction(connection, "REPEATABLE READ, READ ONLY"):
                yield connection
        except FAILURES as error:
            raise Unavailable(f"cannot read the store: {sentence(error)}") from error
        self._idle.append(connection)
        if self._is_closed() or len(self._idle) > _CONNECTIONS:
            self._idle.pop().terminate()

    def _is_closed(self) -> bool:
        return self._closed

    async def _take(self) -> asyncpg.Connection:
        """One that was alive a moment ago: a restarted database must fail no read that a new connection can do."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.execute("SELECT 1")
            except FAILURES as error:
                connection.terminate()
                if not passes(error):
                    raise
            else:
                return connection
        return await self._database.connect()


def _to_chunk(row: asyncpg.Record) -> Chunk:
    return Chunk(stream=row["stream"], offset=row["start"], position=row["position"], data=row["data"], at=row["at"])
