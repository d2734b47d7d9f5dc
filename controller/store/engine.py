"""What every store of one process has in common: objects, history, watches and staging in memory.

A write is staged, persisted, published, in this order and each in order of revision. A backend supplies the middle.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from controller.bulletin import Bulletin, Unread
from controller.membership import Alone, Membership
from controller.resources.meta import Resource
from controller.store.base import Announce, Chunk, Operation, Page, Stream, Unavailable, Watch
from controller.store.cursor import Archive, Cursor, NoArchive
from controller.store.history import History, HistoryLimits, Interest
from controller.store.meter import StoreMeter
from controller.store.pages import Lister
from controller.store.selector import Selector
from controller.store.staging import Clock, Staged, Staging
from controller.store.state import State
from controller.store.waiters import Waiters

FAILURE_COUNTS = timedelta(minutes=1)
"""How long a failed write speaks against the store."""


def silent(old: Resource | None, new: Resource | None) -> str | None:
    """Announce nothing."""
    del old, new
    return None


def inert(name: str) -> None:
    """Pass every failpoint."""


class Engine(ABC):
    """A Store but for making writes durable and for the output log. See `controller.store.base.Store`."""

    def __init__(self, *, clock: Clock, announce: Announce = silent, limits: HistoryLimits) -> None:
        self.uid = str(uuid4())
        self.meter = StoreMeter(self.revision, self._bytes_on_disk)
        self._state = State()
        self._history = History(limits)
        self._archive: Archive = NoArchive(self._history)
        self._outputs = Waiters()
        self._staging = Staging(self._state, clock, announce)
        self._refusal = "the store is not started"

    def membership(self, *, takes_shares: bool, address: str) -> Membership:
        """This server's place: it has the store for itself."""
        del address
        return Alone(takes_shares=takes_shares)

    def bulletin(self) -> Bulletin:
        """Nobody else is there to be told anything."""
        return Unread()

    @abstractmethod
    async def start(self) -> None:
        """Open, check and migrate. Raises Unavailable with a sentence that says what to do."""

    @abstractmethod
    async def aclose(self) -> None:
        """Finish writes under way, then close."""

    @abstractmethod
    async def write(self, *operations: Operation) -> Sequence[Resource | None]:
        """Apply all or none; returns, for each operation, the object stored (None for Delete and Append)."""

    @abstractmethod
    async def read_output(
        self, command_uid: str, *, stream: Stream | None = None, offset: int = 0, limit: int = 1 << 20
    ) -> Sequence[Chunk]:
        """Chunks from `offset` in the chosen view (None: both streams in read order), at most `limit` bytes."""

    def revision(self) -> int:
        """The newest visible revision."""
        return self._state.revision

    def get(self, kind: str, name: str) -> Resource | None:
        """The object, or None."""
        return self._state.get(kind, name)

    def failure(self) -> str | None:
        """Why writes fail at present. A store without a disk has no reason to."""
        return None

    def staleness(self) -> float | None:
        """Nobody else writes."""
        return None

    async def current(self) -> None:  # noqa: B027 - complete as it is
        """Nothing is ever missed: this process is all there is."""

    def list(self, kind: str, *, selector: Selector | None = None, limit: int = 0, cursor: str | None = None) -> Page:
        """Objects of a kind in order of name. Raises Expired for a cursor that is too old."""
        return Lister(self._state, self._history, self.uid).page(kind, selector, limit, cursor)

    def watch(
        self, kinds: frozenset[str] | None = None, *, name: str | None = None, since: int | None = None
    ) -> Watch:
        """Changes of those kinds (None: all), of one name if given, after `since` (None: from this call on)."""
        start = self._state.revision if since is None else since
        return Cursor(self._history, self._archive, Interest(kinds=kinds, name=name), start, self.current)

    def output_sizes(self, command_uid: str) -> tuple[int, int]:
        """Bytes stored of (stdout, stderr)."""
        return self._state.outputs.get(command_uid, (0, 0))

    async def wait_output(self, command_uid: str, *, position: int, timeout: float) -> bool:
        """Wait until more than `position` bytes of both streams together are stored; False when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while sum(self.output_sizes(command_uid)) <= position:
            left = deadline - loop.time()
            if left <= 0:
                return False
            await self._outputs.wait([command_uid], left, lambda: 0)
        return True

    def _bytes_on_disk(self) -> int | None:
        """How large the store's files are; None where it has none."""
        return None

    def _opened(self) -> None:
        """What was loaded is visible: take writes."""
        self._history.begin(self._state.revision)
        self._staging.reset()
        self._refusal = ""

    def _refuse(self, reason: str) -> None:
        """Take no more writes, for this reason."""
        self._refusal = reason

    def _end_waits(self) -> None:
        """Nothing more will happen."""
        for waiters in (self._history, self._outputs):
            waiters.close(Unavailable("the store is closed"))

    def _stage(self, operations: Sequence[Operation]) -> Staged:
        if self._refusal:
            raise Unavailable(self._refusal)
        return self._staging.stage(operations)

    def _publish(self, staged: Staged) -> None:
        """Make a write visible. Appends come first: the object's change may speak of them."""
        for append in staged.appends:
            self._state.outputs[append.append.command_uid] = append.sizes
            self._outputs.wake(append.append.command_uid, sum(append.sizes))
        for change in staged.changes:
            self._state.apply(change.entry.change)
        self._staging.settle(staged)
        for change in staged.changes:
            self._history.add(change.entry)
