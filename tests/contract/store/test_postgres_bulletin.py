"""What servers on a PostgreSQL store tell each other without storing it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress

import pytest

from controller.bulletin import Value
from controller.store.base import Store
from controller.store.postgres import posts
from controller.store.postgres.database import Database
from controller.store.postgres.fence import Fence
from controller.store.postgres.posts import Posts
from tests.contract.store.objects import PostgresBackend, SetClock
from tests.support.postgres import OwnServer, fresh_dsn

PERIOD = 0.02


class Member:
    """A server with its end of the bulletin, and what it has heard under one topic."""

    def __init__(self, dsn: str, member: str) -> None:
        self.id = member
        database = Database.of(dsn)
        self.fence = Fence()
        self.fence.let_in(member)
        self.posts = Posts(database, self.fence, PERIOD)
        self.heard: list[tuple[str, str, Value | None]] = []
        self.posts.listen("t", self.hear)

    def hear(self, key: str, member: str, value: Value | None) -> None:
        """Another one has posted."""
        self.heard.append((key, member, value))

    def known(self) -> dict[tuple[str, str], Value]:
        """What is posted now, as far as this one has heard."""
        newest = {(key, member): value for key, member, value in self.heard}
        return {place: value for place, value in newest.items() if value is not None}


@pytest.fixture
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A schema that nobody has used; for `own`, in a database that nobody else uses."""
    if getattr(request, "param", "") == "own":
        server = OwnServer()
        yield server.url
        server.close()
    else:
        yield fresh_dsn()


@pytest.fixture
async def store(clock: SetClock, dsn: str) -> AsyncIterator[tuple[str, Store]]:
    """A schema, and a store on it."""
    backend = PostgresBackend(clock, dsn)
    store = backend.open()
    await store.start()
    yield backend.dsn, store
    await store.aclose()


@pytest.fixture
def admin(store: tuple[str, Store]) -> Callable[..., Awaitable[object]]:
    """Execute a statement on a connection of its own."""
    database = Database.of(store[0])

    async def execute(statement: str, *values: object) -> object:
        connection = await database.connect()
        try:
            await connection.execute(f"SET search_path = {database.schema}")
            return await connection.fetchval(statement, *values)
        finally:
            connection.terminate()

    return execute


Admin = Callable[..., Awaitable[object]]
Make = Callable[[str], Awaitable[Member]]


@pytest.fixture
async def make(store: tuple[str, Store], admin: Admin) -> AsyncIterator[Make]:
    """Make a member, which posts and hears from then on."""
    running = []
    async with AsyncExitStack() as stack:

        async def made(name: str) -> Member:
            await enter(admin, name)
            member = Member(store[0], name)
            running.append(asyncio.create_task(member.posts.run()))
            return member

        async def end() -> None:
            for task in running:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

        stack.push_async_callback(end)
        yield made


async def enter(admin: Admin, member: str) -> None:
    """Make it a member for an hour."""
    await admin(
        "INSERT INTO members (id, host, pid, address, since, expires, takes_shares) "
        "VALUES ($1, 'h', 1, '', now(), now() + interval '1 hour', true)",
        member,
    )


