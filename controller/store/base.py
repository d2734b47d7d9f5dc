"""The store: a small MVCC object store in the manner of etcd. One protocol, several backends, one contract suite.

Guarantees, whichever backend it is (docs/reference/store.md):

* **Atomic.** `write` applies all of its operations or none, as one revision each, in order.
* **Durable.** When `write` returns, the change survives a SIGKILL and a power cut (the memory store: nothing does).
* **Ordered.** Revisions grow by one history: a reader who has seen revision n sees every revision below it.
* **Optimistic.** An update or delete that names a resourceVersion succeeds only on that very version.
* **Read your own writes.** After `write` returned, this process's `get`, `list` and `watch` include it (G-4).
* **Gap-free watch.** `watch(since=r)` yields every change after r exactly once, in order, or raises `Expired`.
  `list` tells the revision to start from, so list and watch together miss nothing.
* **Level, not copies.** Objects are frozen. What the store returns may be kept, never changed.

Reads are served from memory and never block on a disk, except output and old history.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol, Self

from controller.bulletin import Bulletin
from controller.membership import Membership
from controller.resources.meta import Resource
from controller.store.meter import StoreMeter
from controller.store.selector import Selector

Stream = Literal["stdout", "stderr"]


class StoreError(Exception):
    """What can go wrong in a store.

    StoreError
    ├── NotFound        no such object
    ├── AlreadyExists   the name is taken
    ├── Conflict        the object is not at the version that was named
    ├── Expired         the revision asked for is no longer (or not yet) there: list again
    ├── InvalidCursor   the list cursor is not one that a store made (a ValueError too)
    └── Unavailable     the write could not be made durable; nothing of it is visible
        └── NoPlace     this server may not write: it has no place among those on the store
    """


class NotFound(StoreError):
    """No such object."""


class AlreadyExists(StoreError):
    """The name is taken."""


class Conflict(StoreError):
    """The object has changed since it was read, or its uid is another."""


class Expired(StoreError):
    """History from that revision is not available: list again and watch from there."""


class InvalidCursor(StoreError, ValueError):
    """The cursor of a continued list does not parse, or belongs to another kind."""


class Unavailable(StoreError):
    """The backend failed (disk full, database away, closed). The write did not happen."""


class NoPlace(Unavailable):
    """This server has no place among the servers on the store. That is no fault of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Store a new object. The store sets resourceVersion, and uid, creationTimestamp and generation 1 where empty."""

    obj: Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Replace an object. `obj.metadata.resourceVersion` is the version expected; empty means whichever is there.

    uid and creationTimestamp never change. generation grows by one exactly when the spec differs.
    A write that changes nothing gets no revision and returns the object as it is.
    """

    obj: Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove an object, at that version and uid if given. A command's output goes with it."""

    kind: str
    name: str
    version: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Add bytes to a command's output log. `offset` is where they stand in their stream.

    It must equal the bytes already stored for that stream, else `Conflict`: an append is never applied twice.
    `NotFound` when no Command has that uid. At most 1 MiB. An append is no change and gets no revision.
    """

    command_uid: str
    stream: Stream
    offset: int
    data: bytes
    at: datetime


Operation = Create | Update | Delete | Append


class ChangeType(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry of the history. `obj` is the object as it became (for DELETED: as it last was, at the new revision).

    `announce` is what `Announce` said about the change when it was made, for the event stream.
    """

    type: ChangeType
    revision: int
    obj: Resource
    at: datetime
    announce: str | None = None


class Announce(Protocol):
    """Decides, when a change is made, under which event name (if any) it is told to event streams."""

    def __call__(self, old: Resource | None, new: Resource | None) -> str | None:
        """`old` is None for a creation, `new` is None for a deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A consistent list. `revision` is what to watch from; `next` continues a limited list (same revision)."""

    items: Sequence[Resource]
    revision: int
    next: str | None = None
    remaining: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of the output log. `offset` is its place in its own stream, `position` its place in read order."""

    stream: Stream
    offset: int
    position: int
    data: bytes
    at: datetime


class Watch(Protocol):
    """A cursor into the history. Use as an async context manager and iterate; it needs no queue and drops nothing.

    A cursor that falls behind the retained history raises `Expired` from iteration.
    """

    revision: int
    """Everything up to here has been yielded."""

    async def __aenter__(self) -> Self:
        """Start."""

    async def __aexit__(self, *exc: object) -> None:
        """Release."""

    def __aiter__(self) -> AsyncIterator[Change]:
        """Changes in order, for ever."""

    async def batch(self, limit: int, timeout: float | None = None) -> Sequence[Change]:
        """The next changes, at most `limit`; waits for the first one, returns empty after `timeout` seconds."""


class Store(Protocol):
    """See the module's docstring for what every method guarantees."""

    uid: str
    """Identifies this history: drawn once for a durable store, at each start for the memory store."""
    meter: StoreMeter
    """What it measures of itself."""

    def membership(self, *, takes_shares: bool, address: str) -> Membership:
        """This server's place among the servers on this store. To be asked for once, before `start`; run it after.

        A server that `takes_shares` is one of a view's `live`; `address` is where the others find it. From here on
        nothing is written without a place: `write` raises Unavailable.
        """

    def bulletin(self) -> Bulletin:
        """What those servers tell each other without storing it."""

    async def start(self) -> None:
        """Open, check and migrate. Raises Unavailable with a sentence that says what to do."""

    async def aclose(self) -> None:
        """Finish writes under way, then close."""

    def revision(self) -> int:
        """The newest visible revision."""

    def get(self, kind: str, name: str) -> Resource | None:
        """The object as this process knows it, or None."""

    def failure(self) -> str | None:
        """Why a write could not be made durable within the last minute, unless one has succeeded since."""

    def staleness(self) -> float | None:
        """How many seconds old what this process knows may be; None while it keeps up with what others write."""

    async def current(self) -> None:
        """Return once this process knows everything that was committed before the call, whichever replica wrote it.

        Raises Unavailable when that cannot be found out: what is known may be old then.
        """

    def list(self, kind: str, *, selector: Selector | None = None, limit: int = 0, cursor: str | None = None) -> Page:
        """Objects of a kind in order of name. `limit` 0 is all. Raises Expired for a cursor that is too old.

        A continued list shows the same revision as its first page.
        """

    async def write(self, *operations: Operation) -> Sequence[Resource | None]:
        """Apply all or none; returns, for each operation, the object stored (None for Delete and Append).

        Raises NotFound, AlreadyExists, Conflict or Unavailable; then nothing was applied.
        """

    def watch(
        self, kinds: frozenset[str] | None = None, *, name: str | None = None, since: int | None = None
    ) -> Watch:
        """Changes of those kinds (None: all), of one name if given, after `since` (None: from now).

        Raises Expired (on entering) when `since` is older than the retained history or newer than the store, whatever
        process wrote it; Unavailable when that cannot be found out.
        """

    async def read_output(
        self, command_uid: str, *, stream: Stream | None = None, offset: int = 0, limit: int = 1 << 20
    ) -> Sequence[Chunk]:
        """Chunks from `offset` in the chosen view (None: both streams in read order), about `limit` bytes.

        The first chunk is cut so that it begins at `offset` exactly.
        """

    def output_sizes(self, command_uid: str) -> tuple[int, int]:
        """Bytes stored of (stdout, stderr)."""

    async def wait_output(self, command_uid: str, *, position: int, timeout: float) -> bool:
        """Wait until more than `position` bytes of both streams together are stored; False after `timeout` seconds.

        Appends alone make no revision, so a follower of live output waits here and not on a watch.
        """
