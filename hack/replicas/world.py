"""Everything that is there: machines with many nodes each, replicas on one database, and those who send and watch."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from hack.chaos.client import Client
from hack.chaos.journal import Journal
from hack.chaos.machine import Machine
from hack.replicas.replica import Replica
from tests.support.keys import make_key_pair
from tests.support.postgres import OwnServer, target_of
from tests.support.proxy import Proxy

LEASE = 5
"""Seconds after which a server that does not answer is expelled."""
SECTIONS: dict[str, dict[str, Any]] = {
    "registry": {
        "lease_duration": f"{LEASE}s",
        "node_timeout": "30s",
        "health_check_interval": "10s",
        "sync_interval": "10s",
    },
    "transports": {"ssh": {"keepalive_interval": "5s"}},
    "websocket": {"ping_period": "2s"},
}


@dataclass
class World:
    """What the troubles act upon. `tally` counts them, `handovers` holds the seconds that each measured one took."""

    rng: random.Random
    journal: Journal
    client: Client
    """Asks any server."""
    steady: Client
    """Asks servers that no trouble has taken down: what it waits for, it does not wait for a connection."""
    database: OwnServer
    replicas: Sequence[Replica]
    machines: Sequence[Machine]
    nodes: Sequence[str]
    tally: Counter[str] = field(default_factory=Counter)
    handovers: list[float] = field(default_factory=list)

    def count(self, kind: str) -> None:
        """A trouble of that kind was made."""
        self.tally[kind] += 1
        self.journal.note("trouble", kind=kind)


class AnyReplica(httpx2.AsyncBaseTransport):
    """Sends each request to one of several servers, as a load balancer does."""

    def __init__(self, candidates: Callable[[], Sequence[Replica]], rng: random.Random) -> None:
        self._candidates = candidates
        self._rng = rng
        self._inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=200))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises TransportError when that one does not answer: the client may try again."""
        chosen = httpx2.URL(self._rng.choice(self._candidates()).server.url)
        request.url = request.url.copy_with(host=chosen.host, port=chosen.port)
        request.headers["Host"] = f"{chosen.host}:{chosen.port}"
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


@asynccontextmanager
async def build(folder: Path, *, seed: int, replicas: int, machines: int, nodes: int) -> AsyncIterator[World]:
    """A world with all nodes registered and every replica kept alive; it ends with all of it."""
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        database = OwnServer()
        stack.callback(database.close)
        fleet = []
        key = make_key_pair(folder / "key")
        for i in range(machines):
            (root := folder / f"machine-{i}").mkdir()
            fleet.append(machine := Machine(root, key))
            stack.callback(machine.close)
            await machine.power_on()
        group = []
        for i in range(replicas):
            proxy = await Proxy(target_of(database.url)).start()
            stack.push_async_callback(proxy.aclose)
            group.append(
                replica := Replica(folder / f"replica-{i}", f"{database.url}&schema=fleet", proxy, **SECTIONS)
            )
            stack.callback(replica.server.close)
        journal = Journal(folder / "evidence")
        stack.callback(journal.close)
        client = Client("http://fleet", journal, transport=AnyReplica(lambda: group, rng))
        steady = Client("http://fleet", journal, transport=AnyReplica(lambda: [r for r in group if not r.down], rng))
        steady.history = client.history
        for one in (client, steady):
            stack.push_async_callback(one.http.aclose)
        keepers = [asyncio.create_task(replica.keep()) for replica in group]
        stack.callback(lambda: [keeper.cancel() for keeper in keepers])
        if not all([await replica.is_ready() for replica in group]):
            raise RuntimeError("a replica does not become ready: see its server.log")
        names = [f"node-{i}" for i in range(nodes)]
        await asyncio.to_thread(_register, group, fleet, names)
        yield World(rng, journal, client, steady, database, group, fleet, names)


def _register(replicas: Sequence[Replica], machines: Sequence[Machine], names: Sequence[str]) -> None:
    for replica in replicas:
        replica.server.credential("key", machines[0])
    for i, name in enumerate(names):
        replicas[i % len(replicas)].server.register(name, machines[i % len(machines)])
