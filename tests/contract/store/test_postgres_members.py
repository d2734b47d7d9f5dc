"""Servers that share the work on a PostgreSQL store: views that settle, expulsion, and the fence."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from controller.membership import LOST, View
from controller.store.base import Store, Unavailable
from controller.store.postgres import members
from controller.store.postgres.database import IDLE_TIMEOUT, Database
from tests.contract.store.objects import PostgresBackend, SetClock, create, node
from tests.support.postgres import fresh_dsn

LONG, SHORT = 600.0, 3.0
THINGS = range(24)


class Member:
    """A server that works on its share of some things. It holds nothing that another one with a place holds."""

    everybody: list["Member"]

    def __init__(self, store: Store, *, takes_shares: bool = True, address: str = "") -> None:
        self.store = store
        self.membership = store.membership(takes_shares=takes_shares, address=address or f"127.0.0.1:{id(self)}")
        self.told: list[View] = []
        self.held: set[int] = set()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._running: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Start, and share the work from then on."""
        await self.store.start()
        self._running = asyncio.create_task(self.membership.run(self._on_view))

    async def leave(self) -> None:
        """Stop, and say so."""
        if self._running is not None:
            self.held.clear()
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def _on_view(self, view: View) -> None:
        self.told.append(view)
        await self.may_answer.wait()
        mine = {thing for thing in THINGS if self._is_mine(thing, view)}
        self.held = mine if view.settled else self.held & mine
        others = [other for other in Member.everybody if other is not self and other.has_place()]
        assert not self.has_place() or not any(other.held & self.held for other in others)

    def has_place(self) -> bool:
        """Whether it believes that it is a member."""
        return self.membership.view() != LOST

    def _is_mine(self, thing: int, view: View) -> bool:
        return max(view.live, key=lambda member: hash((member, thing)), default="") == self.membership.me

    def _has_ended(self) -> bool:
        return self._running is not None and self._running.done()

    async def until(self, what: Callable[[View], object]) -> View:
        """Wait until it is told such a view."""
        await eventually(lambda: self._has_ended() or (self.told and what(self.told[-1])))
        assert not self._has_ended()
        return self.told[-1]


@pytest.fixture
def backend(clock: SetClock) -> PostgresBackend:
    return PostgresBackend(clock, fresh_dsn())


Make = Callable[..., Member]


@pytest.fixture
async def make(backend: PostgresBackend) -> AsyncIterator[Make]:
    """Make a member that has not joined yet: `make(lease=..., takes_shares=...)`."""
    Member.everybody = []
    async with AsyncExitStack() as stack:

        def made(lease: float = LONG, *, takes_shares: bool = True, address: str = "") -> Member:
            member = Member(backend.open(lease=lease), takes_shares=takes_shares, address=address)
            stack.push_async_callback(member.store.aclose)
            stack.push_async_callback(member.leave)
            stack.callback(member.may_answer.set)
            Member.everybody.append(member)
            return member

        yield made


async def settled(*members: Member) -> View:
    """Wait until all of them are told that these share the work."""
    for member in members:
        await member.until(lambda view: view.settled and view.live == {m.membership.me for m in members})
    assert set().union(*(member.held for member in members)) == set(THINGS)
    return members[0].told[-1]


