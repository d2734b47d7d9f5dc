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
PATIENCE = 0.3
"""Seconds after which a reconcile counts as one that waits, when its place is needed for another."""
RECONCILE_LIMIT = 120.0

Account = Callable[[str, float], None]
"""Hears how each reconcile ended (success | requeue | error | terminal) and how many seconds it took."""


class WorkerPool:
    """Up to `workers` reconciles that work at once; `round` is the body of its loop.

    One that only waits, for a node that hangs, keeps no other from working: when all places are taken, it is set
    aside. How many can be aside is bounded by the number of keys there are.
    """

    def __init__(self, kind: str, queue: WorkQueue, reconciler: Reconciler, workers: int, account: Account) -> None:
        self.kind = kind
        self.queue = queue
        self._reconciler = reconciler
        self._workers = workers
        self._freed = asyncio.Event()
        self._account = account
        self._at_work: dict[asyncio.Task[None], float] = {}
        self._aside: set[asyncio.Task[None]] = set()
        self._keys: dict[asyncio.Task[None], str] = {}

    async def round(self) -> None:
        """Set workers on the keys that are there, or wait a moment for a key or for a worker."""
        if len(self._at_work) >= self._workers:
            await self._make_room()
        elif await self.queue.wait(IDLE):
            while len(self._at_work) < self._workers and (key := self.queue.take()) is not None:
                task = asyncio.create_task(self._work(key), name=f"{self.kind}:{key}")
                self._at_work[task] = asyncio.get_running_loop().time()
                self._keys[task] = key
                task.add_done_callback(self._ended)

    async def _make_room(self) -> None:
        """Set aside those who have been at it for long; if nobody has, wait until somebody is done or has."""
        now = asyncio.get_running_loop().time()
        oldest = next(iter(self._at_work.values()))
        if (left := oldest + PATIENCE - now) > 0.001:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._freed.wait()
            return
        waiting = [task for task, began in self._at_work.items() if now - began > PATIENCE - 0.001]
        for task in waiting:
            del self._at_work[task]
        self._aside.update(waiting)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._aside.discard(task)
        self._at_work.pop(task, None)
        self._keys.pop(task, None)
        self._freed.set()

    async def drain(self, limit: float) -> None:
        """Let the workers finish within `limit` seconds, then cancel those that have not."""
        self.queue.close()
        await self.release(lambda key: True, limit)

    async def release(self, gone: Callable[[str], bool], limit: float) -> None:
        """The same for those that work on such keys. That no new ones begin is the reconciler's part."""
        tasks = [task for task, key in self._keys.items() if gone(key)]
        if tasks:
            await asyncio.wait(tasks, timeout=limit)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, key: str) -> None:
        began = time.perf_counter()
        try:
            outcome = await self._reconcile(key)
        finally:
            self.queue.done(key)
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
