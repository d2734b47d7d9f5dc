"""Several whole controllers that share a store and a fleet, in virtual time (contract A-6, C-9)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.announce import announce
from controller.duration import SECOND
from controller.resources.command import Command
from controller.resources.service import ServiceStatus
from controller.settings import Settings
from controller.store.base import Delete
from controller.store.open import open_store
from tests.support.members import Assembly, Board, Member, MemberBoard
from tests.support.virtualtime import VirtualClock, run
from tests.support.world import ADMIN, World
from transports.fake import FakeNode, Outcome

NODES = [f"n{number}" for number in range(9)]


class Replicas:
    """Controllers over one store and one fleet."""

    def __init__(self, fleet: dict[str, FakeNode]) -> None:
        self.fleet = fleet
        self.store = open_store("memory", clock=VirtualClock(), announce=announce)
        self.assembly = Assembly()
        self.board = Board(self.assembly)
        self.worlds: list[World] = []

    async def join(self) -> World:
        """One more."""
        member = Member(self.assembly)
        bulletin = MemberBoard(self.board, member)
        world = World(Settings(), self.fleet, self.store, membership=member, bulletin=bulletin)
        await world.controllers.start()
        self.worlds.append(world)
        return world

    async def leave(self, world: World) -> None:
        """As on SIGTERM."""
        self.worlds.remove(world)
        await world.controllers.aclose()
        assert isinstance(world.membership, Member)
        self.board.drop(world.membership.me)

    def expel(self, world: World) -> None:
        """As the others do with one of which nothing is heard."""
        assert isinstance(world.membership, Member)
        me = world.membership.me
        self.assembly.leave(world.membership)
        self.board.drop(me)

    async def shared_out(self) -> None:
        """Every node is connected to the one server that works on it."""
        await self.worlds[0].until(self.connections, lambda seen: seen == Counter(NODES))

    def connections(self) -> Counter[str]:
        """How many servers are connected to each node."""
        return Counter({name: len(node.sessions) for name, node in self.fleet.items()})

    def shares(self) -> list[int]:
        """How many nodes each server has."""
        return [sum(map(world.controllers.shares.mine, NODES)) for world in self.worlds]

    async def all_ended(self, commands: list[Command]) -> None:
        """Every command ends well, and every run was executed once."""
        for command in commands:
            ended = await self.worlds[0].ended(command)
            assert (ended.status.phase, ended.status.certainty) == ("success", "confirmed"), ended.status
        executed = Counter(run.partition(".")[0] for node in self.fleet.values() for run in node.executed.elements())
        assert set(executed.values()) == {1}
        assert len(executed) == len(commands)


def taking(seconds: float) -> FakeNode:
    """A machine on which every script takes that long, and that is not near."""
    return FakeNode(behaviour=lambda _: Outcome(seconds=seconds, stdout=b"out"), latency=0.02)


@asynccontextmanager
async def replicas(count: int, *, seconds: float = 20) -> AsyncIterator[Replicas]:
    """So many servers on the nodes; scripts take so many seconds."""
    it = Replicas({name: taking(seconds) for name in NODES})
    await it.store.start()
    for _ in range(count):
        await it.join()
    for name in NODES:
        await it.worlds[0].add_node(name)
    await it.shared_out()
    try:
        yield it
    finally:
        for world in tuple(it.worlds):
            await it.leave(world)


def test_servers_share_the_nodes_and_each_takes_commands_for_all() -> None:
    """A command may be given to any of them."""

    async def scenario() -> None:
        async with replicas(3) as it:
            assert sorted(it.shares()) != [0, 0, len(NODES)]
            assert sum(it.shares()) == len(NODES)
            commands = [await world.send(name) for name in NODES for world in it.worlds]
            await it.all_ended(commands)
            assert it.connections() == Counter(NODES)

    run(scenario())


def test_servers_come_and_go_and_what_runs_is_collected_once() -> None:
    """Runs go on on their nodes; whoever takes a node collects them, and delivers what waits."""

    async def scenario() -> None:
        async with replicas(3) as it:
            commands = [await it.worlds[n % 3].send(name) for n, name in enumerate(NODES)]
            await asyncio.sleep(5)
            await it.leave(it.worlds[1])
            commands += [await it.worlds[0].send(name) for name in NODES]
            await it.shared_out()
            await it.join()
            commands += [await it.worlds[-1].send(name) for name in NODES]
            await it.shared_out()
            assert sum(it.shares()) == len(NODES)
            await it.all_ended(commands)

    run(scenario())


def test_one_that_is_expelled_stops_and_comes_back_as_another() -> None:
    """It loses all that it had at once, takes part again, and nothing is executed twice."""

    async def scenario() -> None:
        async with replicas(2) as it:
            commands = [await it.worlds[0].send(name) for name in NODES]
            await asyncio.sleep(3)
            it.expel(it.worlds[1])
            assert it.shares()[1] == 0
            await asyncio.sleep(0.05)
            await it.worlds[0].until(it.shares, lambda shares: sum(shares) == len(NODES) and all(shares))
            await it.shared_out()
            await it.all_ended(commands)

    run(scenario())


def test_commands_of_a_node_that_is_gone_end_at_whichever_server_is_left() -> None:
    """Also if the one whose they were was gone before it could do it, and after a restart of the only one."""

    async def scenario() -> None:
        async with replicas(2) as it:
            commands = [await it.worlds[0].send(name) for name in NODES]
            await asyncio.sleep(5)
            for world in it.worlds:
                it.expel(world)
            for name in NODES:
                await it.store.write(Delete(kind="Node", name=name))
            await it.leave(it.worlds[1])
            for command in commands:
                ended = await it.worlds[0].ended(command, within=10)
                assert (ended.status.phase, ended.status.reason) == ("unknown", "NodeDeleted")

    run(scenario())


def test_a_server_that_is_back_at_once_has_its_nodes_and_their_connections() -> None:
    """As all servers do after a database was away: nobody connects to the whole fleet again."""

    async def scenario() -> None:
        async with replicas(3) as it:
            met: Counter[str] = Counter()
            for node in it.fleet.values():
                node.trouble = lambda what: met.update([what])
            before = it.shares()
            for world in it.worlds:
                it.expel(world)
            assert it.shares() == [0, 0, 0]
            await it.worlds[0].until(it.shares, lambda shares: shares == before)
            await asyncio.sleep(60)
            assert met["probe"] > len(NODES)
            assert met["connect"] == 0
            await it.leave(it.worlds[0])
            await it.worlds[0].until(it.shares, lambda shares: sum(shares) == len(NODES))
            await asyncio.sleep(60)
            assert met["connect"] == before[0]
            await it.shared_out()

    run(scenario())


def test_a_new_server_judges_no_node_by_the_time_before() -> None:
    """Of nodes that it takes it has heard nothing so far; that makes none of them unreachable."""

    async def scenario() -> None:
        async with replicas(2) as it:
            await asyncio.sleep(300)
            phases = {it.worlds[0].node(name).status.phase for name in NODES}
            first = it.store.revision()
            await it.leave(it.worlds[0])
            await it.shared_out()
            await asyncio.sleep(120)
            assert phases == {"active"}
            async with it.store.watch(frozenset({"Node"}), since=first) as watch:
                for change in await watch.batch(1000):
                    assert change.obj.status.phase == "active"  # type: ignore[attr-defined]

    run(scenario())


def test_each_server_knows_when_nodes_were_last_heard_of() -> None:
    """Whoever probes tells the others, within the time that the bulletin takes; and so for heartbeats."""

    async def scenario() -> None:
        async with replicas(3) as it:
            await asyncio.sleep(60)
            for name in NODES:
                uid = it.worlds[0].node(name).uid
                seen = [world.contacts.last(uid) for world in it.worlds]
                assert None not in seen
                now = it.worlds[0].clock.now()
                assert all((now - at).total_seconds() < 20 for at in seen if at is not None)

    run(scenario())


def test_of_nodes_that_are_gone_nothing_is_kept() -> None:
    """Also if another server's word of them comes late."""

    async def scenario() -> None:
        async with replicas(2) as it:
            uid = it.worlds[0].node("n1").uid
            await it.worlds[0].admission.nodes.delete("n1", ADMIN)
            await asyncio.sleep(5)
            it.worlds[0].contacts.touch(uid, it.worlds[0].clock.now())
            it.worlds[0].services.found(uid, (ServiceStatus(id="s"),), valid_for=1e6)
            await it.worlds[1].until(lambda: it.worlds[1].contacts.last(uid), bool)
            for world in it.worlds:
                await world.until(lambda: world.contacts.last(uid), lambda last: last is None)  # noqa: B023
                world.services.take(uid)
            assert not [key for posts in it.board.posts.values() for key, _ in posts if key == uid]

    run(scenario())


