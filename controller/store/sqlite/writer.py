"""The one thread that writes. Whatever queued up while the last commit ran goes into the next one: a group commit.

    loop:   stage ─ submit ┐                              ┌ publish, in order
    thread:                └ take all ─ BEGIN … COMMIT ───┘

A failed commit takes everything with it that is not committed, because later writes were staged on top of it. Batches
carry the number of their *attempt*: the thread skips what belongs to a failed one, and the loop starts a new one.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from controller.store.history import HistoryLimits
from controller.store.sqlite.file import DatabaseFile
from controller.store.sqlite.load import Loaded, load
from controller.store.sqlite.migrate import known, migrate
from controller.store.sqlite.rows import store
from controller.store.sqlite.transaction import transaction
from controller.store.sqlite.upkeep import Upkeep
from controller.store.staging import Staged

_IDLE = 30.0
"""Seconds between looks at what has grown old while nothing is written."""

log = structlog.get_logger(__name__)


class Owner(Protocol):
    """Whom the thread reports to. All of it is called on the event loop, in order."""

    def committed(self, count: int) -> None:
        """The oldest `count` submitted writes are durable."""

    def failed(self, error: Exception) -> None:
        """Nothing that was not reported as committed is stored, or ever will be: begin a new attempt."""

    def compacted(self, revision: int) -> None:
        """History up to this revision is gone."""

    def ended(self, error: Exception | None) -> None:
        """The thread is no more; the error, if there was one, is why."""


class Writer:
    """Owns the writing connection. Start it, submit to it, stop it: once each."""

    def __init__(
        self,
        file: DatabaseFile,
        owner: Owner,
        *,
        limits: HistoryLimits,
        now: Callable[[], datetime],
        failpoint: Callable[[str], None],
    ) -> None:
        self._file = file
        self._owner = owner
        self._limits = limits
        self._now = now
        self._failpoint = failpoint
        self._loop = asyncio.get_running_loop()
        self._turn: list[tuple[int, Staged]] = []
        self._queue: SimpleQueue[Sequence[tuple[int, Staged]] | None] = SimpleQueue()
        """What each turn of the loop handed over; None is the last there will be."""
        self._stopped = False
        self._failed_attempt = -1
        self._newest = 0
        self._troubled = False
        self._loaded: asyncio.Future[Loaded] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # A daemon: a process that forgets to close its store must still be able to end. SQLite survives that.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    async def start(self) -> Loaded:
        """Open, migrate and load. The thread has ended if this raises."""
        self._thread.start()
        return await self._loaded

    def submit(self, attempt: int, staged: Staged) -> None:
        """Have a write committed, after all those submitted before.

        It is handed over at the end of this turn of the loop: what others submit in the same turn comes along.
        """
        self._turn.append((attempt, staged))
        if len(self._turn) == 1:
            self._loop.call_soon(self._hand_over)

    async def stop(self) -> None:
        """Commit what was submitted, then end."""
        self.stop_soon()
        if self._thread.ident is not None:
            await asyncio.shield(self._ended)
            self._thread.join()

    def stop_soon(self) -> None:
        """The same, without waiting for it."""
        self._hand_over()
        self._queue.put(None)

    def _hand_over(self) -> None:
        if self._turn:
            self._queue.put(self._turn)
            self._turn = []

    def _run(self) -> None:
        """The thread: open, serve, close."""
        fatal: Exception | None = None
        try:
            with closing(self._file.connect()) as connection:
                self._serve(connection)
        except Exception as error:
            fatal = error
        finally:
            self._file.release()
            self._report(self._end, fatal)

    def _serve(self, connection: sqlite3.Connection) -> None:
        migrate(connection, known())
        loaded = load(connection)
        self._newest = loaded.revision
        upkeep = Upkeep(connection, self._limits)
        self._report(self._opened, loaded)
        more = True
        while (taken := self._take(0 if more else _IDLE)) is not None:
            batch = [staged for attempt, staged in taken if attempt > self._failed_attempt]
            if batch and self._commit(connection, batch):
                upkeep.grown(sum(len(change.body) for staged in batch for change in staged.changes))
            elif batch:
                self._failed_attempt = taken[-1][0]
            upkeep.output_to_forget |= any(None in staged.outputs.values() for staged in batch)
            more = self._keep_up(upkeep)

    def _take(self, patience: float) -> Sequence[tuple[int, Staged]] | None:
        """All that is queued, after waiting for it for a while; None when there is nothing left to do ever."""
        batch: list[tuple[int, Staged]] = []
        with suppress(Empty):
            turn = None if self._stopped else self._queue.get(block=patience > 0, timeout=patience)
            while turn is not None:
                batch += turn
                turn = self._queue.get_nowait()
            self._stopped = True
        return batch if batch or not self._stopped else None

    def _commit(self, connection: sqlite3.Connection, batch: Sequence[Staged]) -> bool:
        """One commit for all of them, or a report of failure."""
        try:
            with transaction(connection):
                store(connection, batch)
                self._failpoint("store.before-commit")
        except Exception as error:
            self._report(self._owner.failed, error)
            return False
        self._failpoint("store.after-commit")
        self._newest = max([self._newest, *(c.entry.change.revision for staged in batch for c in staged.changes)])
        self._report(self._owner.committed, len(batch))
        return True

    def _keep_up(self, upkeep: Upkeep) -> bool:
        """One bite of cleaning up. Returns whether there may be more to do at once."""
        try:
            compacted = upkeep.compact(self._newest, self._now())
            forgot = upkeep.forget_output()
        except sqlite3.Error as error:
            if not self._troubled:
                log.warning("Cannot drop old history or output; will try again", error=str(error))
            self._troubled = True
            return False
        self._troubled = False
        if compacted:
            self._report(self._owner.compacted, upkeep.compacted)
        return compacted or forgot

    def _report(self, tell: Callable[..., None], *facts: object) -> None:
        # The loop is gone when a process ends without closing its store: nobody is left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(tell, *facts)

    def _opened(self, loaded: Loaded) -> None:
        if not self._loaded.done():
            self._loaded.set_result(loaded)

    def _end(self, error: Exception | None) -> None:
        if error is not None and not self._loaded.done():
            self._loaded.set_exception(error)
        else:
            self._owner.ended(error)
        self._ended.set_result(None)
