"""Handing nodes over between servers: what is not this server's any more is stopped, then what is now is taken.

    an unsettled view   stop, and return: by that the others know
    a settled view      wait until everything that was written before is known here, then take
    a pin, or its end   the same in one round: stop, say so, take

A command that runs on a node goes on there; whoever takes the node asks how it stands. Losing the place stops all at
once, and without patience.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from controller.membership import LOST, View
from controller.metrics import Metrics
from controller.pins import Pins
from controller.resources.node import Node
from controller.runtime.clock import Clock
from controller.shares import Shares
from controller.store.base import Store, Unavailable

log = structlog.get_logger(__name__)

GRACE: Final = 0.5
"""Seconds for a step under way to end by itself."""
IDLE: Final = 5.0
PAUSE: Final = 1.0
"""Seconds until the store is asked again that did not answer."""

Names = Mapping[str, str]
"""The names of this server's nodes, by uid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a server does for its nodes, as far as handing them over is concerned."""

    release: Callable[[Names, float], Awaitable[None]]
    """End what is done for all nodes but these; steps may take so many seconds to end by themselves."""
    take: Callable[[Names], None]
    """Begin to work on these."""
    hang_up: Callable[[str], None]
    """End the connection of that node's agent: it has dialled in to another server since."""


class Handover:
    """Follows the views. `round` is the body of its loop; `on_view` is the membership's."""

    def __init__(
        self, *, store: Store, shares: Shares, pins: Pins, work: Work, clock: Clock, metrics: Metrics
    ) -> None:
        self._store, self._shares, self._pins, self._work = store, shares, pins, work
        self._clock, self._metrics = clock, metrics
        self._view = LOST
        self._held: Names = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._unsettled_at: float | None = None
        self.settled = asyncio.Event()
        """Set once this server has taken its share for the first time."""
        pins.on_change = self._news.set
        pins.listen()

    async def on_view(self, view: View) -> None:
        """That is the view. Returns when nothing is done any more that it takes away."""
        self._view = view
        if view.settled:
            self._news.set()
            return
        self._unsettled_at = self._unsettled_at or self._clock.monotonic()
        self._shares.tell(view)
        if view == LOST:
            await self._work.release({}, 0.0)
        await self._match(give_only=True)

    async def round(self) -> None:
        """Take what a settled view gives, and act on what was heard of agents."""
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE):
                await self._news.wait()
        if not self._news.is_set():
            return
        self._news.clear()
        try:
            await self._go_on()
        except BaseException:
            self._news.set()
            raise

    async def _go_on(self) -> None:
        view, heard = self._view, self._pins.heard()
        try:
            await self._store.current()
        except Unavailable as error:
            log.info("taking over later: the store cannot be read", error=str(error))
            await asyncio.sleep(PAUSE)
            self._news.set()
            return
        if view.settled and view is self._view:
            self._shares.tell(view)
        self._pins.apply(heard, self._is_there)
        await self._match(give_only=False)
        if view.settled and view is self._view:
            self._account()

    def holds(self, uid: str) -> bool:
        """Whether this server works on the node with that uid."""
        return uid in self._held

    async def single(self, job: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do a job that one server does for all, if that is this one; it ends when the job becomes another's."""
        if not self._shares.mine_single(job):
            return
        task = self._jobs[job] = asyncio.create_task(_done(work), name=f"job:{job}")
        try:
            await asyncio.wait({task})
        finally:
            del self._jobs[job]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            task.result()

    async def _match(self, *, give_only: bool) -> None:
        """Make what is done here match what is this server's."""
        async with self._lock:
            notice, mine, before = self._pins.notice(), self._mine(), self._held
            self._hold({uid: name for uid, name in mine.items() if uid in before})
            await self._end_jobs()
            await self._work.release(mine, GRACE)
            self._pins.tell(notice)
            for node in self._pins.overtaken():
                self._work.hang_up(node)
            if not give_only:
                self._take()
            if self._held.keys() != before.keys():
                log.info(
                    "nodes handed over", nodes=len(self._held), before=len(before), members=len(self._shares.live)
                )

    def _is_there(self, node: str) -> bool:
        return self._store.get("Node", node) is not None

    def _mine(self) -> Names:
        nodes = self._store.list("Node").items
        return {node.uid: node.name for node in nodes if isinstance(node, Node) and self._shares.mine(node.name)}

    def _hold(self, nodes: Names) -> None:
        self._held = nodes
        self._shares.hold(nodes.values(), self._clock.now())

    def _take(self) -> None:
        before = self._held
        self._hold(self._mine())
        self._work.take({uid: name for uid, name in self._held.items() if uid not in before})

    async def _end_jobs(self) -> None:
        ended = [task for job, task in self._jobs.items() if not self._shares.mine_single(job)]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    def _account(self) -> None:
        self.settled.set()
        if self._unsettled_at is not None:
            self._metrics.handover_duration.observe(self._clock.monotonic() - self._unsettled_at)
            self._unsettled_at = None


async def _done(work: Callable[[], Awaitable[object]]) -> None:
    await work()