async def eventually(what: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if what():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not within 30 s")


async def waits_for_a_lock(other: asyncpg.Connection) -> None:
    """Wait until another transaction waits for this one."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


async def expel(other: asyncpg.Connection, member: Member) -> None:
    """What another member does with one whose time is over."""
    async with other.transaction():
        await other.execute("SELECT FROM head FOR UPDATE")
        assert await other.execute("DELETE FROM members WHERE id = $1", member.membership.me) == "DELETE 1"
        await other.execute("UPDATE head SET generation = generation + 1")


async def test_members_settle_on_each_view(make: Make) -> None:
    """One, two, three, two: everything is held by one of them, and by no two at any time. Leaving needs no wait."""
    first, second, third = make(), make(), make()
    await first.join()
    alone = await settled(first)
    await second.join()
    both = await settled(first, second)
    assert both.generation > alone.generation
    await asyncio.gather(third.join(), settled(first, second, third))
    await second.leave()
    await settled(first, third)
    for member in (first, third):
        views = {view.generation for view in member.told if view.settled}
        assert views <= {view.generation for view in member.told if not view.settled}
        assert member.membership.view() == member.told[-1]


async def test_through_a_pooler_they_settle_too(backend: PostgresBackend, make: Make) -> None:
    """Where nothing may be left on a connection, looking must do without being woken."""
    backend.dsn += "&pgbouncer=true"
    first, second = make(lease=SHORT), make(lease=SHORT)
    await asyncio.gather(first.join(), second.join())
    await settled(first, second)


async def test_who_takes_no_shares_is_waited_for_by_nobody(make: Make) -> None:
    """A server for the API alone is a member, so that it may write, and has nothing to stop."""
    worker, server = make(), make(takes_shares=False)
    server.may_answer.clear()
    await server.join()
    assert (await server.until(lambda view: view != LOST)).live == set()
    await worker.join()
    await settled(worker)
    assert (await create(server.store, node("n"))).metadata.resource_version == "1"


async def test_who_does_not_answer_is_waited_for_until_its_time_is_over(
    make: Make, other: asyncpg.Connection
) -> None:
    """It gives up by its own clock before that, and comes back as another one."""
    first, mute, third = make(), make(lease=SHORT), make()
    await first.join()
    await mute.join()
    await settled(first, mute)
    old = mute.membership.me
    mute.may_answer.clear()
    await third.join()
    waiting = await third.until(lambda view: view.live >= {third.membership.me, old})
    async with other.transaction():
        # It does not get through to the database any more, and all that is left of it is its row.
        await other.execute("SELECT FROM members WHERE id = $1 FOR UPDATE", old)
        await eventually(lambda: not mute.has_place())
        assert not any(view.generation == waiting.generation and view.settled for view in first.told + third.told)
    await settled(first, third)
    assert mute.store.failure() == "this server has no place among the servers on its store, until it joins again"
    mute.may_answer.set()
    await settled(first, mute, third)
    assert LOST in mute.told
    assert mute.membership.me != old
    assert mute.store.failure() is None


async def test_an_expelled_server_writes_nothing(make: Make, other: asyncpg.Connection) -> None:
    """Its first write tells it, if nothing else did before; under a new id it may write again."""
    member = make()
    await member.join()
    await settled(member)
    await create(member.store, node("before"))
    old = member.membership.me
    member.may_answer.clear()
    await expel(other, member)
    with pytest.raises(Unavailable, match="no place among the servers"):
        await create(member.store, node("after"))
    await member.until(lambda view: view == LOST)
    assert await other.fetchval("SELECT revision FROM head") == 1
    member.may_answer.set()
    await settled(member)
    assert member.membership.me != old
    assert (await create(member.store, node("after"))).metadata.resource_version == "2"


async def test_an_expulsion_overtakes_a_write_that_waits(make: Make, other: asyncpg.Connection) -> None:
    """A write that waits for the lock sees the members as they are when it gets it, not as they were before."""
    member = make()
    await member.join()
    await settled(member)
    await create(member.store, node("before"))
    member.may_answer.clear()
    async with other.transaction():
        await other.execute("SELECT FROM head FOR UPDATE")
        write = asyncio.create_task(create(member.store, node("late")))
        await waits_for_a_lock(other)
        await expel(other, member)
    with pytest.raises(Unavailable, match="no place among the servers"):
        await write
    assert await other.fetchval("SELECT revision FROM head") == 1


@pytest.mark.parametrize("joined", [True, False])
async def test_who_holds_up_all_others_and_takes_no_answer_is_ended(
    make: Make, backend: PostgresBackend, *, joined: bool
) -> None:
    """A server was stopped, or its network cut, while the database sends it much: no timeout counts then.

    Whoever has a place, or wants one, ends it.
    """
    member, place = make(LONG), Database.of(backend.dsn)
    if joined:
        await member.join()
        await member.until(lambda view: view.settled)
    else:
        await make(LONG).store.start()  # which makes the schema
    stopped = await place.connect()
    await place.begin(stopped)
    await stopped.execute("SELECT * FROM head FOR UPDATE")
    stopped._transport.pause_reading()  # type: ignore[attr-defined]
    reading = asyncio.create_task(stopped.fetch("SELECT repeat('x', 1000000) FROM generate_series(1, 20)"))
    await asyncio.sleep(0.2)
    await asyncio.sleep(0 if joined else IDLE_TIMEOUT)
    async with asyncio.timeout(IDLE_TIMEOUT + 2):
        if not joined:
            await member.join()
            await member.until(lambda view: view.settled)
        await create(member.store, node("n"))
    stopped.terminate()
    await asyncio.gather(reading, return_exceptions=True)


async def test_nothing_is_written_before_joining(make: Make) -> None:
    """A server that wants to share the work is not let in by having opened the store."""
    member = make()
    await member.store.start()
    with pytest.raises(Unavailable, match="no place among the servers"):
        await create(member.store, node("n"))


async def killed(other: asyncpg.Connection, pid: int) -> str:
    """A member that was killed in the moment after it had joined, at the address `here`. Its id."""
    id_ = f"killed-{pid}"
    await other.execute(
        "WITH raised AS (UPDATE head SET generation = generation + 1) "
        "INSERT INTO members (id, host, pid, address, place, since, expires, takes_shares) "
        "VALUES ($1, '', $2, 'here', $3, now(), now() + interval '1 hour', true)",
        id_,
        pid,
        members.place_of("here"),
    )
    return id_


async def test_who_was_killed_is_not_waited_for_by_who_comes_in_its_place(
    make: Make, other: asyncpg.Connection
) -> None:
    """Its address is free again, and its process gone."""
    first = make()
    await first.join()
    await settled(first)
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    dead, reborn = await killed(other, process.pid), await killed(other, os.getpid())
    await first.until(lambda view: {dead, reborn} < view.live)
    second = make(address="here")
    await second.join()
    await settled(first, second)


async def test_who_only_seems_to_be_killed_is_waited_for(make: Make, other: asyncpg.Connection) -> None:
    """Its process is there: it may be about to stop, and in the middle of work."""
    first, second = make(), make(address="here")
    await first.join()
    slow = await killed(other, os.getppid())
    await second.join()
    await second.until(lambda view: len(view.live) == 3)
    assert slow in second.told[-1].live
    assert not second.told[-1].settled
