"""All that is done for services: checking them and finding them, as one part of the controllers."""

import asyncio
from collections.abc import Callable, Collection

from controller.dispatch import Dispatcher
from controller.duration import SECOND
from controller.parts import Parts
from controller.resources.node import Node
from controller.runtime.loops import Supervisor
from controller.services.checker import Checker
from controller.services.discoverer import Discoverer
from controller.services.fromnode import FromNode
from controller.services.performer import Performer
from controller.shares import Mine
from transports.base import AddressPolicy
from transports.checks import Checks


class ServiceLoops:
    """The checker and the discoverer, and what both need."""

    def __init__(
        self, parts: Parts, dispatcher: Dispatcher, policy: AddressPolicy, *, mine: Mine, wake: Callable[[str], None]
    ) -> None:
        settings = parts.settings.services
        from_node = FromNode(dispatcher)
        self._board = parts.services
        self._mine = mine
        self._performer = Performer(Checks(policy, concurrency=settings.check_concurrency), from_node)
        self._checker = Checker(
            store=parts.store,
            board=parts.services,
            perform=self._performer.perform,
            concurrency=settings.check_concurrency,
            clock=parts.clock,
            rng=parts.rng,
            metrics=parts.metrics,
            wake=wake,
        )
        self._discoverer = Discoverer(
            store=parts.store,
            board=parts.services,
            from_node=from_node,
            by_default=settings.discovery,
            interval=settings.discovery_interval / SECOND,
            units=settings.discovery_units,
            clock=parts.clock,
            rng=parts.rng,
            metrics=parts.metrics,
            wake=wake,
            mine=mine,
        )

    def start(self, supervisor: Supervisor) -> None:
        """Start the loops."""
        supervisor.start("checker", self._checker.round)
        supervisor.start("discoverer", self._discoverer.round)

    def heard(self, node: Node) -> None:
        """A node is there."""
        if self._mine(node.name):
            self._checker.heard(node)

    def take(self, node: Node) -> None:
        """This server works on the node from now on."""
        self._board.take(node.uid)
        self._checker.heard(node)

    def forget(self, node_uid: str) -> None:
        """A node is gone."""
        self._checker.forget(node_uid)
        self._performer.forget(node_uid)
        self._board.forget(node_uid)

    async def keep(self, uids: Collection[str]) -> None:
        """Do nothing for all other nodes any more, and leave it to others to say how their services are."""
        self._board.keep(uids)
        await asyncio.gather(self._checker.keep(uids), self._discoverer.keep(uids))

    async def aclose(self) -> None:
        """End what is under way, once the loops are stopped."""
        await self.keep(())
        await self._performer.aclose()
