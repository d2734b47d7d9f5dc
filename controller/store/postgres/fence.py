"""The fence: what a server without a place among the members would write is refused.

Every writing transaction locks `head`, and so does every one that expels a member. Both see the other's end, or come
before it.
"""

from collections.abc import Callable

import asyncpg

from controller.store.base import NoPlace
from controller.store.postgres.rows import Head, read_head


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
