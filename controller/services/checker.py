"""Makes the checks of all services: one loop over a heap of what is due, and so many checks at a time.

A check is planned when its service appears, changes its aim, or its node becomes active, at a random moment of its
first period; then each period, up to a tenth sooner, so that those which began together drift apart. One that is late
because too many are under way is late in the metric, too; its service reads `unknown` once that is too late.
"""

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import structlog

from controller.metrics import Metrics
from controller.resources.node import Node, is_active
from controller.resources.service import Check, Service
from controller.runtime.clock import Clock
from controller.runtime.tasks import NodeTasks
from controller.services.board import ServiceBoard
from controller.services.targets import aim_of
from controller.store.base import Store
from transports.checks import Outcome

log = structlog.get_logger(__name__)

IDLE = 1.0
Key = tuple[str, str]
"""Node uid and service id."""
Perform = Callable[[Node, Service], Awaitable[Outcome]]


@dataclass(slots=True, eq=False)
class Plan:
    """A service's checks: when the next one is due, and what the last one was aimed at."""

    node: str
    aim: tuple[object, ...] = field(repr=False)
    check: Check = field(repr=False)
    due: float = 0.0


class Checker:
    """`round` is the body of its loop: start what is due, then wait for the next one, or for news."""

    def __init__(
        self,
        *,
        store: Store,
        board: ServiceBoard,
        perform: Perform,
        concurrency: int,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        wake: Callable[[str], None],
    ) -> None:
        self._store = store
        self._board = board
        self._perform = perform
        self._concurrency = concurrency
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._wake = wake
        self._plans: dict[str, dict[str, Plan]] = {}
        self._heap: list[tuple[float, int, Key, Plan]] = []
        self._order = count()
        self._news = asyncio.Event()
        self._tasks = NodeTasks(on_end=self._news.set)

    async def round(self) -> None:
        """Start the checks that are due, as many as may be under way, then wait."""
        while self._heap and len(self._tasks) < self._concurrency and self._heap[0][0] <= self._clock.monotonic():
            self._start(*heapq.heappop(self._heap))
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause()):
                await self._news.wait()

    def heard(self, node: Node) -> None:
        """A node is there: plan what it wants to have checked, and forget what it no longer does."""
        checked = {s.id: s for s in node.spec.services if s.check is not None} if is_active(node) else {}
        plans = self._plans.setdefault(node.uid, {})
        for gone in plans.keys() - checked.keys():
            self._drop(node.uid, gone)
        for service in checked.values():
            self._plan(node, service)
        if not plans:
            self._plans.pop(node.uid, None)

    def forget(self, node_uid: str) -> None:
        """A node is gone: what is still under way for it counts for nothing."""
        self._plans.pop(node_uid, None)

    async def keep(self, uids: Collection[str]) -> None:
        """Check the services of no other nodes any more. What is known of them holds for its time."""
        for uid in self._plans.keys() - set(uids):
            del self._plans[uid]
        await self._tasks.keep(uids)

    async def aclose(self) -> None:
        """End the checks under way."""
        await self.keep(())

    def _plan(self, node: Node, service: Service) -> None:
        assert service.check is not None
        aim, known = aim_of(node, service), self._plans[node.uid].get(service.id)
        if known is not None and known.aim == aim:
            return
        if known is not None:
            self._drop(node.uid, service.id)
        plan = Plan(node.name, aim, service.check)
        self._plans[node.uid][service.id] = plan
        self._push((node.uid, service.id), plan, self._rng.uniform(0, service.check.period))

    def _drop(self, node_uid: str, service_id: str) -> None:
        del self._plans[node_uid][service_id]
        self._board.drop(node_uid, service_id)

    def _push(self, key: Key, plan: Plan, after: float) -> None:
        plan.due = self._clock.monotonic() + max(0.0, after)
        heapq.heappush(self._heap, (plan.due, next(self._order), key, plan))
        self._news.set()

    def _start(self, due: float, _order: int, key: Key, plan: Plan) -> None:
        node = self._store.get("Node", plan.node)
        if not isinstance(node, Node) or not self._is_current(key, plan):
            return
        service = next((s for s in node.spec.services if s.id == key[1]), None)
        if service is None or service.check is None:
            return
        self._metrics.check_lateness.observe(self._clock.monotonic() - due)
        check = self._check(key, plan, node, service)
        self._tasks.start(node.uid, check, name=f"check:{node.name}/{service.id}")

    async def _check(self, key: Key, plan: Plan, node: Node, service: Service) -> None:
        try:
            outcome = await self._perform(node, service)
        except Exception as error:
            log.exception("a check broke", node=node.name, service=service.id)
            outcome = Outcome(good=None, message=f"the check broke: {type(error).__name__}")
        if not self._is_current(key, plan):
            return
        self._metrics.checks.labels(plan.check.kind, result_of(outcome)).inc()
        if self._board.note(node.uid, service, outcome):
            self._wake(node.name)
        next_one = plan.due + plan.check.period * self._rng.uniform(0.9, 1.0)
        self._push(key, plan, next_one - self._clock.monotonic())

    def _is_current(self, key: Key, plan: Plan) -> bool:
        return self._plans.get(key[0], {}).get(key[1]) is plan

    def _pause(self) -> float:
        """Seconds until there is something to start; a check that ends sets the news."""
        if not self._heap or len(self._tasks) >= self._concurrency:
            return IDLE
        return min(IDLE, max(0.0, self._heap[0][0] - self._clock.monotonic()))


def result_of(outcome: Outcome) -> str:
    """The metric's label."""
    return {True: "good", False: "bad", None: "unknown"}[outcome.good]
