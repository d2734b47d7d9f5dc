"""Which server works on which node: never two, and in the end one (contract A-6)."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from controller.handover import Handover, Names, Work
from controller.membership import LOST, Alone, Ids, View
from controller.metrics import Metrics
from controller.pins import Pins
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.shares import Shares, owner_of
from controller.store.base import Create, Store, Unavailable
from controller.store.open import open_store
from tests.support.members import Assembly, Board, Member, MemberBoard
from tests.support.virtualtime import VirtualClock, run

NODES = [f"n{number}" for number in range(12)]
MACHINE = ("install", "boot")


class Replica:
    """One server's share of it all. What it does for nodes is that it says so, and takes its time to stop."""

    def __init__(self, store: Store, assembly: Assembly, board: Board) -> None:
        self._board = board
        self.member = Member(assembly)
        clock = VirtualClock()
        self.pins = Pins(MemberBoard(board, self.member), clock)
        self.shares = Shares(self.member, self.pins)
        self.working: set[str] = set()
        self.agents: set[str] = set()
        self.handover = Handover(
            store=store,
            shares=self.shares,
            pins=self.pins,
            work=Work(release=self._release, take=self._take, hang_up=self.hang_up),
            clock=clock,
            metrics=Metrics(),
        )
        self._tasks = [
            asyncio.create_task(self.member.run(self.handover.on_view)),
            asyncio.create_task(self._rounds()),
        ]

    def dial(self, node: str) -> None:
        """The node's agent dials in here."""
        self.agents.add(node)
        self.pins.came(node, MACHINE)

    def hang_up(self, node: str) -> None:
        """Its connection ends."""
        self.agents.discard(node)
        self.pins.went(node)

    async def end(self) -> None:
        """As a server that stops: first the work, then the place."""
        self._tasks[1].cancel()
        self.working.clear()
        self._tasks[0].cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._board.drop(self.member.me)

    async def _rounds(self) -> None:
        while True:
            await self.member.awake.wait()
            await self.handover.round()

    async def _release(self, kept: Names, limit: float) -> None:
        if self.working - set(kept.values()):
            await asyncio.sleep(limit)
        self.working &= set(kept.values())

    def _take(self, taken: Names) -> None:
        self.working |= set(taken.values())


class Fleet:
    """Replicas that come and go, over nodes that stay."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.store = open_store("memory", clock=VirtualClock())
        self.assembly = Assembly(seed)
        self.board = Board(self.assembly)
        self.replicas: list[Replica] = []

    def join(self) -> Replica:
        """One more."""
        replica = Replica(self.store, self.assembly, self.board)
        self.replicas.append(replica)
        return replica

    def look(self) -> Counter[str]:
        """How many work on each node, or would begin to. One that has lost its place can do nothing any more."""
        counts: Counter[str] = Counter()
        for replica in self.replicas:
            if replica.member.me in self.assembly.live:
                counts.update({*replica.working, *filter(replica.shares.mine, NODES)})
        return counts

    async def watch(self, seconds: float) -> None:
        """Let time pass, and see that nobody works on what another one works on."""
        for _ in range(int(seconds / 0.05)):
            assert max(self.look().values(), default=0) <= 1, self.look()
            await asyncio.sleep(0.05)

    async def disturb(self) -> None:
        """Something happens."""
        replica = self.rng.choice(self.replicas)
        match self.rng.choice(["join", "end", "expel", "dial", "dial", "dial", "hang up", "wait"]):
            case "join" if len(self.replicas) < 4:
                self.join()
            case "end" if len(self.replicas) > 1:
                self.replicas.remove(replica)
                await replica.end()
            case "expel":
                me = replica.member.me
                self.assembly.leave(replica.member)
                self.board.drop(me)
            case "dial":
                replica.dial(self.rng.choice(NODES[:3]))
            case "hang up" if replica.agents:
                replica.hang_up(self.rng.choice(sorted(replica.agents)))
            case _:
                await self.watch(3)

    async def settle(self) -> None:
        """With nothing happening any more each node is worked on, by whoever has its agent."""
        await self.watch(20)
        assert self.look() == Counter(NODES)
        assert Counter(node for replica in self.replicas for node in replica.working) == Counter(NODES)
        for replica in self.replicas:
            assert replica.agents <= replica.working

    async def end(self) -> None:
        """Stop all."""
        for replica in self.replicas:
            await replica.end()


@pytest.mark.parametrize("seed", range(12))
def test_never_two_work_on_a_node_and_in_the_end_one_does(seed: int) -> None:
    """Whatever comes, goes, is expelled, dials in and hangs up, at whichever moment."""

    async def scene() -> None:
        fleet = Fleet(seed)
        await fleet.store.start()
        for name in NODES:
            await fleet.store.write(Create(obj=Node(metadata=ObjectMeta(name=name), spec=NodeSpec())))
        for _ in range(3):
            fleet.join()
        for _ in range(12):
            await fleet.disturb()
            await fleet.watch(fleet.rng.choice([0, 0.2, 1.5, 6]))
        await fleet.settle()
        await fleet.end()

    run(scene())


def test_nothing_is_taken_before_it_is_known_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the last owner wrote may not be here yet: the store is asked until it answers, then nodes are taken."""

    async def scene() -> None:
        fleet, asked = Fleet(7), 0

        async def away() -> None:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.5)
            if asked < 5:
                raise Unavailable("cannot ask the database what is new")

        await fleet.store.start()
        monkeypatch.setattr(fleet.store, "current", away)
        for name in NODES:
            await fleet.store.write(Create(obj=Node(metadata=ObjectMeta(name=name), spec=NodeSpec())))
        replica = fleet.join()
        while asked < 5:
            assert not fleet.look()
            await asyncio.sleep(0.05)
        await fleet.settle()
        assert replica.working == set(NODES)
        await fleet.end()

    run(scene())


