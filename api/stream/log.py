"""The log that all clients read from: the latest events, encoded, bounded in number and in bytes."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from api.stream.events import Event

MAX_EVENTS: Final = 8192
MAX_BYTES: Final = 16 * 1024 * 1024
CHUNK: Final = 64 * 1024
"""What is pending is joined into writes of about this size; more would only sit in a slow client's buffers."""

_revision = attrgetter("revision")


class Lagged(Exception):
    """The place is no longer in the log: whoever stood there was too slow."""


class EventLog:
    """Events in order of revision. A place is a number that stays the same while old events are dropped."""

    def __init__(self, floor: int, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._events: list[Event] = []
        self._base = 0
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._joined: tuple[tuple[int, int], bytes, int] = ((-1, -1), b"", 0)
        self._joined_types: frozenset[str] = frozenset()
        self._framed: tuple[bytes, bytes] = (b"", b"")
        self.floor = floor
        """Every event after this revision is here."""
        self.head = floor
        """Every event up to this revision is here or was."""

    @property
    def end(self) -> int:
        """The place after the newest event."""
        return self._base + len(self._events)

    def extend(self, events: Sequence[Event], head: int) -> None:
        """Add the next events, and drop old ones where there are too many."""
        self._events.extend(events)
        self._bytes += sum(len(e.frame) for e in events)
        self.head = head
        if len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self._trim()

    def _trim(self) -> None:
        """Drop a quarter more than needed, so that it need not be done for every event."""
        drop = max(0, len(self._events) - self._max_events * 3 // 4)
        dropped = sum(len(e.frame) for e in self._events[:drop])
        while drop < len(self._events) and self._bytes - dropped > self._max_bytes * 3 // 4:
            dropped += len(self._events[drop].frame)
            drop += 1
        self.floor = self._events[drop - 1].revision
        del self._events[:drop]
        self._base += drop
        self._bytes -= dropped

    def restart(self, floor: int) -> None:
        """Forget everything: there is a gap. Every place becomes one that lags."""
        self._base = self.end + 1
        self._events.clear()
        self._bytes = 0
        self.floor = self.head = floor

    def place_after(self, revision: int) -> int:
        """Return the place of the first event after a revision. Raises Lagged when some of those are gone."""
        if revision < self.floor:
            raise Lagged
        return self._base + bisect_right(self._events, revision, key=_revision)

    def place_beyond(self, place: int, revision: int) -> int:
        """Return the first place from this one on whose event is after a revision."""
        return max(place, self._base + bisect_right(self._events, revision, key=_revision))

    def take(self, place: int, types: frozenset[str]) -> tuple[Sequence[Event], int]:
        """Return some events of those types from a place on, about a chunk, and the place after them.

        Raises Lagged.
        """
        if place < self._base:
            raise Lagged
        taken, size = [], 0
        index = place - self._base
        while index < len(self._events) and size < CHUNK:
            event = self._events[index]
            index += 1
            if event.type in types:
                taken.append(event)
                size += len(event.frame)
        return taken, self._base + index

    def frames(self, place: int, types: frozenset[str]) -> tuple[bytes, int]:
        """Return the same as joined SSE frames. The many clients that stand at one place share one object.

        Raises Lagged.
        """
        if place < self._base:
            raise Lagged
        key, known, after = self._joined
        if key == (place, self.end) and types is self._joined_types:
            return known, after
        events, after = self.take(place, types)
        joined = events[0].frame if len(events) == 1 else b"".join([e.frame for e in events])
        self._joined = ((place, self.end), joined, after)
        self._joined_types = types
        return joined, after

    def chunk(self, place: int, types: frozenset[str]) -> tuple[bytes, int]:
        """Return the same, framed as a chunk of an HTTP body. Raises Lagged."""
        joined, after = self.frames(place, types)
        if joined is not self._framed[0]:
            self._framed = (joined, b"%x\r\n%b\r\n" % (len(joined), joined) if joined else b"")
        return self._framed[1], after
