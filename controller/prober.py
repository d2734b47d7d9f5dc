"""Probes every node each `health_check_interval`, spread over it and jittered by 10 %, on the open connection.

One scan a second over all nodes finds who is due: the cheapest form, and exact enough for intervals of seconds.
"""

import asyncio
import random
from collections.abc import Callable, Collection

import structlog

from controller.contacts import Contacts
from controller.dispatch import Dispatcher
from controller.freeze import Freeze
from controller.metrics import Metrics
from controller.observations import Observations
from controller.resources.conditions import find
from controller.resources.node import REACHABLE, Node
from controller.runtime.clock import Clock
from controller.runtime.tasks import NodeTasks
from controller.shares import Mine
from controller.store.base import Store
from transports.errors import TransportError, Unreachable

log = structlog.get_logger(__name__)

TICK = 1.0
PROBE_LIMIT = 10.0
CONCURRENCY = 256


class Prober:
    """`round` is the body of its loop: one scan, then a tick's pause."""

    def __init__(
        self,
        *,
        store: Store,
        dispatcher: Dispatcher,
        contacts: Contacts,
        observations: Observations,
        freeze: Freeze,
        interval: float,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        wake: Callable[[str], None],
        mine: Mine,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._contacts = contacts
        self._observations = observations
        self._freeze = freeze
        self._interval = interval
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._wake = wake
        self._mine = mine
        self._due: dict[str, float] = {}
        self._tasks = NodeTasks()
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def round(self) -> None:
        """Start a probe for every node that is due, then wait a tick."""
        now = self._clock.monotonic()
        nodes = [node for node in self._store.list("Node").items if self._mine(node.name)]
        self._metrics.replica_nodes.set(len(nodes))
        for node in nodes:
            if isinstance(node, Node) and node.uid not in self._tasks and now >= self._next(node, now):
                self._start(node, now)
        self._drop_gone({node.uid for node in nodes})
        await asyncio.sleep(TICK)

    def soon(self, uid: str) -> None:
        """Probe that node at the next tick: something about it has changed."""
        self._due[uid] = 0.0

    async def keep(self, uids: Collection[str]) -> None:
        """End the probes of all other nodes."""
        await self._tasks.keep(uids)
        self._drop_gone(uids)

    async def aclose(self) -> None:
        """End the probes under way."""
        await self.keep(())

    def _next(self, node: Node, now: float) -> float:
        """When the node is due: at once if it was never probed, else, after a start, within the interval."""
        if node.uid not in self._due:
            known = find(node.status.conditions, REACHABLE)
            never = known is None or known.status == "Unknown"
            self._due[node.uid] = now + (0.0 if never else self._rng.uniform(0, self._interval))
        return self._due[node.uid]

    def _start(self, node: Node, now: float) -> None:
        self._due[node.uid] = now + self._interval * self._rng.uniform(0.9, 1.1)
        self._tasks.start(node.uid, self._probe(node), name=f"probe:{node.name}")

    async def _probe(self, node: Node) -> None:
        seen = self._observations.of(node.uid)
        try:
            async with self._slots, asyncio.timeout(PROBE_LIMIT + self._interval):
                session = await self._dispatcher.connected(self._newest(node))
                async with asyncio.timeout(PROBE_LIMIT):
                    probe = await session.probe()
        except TimeoutError:
            seen.failure(Unreachable(f"node {node.name} did not answer a probe within {PROBE_LIMIT:.0f}s"))
            self._metrics.probes.labels("Timeout").inc()
        except TransportError as error:
            seen.failure(error)
            self._metrics.probes.labels(error.reason).inc()
        except Exception as error:
            log.exception("a probe broke", node=node.name)
            seen.failure(Unreachable(f"probing node {node.name} broke: {type(error).__name__}"))
            self._metrics.probes.labels("Broke").inc()
        else:
            seen.success(probe, session.info.host_key)
            self._contacts.touch(node.uid, self._clock.now())
            self._metrics.probes.labels("Answered").inc()
        self._freeze.note(node.uid, reachable=not seen.unreachable and seen.answered)
        self._wake(node.name)

    def _newest(self, node: Node) -> Node:
        """The node as it is now: waiting for a slot takes time."""
        found = self._store.get("Node", node.name)
        return found if isinstance(found, Node) and found.uid == node.uid else node

    def _drop_gone(self, present: Collection[str]) -> None:
        for uid in self._due.keys() - set(present):
            del self._due[uid]
            self._freeze.forget(uid)
