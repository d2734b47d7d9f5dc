"""The memory store: everything the other stores guarantee, except that nothing outlives the process."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from controller.resources.meta import Resource
from controller.store.base import Announce, Chunk, Operation, Stream
from controller.store.chunks import cut, place
from controller.store.engine import Engine, silent
from controller.store.history import HistoryLimits
from controller.store.staging import Clock, Staged, StagedAppend


class MemoryStore(Engine):
    """A store in this process's memory; each start is a new history with a uid of its own."""

    def __init__(
        self,
        *,
        clock: Clock,
        announce: Announce = silent,
        limits: HistoryLimits = HistoryLimits(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(clock=clock, announce=announce, limits=limits)
        self._logs: defaultdict[str, _Log] = defaultdict(_Log)

    async def start(self) -> None:
        """Nothing to open."""
        self._opened()

    async def aclose(self) -> None:
        """Refuse writes and end every watch."""
        self._refuse("the store is closed")
        self._end_waits()

    async def write(self, *operations: Operation) -> Sequence[Resource | None]:
        """Apply all or none; returns, for each operation, the object stored (None for Delete and Append)."""
        staged = self._stage(operations)
        self._publish(staged)
        return staged.results

    async def read_output(
        self, command_uid: str, *, stream: Stream | None = None, offset: int = 0, limit: int = 1 << 20
    ) -> Sequence[Chunk]:
        """Chunks from `offset` in the chosen view (None: both streams in read order), at most `limit` bytes."""
        log = self._logs.get(command_uid)
        return () if log is None else cut(log.since(stream, offset), stream, offset, limit)

    def _publish(self, staged: Staged) -> None:
        for append in staged.appends:
            self._logs[append.append.command_uid].add(append)
        for uid, sizes in staged.outputs.items():
            if sizes is None:
                self._logs.pop(uid, None)
        super()._publish(staged)


class _Log:
    """One command's output, in each of its three views."""

    def __init__(self) -> None:
        self._views: dict[Stream | None, list[Chunk]] = {None: [], "stdout": [], "stderr": []}

    def add(self, staged: StagedAppend) -> None:
        append = staged.append
        chunk = Chunk(
            stream=append.stream, offset=append.offset, position=staged.position, data=append.data, at=append.at
        )
        self._views[None].append(chunk)
        self._views[append.stream].append(chunk)

    def since(self, stream: Stream | None, offset: int) -> Iterator[Chunk]:
        """From the chunk on that holds the offset."""
        view = self._views[stream]
        first = bisect_right(view, offset, key=lambda chunk: place(chunk, stream)) - 1
        return islice(view, max(0, first), None)
