"""The kinds of trouble: each a function that makes it, waits as long as it lasts, and takes it back."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import asyncpg

from hack.chaos.client import ENDED
from hack.chaos.orders import quick
from hack.replicas.replica import Replica
from hack.replicas.world import LEASE, World

Kind = Callable[[World], Awaitable[None]]
SAMPLES = 9
"""Commands by which a hand-over is measured, each to some node."""
GIVEN_UP = 120.0


async def kill(world: World) -> None:
    """SIGKILL one server; another is started at once."""
    with _taken_down(world) as replica:
        if replica is not None:
            replica.signal(signal.SIGKILL)
            world.count("servers killed")
            await _measure(world)
            await replica.is_ready()


async def stop(world: World) -> None:
    """SIGSTOP one server for longer than its lease. It goes on, as if nothing had been, in the middle of whatever."""
    with _taken_down(world) as replica:
        if replica is not None:
            replica.signal(signal.SIGSTOP)
            world.count("servers stopped for longer than the lease")
            measuring = asyncio.create_task(_measure(world))
            await asyncio.sleep(LEASE + world.rng.uniform(1, 5))
            replica.signal(signal.SIGCONT)
            await measuring
            await replica.is_ready()


async def isolate(world: World) -> None:
    """The network between one server and the database swallows everything, for shorter or longer than the lease."""
    with _taken_down(world) as replica:
        if replica is not None:
            replica.proxy.stall()
            world.count("servers cut off from the database")
            measuring = asyncio.create_task(_measure(world))
            await asyncio.sleep(world.rng.choice([1, LEASE + 4]))
            replica.proxy.cut()
            replica.proxy.resume()
            await measuring
            await replica.is_ready()


async def end_connections(world: World) -> None:
    """An administrator ends half of all connections to the database."""
    try:
        connection = await asyncpg.connect(world.database.url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND random() < 0.5"
        )
        await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return  # it is just being restarted
    world.count("rounds of ended database connections")


async def restart_database(world: World) -> None:
    """Stop it, abruptly for its clients, and start it again."""
    await asyncio.to_thread(world.database.stop)
    await asyncio.sleep(world.rng.uniform(0, 2))
    await asyncio.to_thread(world.database.start)
    world.count("database restarts")


KINDS: dict[Kind, int] = {kill: 6, stop: 4, isolate: 3, end_connections: 3, restart_database: 1}


async def make(world: World) -> None:
    """One trouble after another, for ever; some begin before others are over."""
    async with asyncio.TaskGroup() as group:
        restarting: asyncio.Task[None] | None = None
        while True:
            kinds, weights = zip(*KINDS.items(), strict=True)
            kind: Kind = world.rng.choices(kinds, weights)[0]
            if kind is not restart_database:
                group.create_task(_made(kind, world))
            elif restarting is None or restarting.done():
                restarting = group.create_task(_made(kind, world))
            await asyncio.sleep(world.rng.uniform(1, 4))


async def _made(kind: Kind, world: World) -> None:
    await kind(world)


@contextmanager
def _taken_down(world: World) -> Iterator[Replica | None]:
    """One of them; nobody while another one is down, which would have the nodes wait for two leases."""
    if any(replica.down for replica in world.replicas):
        yield None
        return
    replica = world.rng.choice(world.replicas)
    replica.down = True
    try:
        yield replica
    finally:
        replica.down = False


async def _measure(world: World) -> None:
    """How long commands take that are sent now, when some of their nodes have just lost their server."""
    names = world.rng.sample(list(world.nodes), SAMPLES)
    await asyncio.gather(*(_measure_one(world, name) for name in names))


async def _measure_one(world: World, node: str) -> None:
    clock = asyncio.get_running_loop().time
    order = quick(f"h{world.journal.moment()}")
    began = clock()
    await world.steady.send(order, node)
    while await world.steady.look(order.id) not in ENDED and clock() - began < GIVEN_UP:  # noqa: ASYNC110 - polled
        await asyncio.sleep(0.1)
    world.handovers.append(clock() - began)