def test_who_loses_its_place_waits_for_no_step() -> None:
    """The others may begin at once."""

    async def scene() -> None:
        fleet = Fleet(7)
        await fleet.store.start()
        for name in NODES:
            await fleet.store.write(Create(obj=Node(metadata=ObjectMeta(name=name), spec=NodeSpec())))
        replica = fleet.join()
        await fleet.settle()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await replica.handover.on_view(LOST)
        assert replica.working == set()
        assert loop.time() == began
        await fleet.end()

    run(scene())


def test_only_what_a_member_had_moves_when_it_goes() -> None:
    """Each of four has about a quarter; the shares of those that stay stay."""
    names = [f"node-{number}" for number in range(4000)]
    four = frozenset("abcd")
    before = {name: owner_of(name, four) for name in names}
    after = {name: owner_of(name, four - {"b"}) for name in names}
    assert all(800 < count < 1200 for count in Counter(before.values()).values())
    assert {name for name in names if before[name] != after[name]} == {n for n in names if before[n] == "b"}


def test_a_server_that_joins_again_owns_what_it_owned() -> None:
    """Under another id: a database that was away for a moment makes no node change hands."""
    names = [f"node-{number}" for number in range(400)]
    before, after = (
        {name: owner_of(name, frozenset(members)) for name in names}
        for members in ({"a.1", "b.1", "c.1"}, {"a.2", "b.7", "c.1"})
    )
    again = {"a.1": "a.2", "b.1": "b.7", "c.1": "c.1"}
    assert {name: again[owner or ""] for name, owner in before.items()} == after


def test_the_owner_is_the_same_for_whoever_asks() -> None:
    """Servers of different versions and machines agree: these are for ever."""
    members = frozenset({"0f1c", "77aa", "c0de"})
    owners = [owner_of(name, members) for name in ("web-1", "node-2", "build", "mail", "lab-7")]
    assert owners == ["77aa", "0f1c", "0f1c", "77aa", "c0de"]


def test_an_unsettled_view_takes_and_gives_nothing() -> None:
    """Of two views in a row that are not settled a member has what is its own under both, and before."""

    async def scene() -> None:
        membership = Alone(takes_shares=True)
        told: list[View] = []

        async def keep(view: View) -> None:
            told.append(view)

        task = asyncio.create_task(membership.run(keep))
        await asyncio.sleep(0)
        me = membership.me
        shares = Shares(membership, Pins(store.bulletin(), VirtualClock()))
        count: Callable[[], int] = lambda: sum(map(shares.mine, NODES))  # noqa: E731
        assert count() == 0
        shares.tell(View(1, frozenset({me}), settled=False))
        assert count() == 0
        shares.tell(View(1, frozenset({me}), settled=True))
        assert count() == len(NODES)
        shares.tell(View(2, frozenset({me, "other"}), settled=False))
        fewer = count()
        assert 0 < fewer < len(NODES)
        shares.tell(View(3, frozenset({me}), settled=False))
        assert count() == fewer
        shares.tell(LOST)
        assert count() == 0
        assert not shares.mine_single("retention")
        task.cancel()

    store = open_store("memory", clock=VirtualClock())
    run(scene())


def test_a_server_that_is_started_again_in_its_place_has_its_nodes_back() -> None:
    """Under another id, and also while the one that crashed is not missed yet."""
    before, after, other = Ids("here").next(), Ids("here").next(), Ids("there").next()
    assert before != after
    names = [f"node-{n}" for n in range(50)]
    mine = {name for name in names if owner_of(name, frozenset({before, other})) == before}
    assert mine == {name for name in names if owner_of(name, frozenset({after, other})) == after}
    assert mine == {name for name in names if owner_of(name, frozenset({before, after, other})) != other}
