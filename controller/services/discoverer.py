"""Looks for services on the nodes that want it, each `discovery_interval`, over the connections that are open.

One scan a second finds who is due. What was found and is no longer there is gone with the next look that went well;
one that did not go well changes nothing, until what was found is too old to be known.
"""

import asyncio
import random
import shlex
from collections.abc import Callable, Collection, Sequence

import structlog

from controller.metrics import Metrics
from controller.resources.node import Node, is_active
from controller.runtime.clock import Clock
from controller.runtime.tasks import NodeTasks
from controller.services.board import ServiceBoard
from controller.services.findings import Incomplete, read
from controller.services.fromnode import FromNode
from controller.services.node import script
from controller.shares import Mine
from controller.store.base import Store
from transports.errors import TransportError

log = structlog.get_logger(__name__)

TICK = 1.0
LIMIT = 25.0
"""Seconds that one look may take on the node."""
CONCURRENCY = 32


class Discoverer:
    """`round` is the body of its loop."""

    def __init__(
        self,
        *,
        store: Store,
        board: ServiceBoard,
        from_node: FromNode,
        by_default: bool,
        interval: float,
        units: Sequence[str],
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        wake: Callable[[str], None],
        mine: Mine,
    ) -> None:
        self._store = store
        self._board = board
        self._from_node = from_node
        self._by_default = by_default
        self._interval = interval
        self._text = f"v_units={shlex.quote(' '.join(units))}\n{script('discover')}".encode()
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._wake = wake
        self._mine = mine
        self._due: dict[str, float] = {}
        self._tasks = NodeTasks()

    async def round(self) -> None:
        """Start to look at the nodes that are due, as many at a time as may be; then wait a tick."""
        now = self._clock.monotonic()
        nodes = [n for n in self._store.list("Node").items if isinstance(n, Node) and self._mine(n.name)]
        for node in nodes:
            if not self._wants(node):
                self._stop(node)
            elif is_active(node) and len(self._tasks) < CONCURRENCY and self._is_due(node, now):
                self._start(node, now)
        for gone in self._due.keys() - {node.uid for node in nodes}:
            del self._due[gone]
        await asyncio.sleep(TICK)

    async def keep(self, uids: Collection[str]) -> None:
        """End what is under way on all other nodes."""
        await self._tasks.keep(uids)

    async def aclose(self) -> None:
        """End what is under way."""
        await self.keep(())

    def _wants(self, node: Node) -> bool:
        return self._by_default if node.spec.discovery is None else node.spec.discovery

    def _stop(self, node: Node) -> None:
        """Nobody wants to look there any more: what was found there goes."""
        if self._due.pop(node.uid, None) is not None and self._board.found(node.uid, (), valid_for=0):
            self._wake(node.name)

    def _is_due(self, node: Node, now: float) -> bool:
        return node.uid not in self._tasks and now >= self._due.get(node.uid, 0.0)

    def _start(self, node: Node, now: float) -> None:
        self._due[node.uid] = now + self._interval * self._rng.uniform(0.9, 1.0)
        self._tasks.start(node.uid, self._look(node), name=f"discover:{node.name}")

    async def _look(self, node: Node) -> None:
        try:
            found = read(await self._from_node.output(node, self._text, timeout=LIMIT))
        except (TransportError, TimeoutError, Incomplete) as error:
            self._metrics.discoveries.labels("failed").inc()
            log.debug("looking for services later", node=node.name, reason=type(error).__name__)
            return
        self._metrics.discoveries.labels("done").inc()
        if node.uid in self._due and self._board.found(node.uid, found, valid_for=3 * self._interval + LIMIT):
            self._wake(node.name)
