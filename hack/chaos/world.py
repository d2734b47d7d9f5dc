"""Everything that is there: machines behind proxies, a server over a small disk, and those who send and watch."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hack.chaos.client import Client
from hack.chaos.coordinator import Coordinator
from hack.chaos.journal import Journal
from hack.chaos.machine import Machine
from hack.chaos.rival import Rival
from tests.support.keys import make_key_pair
from tests.support.nodes import path_without_perl
from tests.support.proxy import Proxy


@dataclass
class World:
    """What the troubles act upon. `tally` counts them."""

    rng: random.Random
    journal: Journal
    coordinator: Coordinator
    client: Client
    rival: Rival
    machines: list[Machine]
    proxies: dict[str, Proxy]
    tally: Counter[str] = field(default_factory=Counter)
    bystanders: set[int] = field(default_factory=set)
    """Processes that have the number of one that was killed."""

    def machine(self) -> Machine:
        """One of them."""
        return self.rng.choice(self.machines)

    def count(self, kind: str, times: int = 1, node: str = "") -> None:
        """A trouble of that kind was made, there."""
        self.tally[kind] += times
        self.journal.note("trouble", kind=kind, times=times, node=node)


@asynccontextmanager
async def build(folder: Path, *, seed: int, machines: int) -> AsyncIterator[World]:
    """A world with all nodes registered and the server kept alive; it ends with all of it.

    Every other node has no perl, so both runners are there.
    """
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        key = make_key_pair(folder / "key")
        bare = path_without_perl(folder / "bin")
        fleet, proxies = [], {}
        for i in range(machines):
            (root := folder / f"node-{i}").mkdir()
            machine = Machine(root, key, path=str(bare) if i % 2 else None)
            stack.callback(machine.close)
            await machine.power_on()
            fleet.append(machine)
            proxies[machine.name] = proxy = await Proxy(machine.port).start()
            stack.push_async_callback(proxy.aclose)
        coordinator = Coordinator(folder / "server", rng)
        stack.callback(coordinator.server.close)
        await _register(coordinator, fleet, proxies)
        journal = Journal(folder / "evidence")
        stack.callback(journal.close)
        client = Client(coordinator.server.url, journal)
        stack.push_async_callback(client.http.aclose)
        rival = Rival(client)
        stack.push_async_callback(rival.aclose)
        yield World(rng, journal, coordinator, client, rival, fleet, proxies)


async def _register(coordinator: Coordinator, fleet: list[Machine], proxies: dict[str, Proxy]) -> None:
    server = coordinator.server
    await asyncio.to_thread(server.start)
    for machine in fleet:
        through = server.transport_to(machine, port=proxies[machine.name].port)
        await asyncio.to_thread(server.register, machine.name, machine, transport=through)
    server.kill()
