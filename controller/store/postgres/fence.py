"""The fence: what a server without a place among the members would write is refused.

Every writing transaction locks `head`, and so does every one that expels a member. Both see the other's end, or come
before it.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import asyncpg
import structlog

from controller.store.base import NoPlace
from controller.store.postgres.database import IDLE_TIMEOUT
from controller.store.postgres.rows import Head, read_head

log = structlog.get_logger(__name__)

_UNBLOCK: Final = """
SELECT pid, pg_terminate_backend(pid)
FROM pg_stat_activity JOIN pg_locks USING (pid) JOIN head ON head.xmax = transactionid
WHERE granted AND usename = current_user
    AND wait_event_type = 'Client' AND state_change < clock_timestamp() - $1::interval
"""


class Fence:
    """Whether this server may write. One that was never asked to join may: it has the store for itself."""

    def __init__(self) -> None:
        self.is_up = False
        """Whether a place is needed to write."""
        self._place: str | None = None
        self.last_place = ""
        """The newest id under which it was one."""
        self._found: tuple[str | None, int] = (None, -1)
        self._expelled: Callable[[], None] = lambda: None

    @property
    def place(self) -> str | None:
        """The id under which this server is a member, as far as it knows."""
        return self._place

    def put_up(self, expelled: Callable[[], None]) -> None:
        """From here on nothing is written without a place. `expelled` is told when a write finds it gone."""
        self.is_up = True
        self._expelled = expelled

    def let_in(self, member: str) -> None:
        """This server has a place, under this id."""
        self._place = self.last_place = member

    def shut_out(self) -> None:
        """It has none any more."""
        self._place = None

    def refusal(self) -> str | None:
        """Why this server may not write, as far as it knows."""
        outside = self.is_up and self._place is None
        return "this server has no place among the servers on its store, until it joins again" if outside else None

    async def head(self, connection: asyncpg.Connection) -> Head:
        """Lock the head, for a write. Raises NoPlace.

        The place is looked for by a statement of its own, since the one that waited for the lock sees the members as
        they were before; but only when the members are others than the last time.
        """
        head = await read_head(connection, lock=True)
        if self.is_up and (self._place is None or (self._place, head.generation) != self._found):
            await self._find_place(connection, head.generation)
        return head

    async def _find_place(self, connection: asyncpg.Connection, generation: int) -> None:
        place = self._place
        if place is not None:
            if await connection.fetchval("SELECT EXISTS (SELECT FROM members WHERE id = $1)", place):
                self._found = (place, generation)
                return
            if place == self._place:
                self._expelled()
        raise NoPlace("nothing was written: this server has no place among the servers on its store")


async def unblock(connection: asyncpg.Connection) -> None:
    """End a transaction that has locked the head and waits for its client for too long. To be called in another one.

    The database does that by itself only between two statements: not while it sends an answer that nobody takes,
    since the network is cut or the server was stopped.
    """
    for row in await connection.fetch(_UNBLOCK, timedelta(seconds=IDLE_TIMEOUT)):
        log.warning("ended a transaction that held up all writes and took no answer", pid=row["pid"])
