"""The SQLite store: one file, one server, nothing acknowledged is ever lost (contract A-6)."""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

import structlog

from controller.resources.meta import Resource
from controller.store.base import Announce, Chunk, Operation, StoreError, Stream, Unavailable
from controller.store.cursor import DurableArchive
from controller.store.engine import FAILURE_COUNTS, Engine, inert, silent
from controller.store.history import HistoryLimits
from controller.store.sqlite.file import DatabaseFile, path_of
from controller.store.sqlite.reader import Reader
from controller.store.sqlite.writer import Writer
from controller.store.staging import Clock, Staged
from controller.store.waiters import Waiters

Results: TypeAlias = Sequence[Resource | None]

log = structlog.get_logger(__name__)


class SQLiteStore(Engine):
    """A store in one file.

    A cancelled `write` may still be committed, whole. A failed one is not, and nothing of it was ever visible.
    """

    def __init__(
        self,
        dsn: str,
        *,
        clock: Clock,
        announce: Announce = silent,
        limits: HistoryLimits = HistoryLimits(),  # noqa: B008 - frozen
        failpoint: Callable[[str], None] = inert,
    ) -> None:
        super().__init__(clock=clock, announce=announce, limits=limits.in_memory())
        self._clock = clock
        self._limits = limits
        self._failpoint = failpoint
        self._file = DatabaseFile(path_of(dsn))
        self._reader = Reader(self._file)
        self._archive = self._old = DurableArchive(self._reader, self._history)
        self._writer: Writer | None = None
        self._pending: deque[tuple[Staged, asyncio.Future[Results]]] = deque()
        self._settled = Waiters()
        self._attempt = 0
        self._failed: tuple[str, datetime] | None = None

    async def start(self) -> None:
        """Lock, open, migrate and load. Raises Unavailable with a sentence that says what to do."""
        self._file.acquire()
        self._writer = Writer(self._file, self, limits=self._limits, now=self._clock.now, failpoint=self._failpoint)
        try:
            loaded = await self._writer.start()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except (Unavailable, sqlite3.Error, OSError) as error:
            raise Unavailable(f"cannot open the store at {self._file.path}: {error}") from error
        self.uid = loaded.uid
        self._state.load(loaded.revision, loaded.objects, loaded.outputs)
        self._old.compacted = loaded.compacted
        self._opened()

    async def aclose(self) -> None:
        """Refuse writes, finish those under way, end every watch, close the file and let go of it."""
        self._refuse("the store is closed")
        try:
            await self._reader.aclose()
            if self._writer is not None:
                await self._writer.stop()
        finally:
            if self._writer is not None:
                self._writer.stop_soon()
            self._end_waits()

    async def write(self, *operations: Operation) -> Results:
        """Apply all or none; returns, for each operation, the object stored (None for Delete and Append).

        Raises NotFound, AlreadyExists, Conflict or Unavailable; then nothing was applied.
        """
        try:
            staged = self._stage(operations)
        except StoreError as error:
            # The reason may itself be on its way to the disk: tell it once it can be seen, or was undone.
            await self._settle(error)
            raise
        if not staged.changes and not staged.appends:
            await self._settle(None)
            return staged.results
        return await self._submit(staged)

    def failure(self) -> str | None:
        """Why a write could not be made durable lately. Where nobody has written for a minute, nobody suffers."""
        if self._failed is None or self._clock.now() - self._failed[1] > FAILURE_COUNTS:
            return None
        return self._failed[0]

    async def read_output(
        self, command_uid: str, *, stream: Stream | None = None, offset: int = 0, limit: int = 1 << 20
    ) -> Sequence[Chunk]:
        """Chunks from `offset` in the chosen view (None: both streams in read order), at most `limit` bytes."""
        out, err = self.output_sizes(command_uid)
        end = out + err if stream is None else out if stream == "stdout" else err
        wanted = min(limit, end - offset)
        return await self._reader.output(command_uid, stream, offset, wanted) if wanted > 0 else ()

    def committed(self, count: int) -> None:
        """The oldest `count` submitted writes are durable: now they may be seen."""
        self._failed = None
        for _ in range(count):
            staged, waiter = self._pending.popleft()
            self._publish(staged)
            if not waiter.done():
                waiter.set_result(staged.results)
        self._settled.wake(None, 0)

    def failed(self, error: Exception) -> None:
        """Nothing that was not reported as committed is stored, or ever will be: forget it."""
        self._drop_pending(error, f"the write could not be stored, nothing of it was applied: {error}")

    def compacted(self, revision: int) -> None:
        """History up to this revision is gone."""
        self._old.compacted = revision

    def ended(self, error: Exception | None) -> None:
        """The writer is no more. What it was about to report is not known."""
        if error is not None:
            self._refuse(f"the store's writer has ended: {error}; restart the server")
            self._drop_pending(error, "the store's writer has ended: a restart will show whether this was applied")

    def _drop_pending(self, error: Exception, reason: str) -> None:
        log.error("Cannot write to the store", path=str(self._file.path), error=str(error), lost=len(self._pending))
        self._attempt += 1
        self.meter.failures += len(self._pending)
        self._failed = (str(error), self._clock.now())
        self._staging.reset()
        while self._pending:
            _, waiter = self._pending.popleft()
            if not waiter.done():
                waiter.set_exception(Unavailable(reason))
        self._settled.wake(None, 0)

    async def _submit(self, staged: Staged) -> Results:
        assert self._writer is not None
        waiter: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
        self._pending.append((staged, waiter))
        self._writer.submit(self._attempt, staged)
        begun = time.perf_counter()
        results = await waiter
        self.meter.writes.add(time.perf_counter() - begun)
        return results

    def _bytes_on_disk(self) -> int:
        return self._file.size()

    async def _settle(self, reason: StoreError | None) -> None:
        """Return when all that is staged now can be seen. Raises Unavailable if it was undone."""
        if not self._pending:
            return
        last, attempt = self._pending[-1][0], self._attempt
        while any(staged is last for staged, _ in self._pending):
            await self._settled.wait([None], None, lambda: 0)
        if attempt != self._attempt:
            raise Unavailable("an earlier write that this one depends on could not be stored") from reason
