"""A whole controller on the memory store and a fake fleet, in virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from controller.admission import Admission
from controller.admission.caller import Caller
from controller.announce import announce
from controller.bulletin import Bulletin
from controller.contacts import Contacts
from controller.controllers import Controllers
from controller.followers import Followers
from controller.membership import Membership
from controller.metrics import Metrics
from controller.nodelog import NodeLog
from controller.parts import Parts
from controller.resources.command import Command, CommandParams, CommandSpec
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec, TransportSpec
from controller.runtime.failpoint import inert
from controller.services.board import ServiceBoard
from controller.settings import Settings
from controller.sources.told import SourceLog
from controller.store.base import Store
from controller.store.open import open_store
from tests.support.virtualtime import VirtualClock
from transports.base import Transport
from transports.fake import FakeNode, FakeTransport
from transports.websocket.hub import Hub

T = TypeVar("T")

ADMIN = Caller(name="tester", admin=True, operator=True)


class World:
    """One server's controller side. `fleet` is where its nodes are."""

    def __init__(
        self,
        settings: Settings,
        fleet: dict[str, FakeNode],
        store: Store | None = None,
        *,
        membership: Membership | None = None,
        bulletin: Bulletin | None = None,
    ) -> None:
        self.settings = settings
        self.clock = VirtualClock()
        self.store = store or open_store("memory", clock=self.clock, announce=announce)
        self.membership = membership or self.store.membership(takes_shares=True, address="")
        bulletin = bulletin or self.store.bulletin()
        self.fleet = fleet
        self.metrics = Metrics()
        self.contacts = Contacts(bulletin)
        self.services = ServiceBoard(self.clock, bulletin)
        self.followers = Followers(bulletin)
        self.hub = Hub()
        self.node_log = NodeLog(self.clock)
        self.admission = Admission(
            store=self.store,
            clock=self.clock,
            contacts=self.contacts,
            node_timeout=settings.registry.node_timeout,
        )
        self.controllers = Controllers(
            Parts(
                store=self.store,
                membership=self.membership,
                bulletin=bulletin,
                settings=settings,
                clock=self.clock,
                contacts=self.contacts,
                services=self.services,
                node_log=self.node_log,
                source_log=SourceLog(bulletin),
                followers=self.followers,
                metrics=self.metrics,
                hub=self.hub,
                transports=self._transport,
                known_hosts=lambda address, port: (),
                local_ports=frozenset(),
                failpoint=inert,
                rng=random.Random(7),
            )
        )
        self._fake = FakeTransport(fleet)

    def _transport(self, name: str) -> Transport:
        if name != "fake":
            raise LookupError(f"there is no transport {name!r}")
        return self._fake

    async def add_node(self, name: str = "n1", **spec: Any) -> FakeNode:
        """Register a node, and have a machine at its address."""
        machine = self.fleet.setdefault(name, FakeNode())
        spec = {"address": name, "transport": TransportSpec(type="fake"), **spec}
        await self.admission.nodes.create(Node(metadata=ObjectMeta(name=name), spec=NodeSpec(**spec)), ADMIN)
        return machine

    async def send(self, node: str = "n1", action: str = "true", *, name: str = "", **params: Any) -> Command:
        """Accept a command."""
        spec = CommandSpec(node=node, action=action, params=CommandParams(**params))
        return await self.admission.commands.create(spec, ADMIN, ObjectMeta(name=name))

    def node(self, name: str = "n1") -> Node:
        """The node as stored."""
        node = self.store.get("Node", name)
        assert isinstance(node, Node)
        return node

    def command(self, name: str) -> Command:
        """The command as stored."""
        command = self.store.get("Command", name)
        assert isinstance(command, Command)
        return command

    async def ended(self, command: Command, within: float = 3600.0) -> Command:
        """The command once it has ended."""
        return await self.until(lambda: self.command(command.name), lambda c: c.ended, within)

    async def until(self, look: Callable[[], T], good: Callable[[T], object], within: float = 3600.0) -> T:
        """What `look` sees once it is `good`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while not good(seen := look()):
            assert loop.time() < deadline, f"not within {within} s; the last thing seen: {seen}"
            await asyncio.sleep(0.05)
        return seen


@asynccontextmanager
async def world(
    settings: Settings | None = None, *, fleet: dict[str, FakeNode] | None = None, store: Store | None = None
) -> AsyncIterator[World]:
    """A running world; the fleet and the store may be those of an earlier one, as after a restart."""
    it = World(settings or Settings(), fleet if fleet is not None else {}, store)
    if store is None:
        await it.store.start()
    await it.controllers.start()
    try:
        yield it
    finally:
        await it.controllers.aclose()
