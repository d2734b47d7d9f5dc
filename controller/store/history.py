"""The recent history: a bounded run of changes, and whoever waits for the next one.

Revisions in it have no gaps, so a place in it is found by subtraction. Nobody has a queue of their own: a waiter is
woken with the revision of the first change that concerns it, and reads on from there.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from controller.resources.meta import Resource
from controller.store.base import Change, Expired, StoreError
from controller.store.waiters import Waiters

_BITE = 256
"""Old entries are dropped up to this many at a time, which makes drops rare."""

_IN_MEMORY, _IN_MEMORY_BYTES = 10_000, 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """How much history is kept."""

    changes: int = 100_000
    age: timedelta = timedelta(hours=1)
    size: int = 256 << 20
    """In bytes of objects."""

    def in_memory(self) -> Self:
        """Of a store that reads from its disk what is older."""
        return replace(self, changes=min(self.changes, _IN_MEMORY), size=min(self.size, _IN_MEMORY_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A change, and what it replaced (for reading a list as it was)."""

    change: Change
    old: Resource | None
    size: int
    """Bytes of the object, as it is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """Which changes a watch is about: some kinds (None: all), one name (None: all)."""

    kinds: frozenset[str] | None = None
    name: str | None = None

    def matches(self, change: Change) -> bool:
        """Whether it is about this change."""
        obj = change.obj
        return (self.kinds is None or obj.kind in self.kinds) and (
            self.name is None or obj.metadata.name == self.name
        )

    def keys(self) -> Sequence[Hashable]:
        """Under which keys its waiters stand: each change wakes three keys (see `History._wake`)."""
        if self.name is not None:
            return [("name", self.name)]
        if self.kinds is not None:
            return [("kind", kind) for kind in self.kinds]
        return [None]


class History:
    """The last changes, as many as the limits allow and, since they are dropped some at a time, a few more."""

    def __init__(self, limits: HistoryLimits) -> None:
        self._limits = limits
        self._size = 0
        self._bite = max(1, min(_BITE, limits.changes // 10))
        self._entries: list[Entry] = []
        self.floor = 0
        """Everything after this revision is here."""
        self._waiters = Waiters()

    @property
    def head(self) -> int:
        """The newest revision."""
        return self.floor + len(self._entries)

    def begin(self, revision: int) -> None:
        """Start, empty, after this revision."""
        self._entries.clear()
        self._size = 0
        self.floor = revision

    def add(self, entry: Entry) -> None:
        """Add the next change and wake whom it concerns."""
        self._entries.append(entry)
        self._size += entry.size
        self._trim(entry.change.at)
        self._wake(entry.change)

    def skip(self, revision: int) -> None:
        """Go on, empty, after this revision: what lies between is not here. Wakes all who wait, to find that out."""
        head = self.head
        self.begin(revision)
        self._waiters.wake_all(head + 1)

    def since(self, revision: int) -> Sequence[Entry]:
        """All entries after a revision. Raises Expired when some are gone."""
        return self._entries[self._place(revision) :]

    def find(self, interest: Interest, since: int, limit: int) -> tuple[list[Change], int]:
        """At most `limit` changes after `since`, and the revision up to which these are all. Raises Expired."""
        found: list[Change] = []
        for change in self._from(self._place(since)):
            if interest.matches(change):
                found.append(change)
                if len(found) == limit:
                    return found, change.revision
        return found, self.head

    async def wait(self, interest: Interest, timeout: float | None) -> int:
        """Wait for a change of interest. Returns a revision such that nothing of interest lies between now and it.

        That is the change's own revision, or when the time is up the one that will come next.
        """
        return await self._waiters.wait(interest.keys(), timeout, lambda: self.head + 1)

    def close(self, reason: StoreError) -> None:
        """End every wait, now and later, with this error. What is here can still be read."""
        self._waiters.close(reason)

    def _place(self, revision: int) -> int:
        if not self.floor <= revision <= self.head:
            raise Expired(
                f"history after revision {revision} is not here: it reaches from {self.floor} to {self.head}"
            )
        return revision - self.floor

    def _from(self, place: int) -> Iterator[Change]:
        for i in range(place, len(self._entries)):
            yield self._entries[i].change

    def _trim(self, now: datetime) -> None:
        count = len(self._entries)
        outlived = count > self._bite and now - self._entries[self._bite].change.at > self._limits.age
        if count > self._limits.changes or outlived or self._size > self._limits.size:
            self._drop(min(self._bite, count - 1))

    def _drop(self, count: int) -> None:
        self._size -= sum(entry.size for entry in self._entries[:count])
        del self._entries[:count]
        self.floor += count

    def _wake(self, change: Change) -> None:
        if self._waiters:
            for key in (None, ("kind", change.obj.kind), ("name", change.obj.metadata.name)):
                self._waiters.wake(key, change.revision)
