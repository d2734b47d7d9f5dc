"""The worker pool: takes keys from a queue and reconciles them, so many at a time."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from controller.runtime.queue import WorkQueue
from controller.runtime.reconcile import Reconciler, TerminalError

log = structlog.get_logger(__name__)

IDLE = 5.0
RECONCILE_LIMIT = 120.0

Account = Callable[[str, float], None]
"""Hears how each reconcile ended (success | requeue | error | terminal) and how many seconds it took."""


class WorkerPool:
    """Up to `workers` reconciles at once; `round` is the body of its loop."""

    def __init__(self, kind: str, queue: WorkQueue, reconciler: Reconciler, workers: int, account: Account) -> None:
        self.kind = kind
        self.queue = queue
        self._reconciler = reconciler
        self._free = workers
        self._freed = asyncio.Event()
        self._account = account
        self._tasks: set[asyncio.Task[None]] = set()

    async def round(self) -> None:
        """Set workers on the keys that are there, or wait a moment for a key or for a worker."""
        if self._free == 0:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE):
                    await self._freed.wait()
        elif await self.queue.wait(IDLE):
            while self._free and (key := self.queue.take()) is not None:
                self._free -= 1
                task = asyncio.create_task(self._work(key), name=f"{self.kind}:{key}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def drain(self, limit: float) -> None:
        """Let the workers finish within `limit` seconds, then cancel those that have not."""
        self.queue.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, key: str) -> None:
        began = time.perf_counter()
        try:
            outcome = await self._reconcile(key)
        finally:
            self.queue.done(key)
            self._free += 1
            self._freed.set()
        self._account(outcome, time.perf_counter() - began)

    async def _reconcile(self, key: str) -> str:
        try:
            async with asyncio.timeout(RECONCILE_LIMIT):
                result = await self._reconciler.reconcile(key)
        except TerminalError as error:
            log.warning("reconcile gave up", kind=self.kind, name=key, error=str(error))
            self.queue.forget(key)
            return "terminal"
        except Exception as error:
            delay = self.queue.retry(key)
            log.warning("reconcile failed", kind=self.kind, name=key, error=repr(error), retry_in=round(delay, 3))
            log.debug("reconcile failed", kind=self.kind, name=key, exc_info=True)
            return "error"
        self.queue.forget(key)
        if result.requeue_after is None:
            return "success"
        self.queue.add_after(key, result.requeue_after)
        return "requeue"
