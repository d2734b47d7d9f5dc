"""Dropping what is no longer needed: the history by its limits, output with its commands. Space is freed by dropping
whole partitions, which costs nothing, however many rows they hold."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg

from controller.store.history import HistoryLimits
from controller.store.postgres.database import Database
from controller.store.postgres.fence import Fence
from controller.store.postgres.rows import HISTORY_SPAN, LOG_SPAN, Head

_BITE = 5000
"""Revisions looked at in one step."""
_EVERY = 1.0
_SERVERS_FORGOTTEN = timedelta(days=1)


class Upkeep:
    """Any server may do it, at any time: each step is a transaction of its own that holds the head."""

    def __init__(
        self,
        database: Database,
        fence: Fence,
        limits: HistoryLimits,
        now: Callable[[], datetime],
        compacted: Callable[[int], None],
    ) -> None:
        self._database = database
        self._fence = fence
        self._limits = limits
        self._now = now
        self._compacted = compacted
        self._last = 0.0

    def is_due(self) -> bool:
        """Whether the last time is long enough ago."""
        return time.monotonic() - self._last >= _EVERY

    async def run(self, connection: asyncpg.Connection) -> None:
        """All there is to do."""
        self._last = time.monotonic()
        while await self._compact(connection):
            pass
        async with self._database.transaction(connection):
            await connection.execute("SET LOCAL lock_timeout = '200ms'")
            await self._drop_partitions(connection)
            await connection.execute("DELETE FROM commits WHERE at < now() - $1::interval", _SERVERS_FORGOTTEN)

    async def _compact(self, connection: asyncpg.Connection) -> bool:
        """Forget a bite of history that is too much or too old. Returns whether there may be more."""
        async with self._database.transaction(connection):
            head = await self._fence.head(connection)
            upto = await self._end_of_bite(connection, head)
            if upto > head.compacted:
                await connection.execute("UPDATE head SET compacted = $1", upto)
        self._compacted(upto)
        return upto == head.compacted + _BITE

    async def _end_of_bite(self, connection: asyncpg.Connection, head: Head) -> int:
        """The last revision of the longest run, from the oldest on, that may go."""
        kept = await connection.fetchval(
            "SELECT min(revision) FROM history WHERE revision > $1 AND revision <= $1 + $2 "
            "AND revision > $3 AND at >= $4 AND bytes > $5",
            head.compacted,
            _BITE,
            head.revision - self._limits.changes,
            self._now() - self._limits.age,
            head.bytes - self._limits.size,
        )
        return min(head.revision, head.compacted + _BITE) if kept is None else int(kept) - 1

    async def _drop_partitions(self, connection: asyncpg.Connection) -> None:
        head = await self._fence.head(connection)
        newest = await connection.fetchval("SELECT max(id) FROM logs") or 0
        for first in await _partitions(connection, "history"):
            if first + HISTORY_SPAN <= head.compacted + 1:
                await connection.execute(f"DROP TABLE history_{first}")
        for first in await _partitions(connection, "output"):
            if first + LOG_SPAN <= newest:
                await self._drop_output(connection, first)

    async def _drop_output(self, connection: asyncpg.Connection, first: int) -> None:
        """The output of a run of commands, when none of them is left."""
        left = await connection.fetchval(
            "SELECT count(*) FROM logs WHERE id >= $1 AND id < $2 AND command IS NOT NULL", first, first + LOG_SPAN
        )
        if not left:
            await connection.execute(f"DROP TABLE output_{first}")
            await connection.execute("DELETE FROM logs WHERE id >= $1 AND id < $2", first, first + LOG_SPAN)


async def _partitions(connection: asyncpg.Connection, table: str) -> list[int]:
    """The first number of each."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass($1)",
        table,
    )
    return sorted(int(row["relname"].removeprefix(f"{table}_")) for row in rows)
