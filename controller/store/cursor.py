"""The watch: a place in the history that moves on. It holds no changes of its own, so nothing is ever dropped."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, Self

from controller.store.base import Change, Expired
from controller.store.history import History, Interest

_STEP = 256


class Archive(Protocol):
    """History that is older than what memory holds."""

    def oldest(self) -> int:
        """Everything after this revision can still be had."""

    async def find(self, interest: Interest, since: int, limit: int) -> tuple[Sequence[Change], int]:
        """As `History.find`, for what lies before the history in memory. Raises Expired."""


class NoArchive:
    """For a store that keeps all its history in memory."""

    def __init__(self, history: History) -> None:
        self._history = history

    def oldest(self) -> int:
        """Where the memory begins."""
        return self._history.floor

    async def find(self, interest: Interest, since: int, limit: int) -> tuple[Sequence[Change], int]:
        """There is nothing older."""
        return self._history.find(interest, since, limit)


class HistoryReader(Protocol):
    """Reads history where it is durable."""

    async def history(self, interest: Interest, since: int, upto: int, limit: int) -> Sequence[Change]:
        """At most `limit` changes after `since`, up to and with `upto`, in order."""


class DurableArchive:
    """History that is on disk or in a database, but no longer in memory."""

    def __init__(self, reader: HistoryReader, history: History) -> None:
        self._reader = reader
        self._history = history
        self.compacted = 0

    def oldest(self) -> int:
        """Everything after this revision can still be had."""
        return min(self.compacted, self._history.floor)

    async def find(self, interest: Interest, since: int, limit: int) -> tuple[Sequence[Change], int]:
        """Changes between `since` and what is in memory, and the revision up to which these are all."""
        upto = self._history.floor
        found = await self._reader.history(interest, since, upto, limit)
        return found, found[-1].revision if len(found) == limit else upto


class Cursor:
    """One watch. For one task at a time."""

    def __init__(
        self,
        history: History,
        archive: Archive,
        interest: Interest,
        since: int,
        current: Callable[[], Awaitable[None]],
    ) -> None:
        """`current` waits until everything is known that was committed (`Store.current`)."""
        self._current = current
        self._history = history
        self._archive = archive
        self._interest = interest
        self.revision = since

    async def __aenter__(self) -> Self:
        """Check that the history from here on is complete. Raises Expired, Unavailable.

        Another process may have shown a revision that this one has not heard of yet.
        """
        if self.revision > self._history.head:
            await self._current()
        oldest, newest = self._archive.oldest(), self._history.head
        if not oldest <= self.revision <= newest:
            raise Expired(
                f"cannot watch from revision {self.revision}: history reaches from {oldest} to {newest}, list again"
            )
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing is held."""

    async def __aiter__(self) -> AsyncIterator[Change]:
        """Changes in order, for ever. Raises Expired if it falls behind, Unavailable when the store closes."""
        while True:
            found, upto = await self._find(_STEP)
            for change in found:
                self.revision = change.revision
                yield change
            self.revision = upto
            await self._wait(None)

    async def batch(self, limit: int, timeout: float | None = None) -> Sequence[Change]:
        """The next changes, at most `limit`; waits for the first one, returns empty after `timeout` seconds."""
        if limit < 1:
            raise ValueError("a batch holds at least one change")
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            found, self.revision = await self._find(limit)
            left = None if deadline is None else deadline - loop.time()
            if found or (left is not None and left <= 0):
                return found
            await self._wait(left)

    async def _find(self, limit: int) -> tuple[Sequence[Change], int]:
        if self.revision < self._history.floor:
            return await self._archive.find(self._interest, self.revision, limit)
        return self._history.find(self._interest, self.revision, limit)

    async def _wait(self, timeout: float | None) -> None:
        """Return when there may be more to find; what was passed over in the meantime is of no interest."""
        if self.revision == self._history.head:
            self.revision = await self._history.wait(self._interest, timeout) - 1