async def until(what: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if what():
            return
        await asyncio.sleep(PERIOD)
    raise AssertionError("not within 30 s")


async def test_others_hear_the_last_post_under_each_key(make: Make, store: tuple[str, Store]) -> None:
    """Of one topic, and by whom. Nobody hears himself, and no revision is made."""
    first, second, third = await make("a"), await make("b"), await make("c")
    for count in range(50):
        first.posts.post("t", "n1", {"count": count})
    first.posts.post("t", "n2", {})
    first.posts.post("other", "n1", {"count": -1})
    second.posts.post("t", "n1", {"text": 'snow ☃, a NUL \0, half a pair \ud800, "quotes"'})
    await until(lambda: len(third.known()) == 3)
    assert third.known() == {
        ("n1", "a"): {"count": 49},
        ("n2", "a"): {},
        ("n1", "b"): {"text": 'snow ☃, a NUL \0, half a pair \ud800, "quotes"'},
    }
    await until(lambda: len(first.known()) == 1)
    assert {member for _, member, _ in first.heard} == {"b"}
    first.posts.post("t", "n1", None)
    first.posts.post("t", "never", None)
    await until(lambda: ("n1", "a", None) in third.heard)
    assert third.known().keys() == {("n2", "a"), ("n1", "b")}
    assert store[1].revision() == 0


async def test_a_key_may_be_any_text(make: Make) -> None:
    """A key is the caller's; PostgreSQL takes less than it may hold."""
    first, second = await make("a"), await make("b")
    first.posts.post("t", "\0 \ud800", {"ok": True})
    await until(lambda: second.known() == {("\0 \ud800", "a"): {"ok": True}})


async def test_the_whole_is_heard_at_first(make: Make) -> None:
    """By a server that comes later, and by whoever begins to listen later."""
    first = await make("a")
    first.posts.post("t", "k", {"n": 1})
    second = await make("b")
    await until(second.known)
    late: list[object] = []
    second.posts.listen("t", lambda *heard: late.append(heard))
    assert late == [("k", "a", {"n": 1})]


async def test_what_is_no_json_is_refused_at_once(make: Make) -> None:
    """Where the mistake is, and not in the batch that everybody's posts are in."""
    first, second = await make("a"), await make("b")
    with pytest.raises(ValueError, match="not JSON compliant"):
        first.posts.post("t", "k", {"n": float("nan")})
    with pytest.raises(TypeError):
        first.posts.post("t", "k", {"n": object()})  # type: ignore[dict-item]
    first.posts.post("t", "k", {"n": 1})
    await until(lambda: second.known() == {("k", "a"): {"n": 1}})


async def test_posts_go_with_their_member_and_come_with_the_next(make: Make, admin: Admin) -> None:
    """An expelled one posts nothing; under its new id it posts all that it had."""
    first, second = await make("a"), await make("b")
    first.posts.post("t", "k1", {"n": 1})
    first.posts.post("t", "k2", {"n": 2})
    await until(lambda: len(second.known()) == 2)
    await admin("DELETE FROM members WHERE id = 'a'")
    await until(lambda: not second.known())
    first.posts.post("t", "k1", {"n": 3})
    first.posts.post("t", "k2", None)
    first.fence.shut_out()
    await enter(admin, "a2")
    first.fence.let_in("a2")
    await until(lambda: second.known() == {("k1", "a2"): {"n": 3}})
    assert first.known() == {}


@pytest.mark.parametrize("dsn", ["own"], indirect=True)
async def test_a_crash_of_the_database_takes_nothing_down(make: Make, admin: Admin) -> None:
    """It empties the table. All is posted again, for whoever comes later too; nobody is told that it was gone."""
    first, second = await make("a"), await make("b")
    first.posts.post("t", "kept", {"n": 1})
    first.posts.post("t", "dropped", {"n": 2})
    await until(lambda: len(second.known()) == 2)
    pid = await admin("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' LIMIT 1")
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    first.posts.post("t", "dropped", None)
    first.posts.post("t", "new", {"n": 3})
    await until(lambda: second.known() == {("kept", "a"): {"n": 1}, ("new", "a"): {"n": 3}})
    assert ("kept", "a", None) not in second.heard
    third = await make("c")
    await until(lambda: third.known() == second.known())


async def test_an_emptied_table_is_filled_again_on_the_same_connection(make: Make, admin: Admin) -> None:
    """Behind a pooler a crash of the database cuts nobody off."""
    first, second = await make("a"), await make("b")
    first.posts.post("t", "k", {"n": 1})
    await until(second.known)
    await admin("TRUNCATE bulletin")
    third = await make("c")
    await until(lambda: third.known() == {("k", "a"): {"n": 1}})
    assert second.known() == third.known()
    assert ("k", "a", None) not in second.heard


async def test_what_was_taken_down_is_forgotten(make: Make, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once nobody need be told of it any more."""
    monkeypatch.setattr(posts, "_KEPT", 50)
    monkeypatch.setattr(posts, "_SWEEP", 1)
    first, second = await make("a"), await make("b")
    first.posts.post("t", "k", {})
    await until(second.known)
    first.posts.post("t", "k", None)
    await until(lambda: not second.known())
    deadline = time.monotonic() + 30
    while await admin("SELECT count(*) FROM bulletin WHERE topic = 't'"):
        assert time.monotonic() < deadline
    assert second.heard[-1] == ("k", "a", None)


async def test_a_listener_that_fails_keeps_nothing_from_the_others(make: Make) -> None:
    """It is logged; the bulletin goes on."""
    first, second = await make("a"), await make("b")

    def fail(*_: object) -> None:
        raise RuntimeError

    late: list[object] = []
    second.posts.listen("t", fail)
    second.posts.listen("t", lambda *heard: late.append(heard))
    first.posts.post("t", "k", {"n": 1})
    await until(lambda: late)
    first.posts.post("t", "k", {"n": 2})
    await until(lambda: late[-1] == ("k", "a", {"n": 2}))


async def test_more_posts_than_one_statement_takes_arrive(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts, "_SLICE", 3)
    first, second = await make("a"), await make("b")
    for n in range(10):
        first.posts.post("t", str(n), {"n": n})
    await until(lambda: second.known() == {(str(n), "a"): {"n": n} for n in range(10)})