def test_output_is_fetched_often_for_whoever_follows_it_anywhere() -> None:
    """The server that works on the node looks four times a second while a follower is connected to another one."""

    async def scenario() -> None:
        async with replicas(2, seconds=600) as it:
            looks: Counter[str] = Counter()
            it.fleet["n1"].trouble = lambda what: looks.update([what])
            command = await it.worlds[0].send("n1")
            await asyncio.sleep(60)
            looks.clear()
            await asyncio.sleep(20)
            assert looks["status"] < 30
            with it.worlds[0].followers.following(command), it.worlds[1].followers.following(command):
                await asyncio.sleep(4)
                looks.clear()
                await asyncio.sleep(20)
                assert looks["status"] > 60
            await asyncio.sleep(4)
            looks.clear()
            await asyncio.sleep(20)
            assert looks["status"] < 30

    run(scenario())


def test_a_job_for_all_is_done_by_one() -> None:
    """Old commands are removed once, whoever does it; and go on to be when that one leaves."""

    async def scenario() -> None:
        async with replicas(3) as it:
            for job in ("retention", "garbage", "manifests"):
                assert [world.controllers.shares.mine_single(job) for world in it.worlds].count(True) == 1
            await it.leave(next(w for w in it.worlds if w.controllers.shares.mine_single("retention")))
            await asyncio.sleep(10)
            assert [world.controllers.shares.mine_single("retention") for world in it.worlds].count(True) == 1

    run(scenario())


def test_a_step_under_way_is_not_waited_for_for_ever() -> None:
    """A node that hangs holds up no hand-over: its command goes on with the other server."""

    async def scenario() -> None:
        async with replicas(1) as it:
            commands = [await it.worlds[0].send(name, delivery_timeout=600 * SECOND) for name in NODES]
            for node in it.fleet.values():
                node.latency = 60
            await asyncio.sleep(30)
            joined = await it.join()
            await joined.until(it.shares, all, within=10)
            for node in it.fleet.values():
                node.latency = 0.02
            await it.all_ended(commands)

    run(scenario())
