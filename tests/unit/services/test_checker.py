"""The loop that makes the checks, in virtual time (contract D-2)."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

from controller.metrics import Metrics
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec, NodeStatus
from controller.resources.service import Check, Service
from controller.services.board import ServiceBoard
from controller.services.checker import Checker
from controller.store.base import Create, Delete, Update
from controller.store.open import open_store
from tests.support.virtualtime import VirtualClock, run
from transports.checks import Outcome

GOOD = Outcome(good=True, message="connected", latency=0.001)


class Stand:
    """A store, a board and a checker over services that answer as they are told."""

    def __init__(self, *, concurrency: int = 256) -> None:
        self.clock = VirtualClock()
        self.store = open_store("memory", clock=self.clock)
        self.board = ServiceBoard(self.clock)
        self.metrics = Metrics()
        self.made: list[tuple[float, str]] = []
        self.woken: list[str] = []
        self.answer: Callable[[Service], Awaitable[Outcome]] = _good
        self.under_way = self.most = 0
        self.checker = Checker(
            store=self.store,
            board=self.board,
            perform=self._perform,
            concurrency=concurrency,
            clock=self.clock,
            rng=random.Random(7),
            metrics=self.metrics,
            wake=self.woken.append,
        )

    async def _perform(self, _node: Node, service: Service) -> Outcome:
        self.made.append((self.clock.monotonic(), service.id))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.answer(service)
        finally:
            self.under_way -= 1

    async def put(self, *services: Service, phase: str = "active") -> Node:
        """Store the node with these services, and tell the checker."""
        known = self.store.get("Node", "n1")
        status = NodeStatus.model_validate({"phase": phase})
        node = Node(
            metadata=ObjectMeta(name="n1"), spec=NodeSpec(address="192.0.2.1", services=services), status=status
        )
        stored = (await self.store.write(Update(obj=node) if known else Create(obj=node)))[0]
        assert isinstance(stored, Node)
        self.checker.heard(stored)
        return stored

    def status(self, service: str = "web") -> str:
        """What the board says."""
        node = self.store.get("Node", "n1")
        assert isinstance(node, Node)
        return next(s.status for s in self.board.look(node) if s.id == service)


async def _good(_service: Service) -> Outcome:
    return GOOD


def web(name: str = "web", **fields: object) -> Service:
    check = Check.model_validate({"tcp": True, "interval": "10s"})
    return Service.model_validate({"id": name, "port": 80, "check": check, **fields})


@asynccontextmanager
async def stand(**how: int) -> AsyncIterator[Stand]:
    """A running stand."""
    it = Stand(**how)
    await it.store.start()

    async def forever() -> None:
        while True:
            await it.checker.round()

    loop = asyncio.create_task(forever())
    try:
        yield it
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await it.checker.aclose()
        await it.store.aclose()


def test_a_service_is_checked_each_period_and_never_later() -> None:
    async def scenario() -> None:
        async with stand() as it:
            await it.put(web())
            await asyncio.sleep(120)
            times = [at for at, _ in it.made]
            assert times[0] <= 10
            assert all(8.9 <= b - a <= 10.1 for a, b in pairwise(times))
            assert (it.status(), it.woken) == ("running", ["n1"])

    run(scenario())


def test_so_many_checks_run_at_a_time_and_all_of_them_get_their_turn() -> None:
    async def scenario() -> None:
        async def slow(_service: Service) -> Outcome:
            await asyncio.sleep(1)
            return GOOD

        async with stand(concurrency=3) as it:
            it.answer = slow
            await it.put(*(web(f"s{i}") for i in range(20)))
            await asyncio.sleep(30)
            assert it.most == 3
            assert {name for _, name in it.made} == {f"s{i}" for i in range(20)}

    run(scenario())


def test_what_a_node_was_gone_for_while_it_was_checked_counts_for_nothing() -> None:
    async def scenario() -> None:
        go_on = asyncio.Event()

        async def late(_service: Service) -> Outcome:
            await go_on.wait()
            return GOOD

        async with stand() as it:
            it.answer = late
            node = await it.put(web())
            await asyncio.sleep(11)
            await it.store.write(Delete(kind="Node", name="n1"))
            it.checker.forget(node.uid)
            it.board.forget(node.uid)
            go_on.set()
            await asyncio.sleep(60)
            assert (len(it.made), it.woken) == (1, [])
            await it.put(web())
            assert it.status() == "unknown"

    run(scenario())


def test_a_check_with_another_aim_begins_with_nothing_known() -> None:
    async def scenario() -> None:
        async with stand() as it:
            await it.put(web())
            await asyncio.sleep(11)
            assert it.status() == "running"
            await it.put(web(port=81))
            assert it.status() == "unknown"
            await it.put(web(port=81, status="whatever was reported"))
            await asyncio.sleep(11)
            assert it.status() == "running"
            await it.put(web(port=81, status="something else"))
            assert it.status() == "running"

    run(scenario())


def test_a_node_that_is_not_active_is_not_checked_and_comes_back_with_nothing_known() -> None:
    async def scenario() -> None:
        async with stand() as it:
            await it.put(web())
            await asyncio.sleep(11)
            await it.put(web(), phase="unreachable")
            made = len(it.made)
            await asyncio.sleep(60)
            assert len(it.made) == made
            await it.put(web())
            assert it.status() == "unknown"
            await asyncio.sleep(11)
            assert it.status() == "running"

    run(scenario())


def test_a_check_that_breaks_is_no_news_of_the_service_and_is_made_again() -> None:
    async def scenario() -> None:
        async def broken(_service: Service) -> Outcome:
            raise RuntimeError("a defect")

        async with stand() as it:
            it.answer = broken
            await it.put(web())
            await asyncio.sleep(35)
            assert len(it.made) >= 3
            assert it.status() == "unknown"

    run(scenario())
