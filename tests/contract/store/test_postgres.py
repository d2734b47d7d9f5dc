"""What only PostgreSQL has: other servers on the same store, a network in between, and databases that others use."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from controller.store.base import AlreadyExists, Conflict, Create, Expired, Store, Unavailable, Update
from controller.store.postgres import follower, mirror
from controller.store.postgres.database import Database
from controller.store.postgres.errors import sentence
from controller.store.postgres.rows import Head
from tests.contract.store.objects import PostgresBackend, SetClock, append, command, create, labelled, node
from tests.support.postgres import by_way_of, fresh_dsn, target


@pytest.fixture
def backend(clock: SetClock) -> PostgresBackend:
    return PostgresBackend(clock, fresh_dsn())


@pytest.fixture
async def servers(backend: PostgresBackend) -> AsyncIterator[list[Store]]:
    """Three on one store. They start at once: one of them makes the schema, and the others find it."""
    stores = [backend.open() for _ in range(3)]
    await asyncio.gather(*(store.start() for store in stores))
    yield stores
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_every_server_sees_every_change_in_one_order(servers: list[Store]) -> None:
    """E-2: the same ids on every replica, without gap or repeat, whoever wrote and however the commits raced."""
    assert len({store.uid for store in servers}) == 1
    watches = [store.watch(since=0) for store in servers]
    await asyncio.gather(*(create(store, node(f"s{i}-{n}")) for i, store in enumerate(servers) for n in range(50)))
    seen = []
    for watch in watches:
        async with watch:
            changes = list(await watch.batch(1000, 5))
            while len(changes) < 150:
                changes += await watch.batch(1000, 5)
            seen.append([(change.revision, change.obj) for change in changes])
    assert [revision for revision, _ in seen[0]] == list(range(1, 151))
    assert seen[0] == seen[1] == seen[2]


async def test_a_late_commit_is_passed_by_nobody(servers: list[Store], other: asyncpg.Connection) -> None:
    """While a transaction that took a revision is open, nobody gets a later one; then all see both."""
    async with other.transaction():
        await other.execute("UPDATE head SET revision = revision + 1")
        later = asyncio.create_task(create(servers[0], node("later")))
        await asyncio.sleep(0.2)
        assert not later.done()
        assert servers[1].revision() == 0
        body = b'{"metadata": {"name": "early"}, "spec": {}}'
        await other.execute("CREATE TABLE history_0 PARTITION OF history FOR VALUES FROM (0) TO (20000)")
        await other.execute("INSERT INTO history VALUES (1, 'ADDED', 'Node', 'early', now(), NULL, 1, 1, $1)", body)
        await other.execute("INSERT INTO objects VALUES ('Node', 'early', 1, $1)", body)
    assert (await later).metadata.resource_version == "2"
    async with servers[1].watch(since=0) as watch:
        changes = list(await watch.batch(10, 5))
        changes += await watch.batch(10, 5) if len(changes) < 2 else []
    assert [change.obj.name for change in changes] == ["early", "later"]


async def test_a_server_far_behind_catches_up_whole(servers: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with more than it asks for at a time, and with the sizes of output that lies in between."""
    monkeypatch.setattr(mirror, "_PAGE", 3)
    made = await servers[0].write(*(Create(obj=command(f"c{n}")) for n in range(10)))
    assert made[9] is not None
    await servers[0].write(append(made[9].uid, 0, b"abc"))
    for store in servers[1:]:
        await store.current()
        assert store.list("Command").items == servers[0].list("Command").items
        assert store.output_sizes(made[9].uid) == (3, 0)
        async with store.watch(since=0) as watch:
            assert [change.revision for change in await watch.batch(100, 5)] == list(range(1, 11))


async def test_own_commits_are_no_news(backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server looks at what others have written, and not at what it has written itself."""
    monkeypatch.setattr(follower, "POLL", 60)
    looks = 0

    async def counted(connection: asyncpg.Connection, schema: str, known: mirror.Mirror) -> tuple[Head, bool]:
        nonlocal looks
        looks += 1
        return await mirror.look(connection, schema, known)

    monkeypatch.setattr(follower, "look", counted)
    store, another = backend.open(), backend.open()
    await store.start()
    await store.current()
    before = looks
    for n in range(5):
        await create(store, node(f"own-{n}"))
    await asyncio.sleep(0.05)
    assert looks == before
    await another.start()
    await create(another, node("of-another"))
    async with store.watch(frozenset({"Node"}), name="of-another", since=0) as watch:
        assert await watch.batch(1, 5)
    await asyncio.gather(store.aclose(), another.aclose())


async def test_one_of_two_servers_wins(servers: list[Store]) -> None:
    """Preconditions hold against what the others wrote, seen or not."""
    made = await create(servers[0], node("n"))
    answers = await asyncio.gather(
        *(store.write(Update(obj=labelled(made, by=str(i)))) for i, store in enumerate(servers)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [Conflict, Conflict]
    with pytest.raises(AlreadyExists):
        await create(servers[1], node("n"))
    await asyncio.gather(*(store.current() for store in servers))
    assert all(store.get("Node", "n") == servers[1].get("Node", "n") for store in servers)


async def test_a_watch_goes_on_from_what_another_server_has_shown(servers: list[Store]) -> None:
    """From a revision that this one has not heard of yet; one that never was is refused all the same."""
    for n in range(10):
        shown = await create(servers[0], node(f"n{n}"))
        async with servers[1].watch(since=int(shown.metadata.resource_version)) as watch:
            assert watch.revision == n + 1
    with pytest.raises(Expired):
        async with servers[1].watch(since=99):
            pass


async def test_output_of_one_server_is_followed_on_another(servers: list[Store]) -> None:
    """C-11 on any replica: an append makes no revision, and wakes its followers all the same."""
    uid = (await create(servers[0], command("c"))).uid
    await servers[0].write(append(uid, 0, b"abc"))
    async with servers[1].watch(since=0) as watch:
        assert await watch.batch(1, 5)
    assert await servers[1].wait_output(uid, position=2, timeout=5)
    await servers[1].write(append(uid, 3, b"def"))
    assert await servers[0].wait_output(uid, position=5, timeout=5)
    assert b"".join(chunk.data for chunk in await servers[0].read_output(uid)) == b"abcdef"


async def test_a_write_outlives_the_connections(servers: list[Store], other: asyncpg.Connection) -> None:
    """An administrator ends every connection, and again: no write fails, none happens twice, watches go on."""
    writes = []
    for n in range(30):
        writes.append(asyncio.create_task(create(servers[n % 3], node(f"n{n}"))))
        if n % 10 == 5:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND backend_type = 'client backend'"
            )
        await asyncio.sleep(0.01)
    await asyncio.gather(*writes)
    assert await other.fetchval("SELECT revision FROM head") == 30
    async with servers[2].watch(since=0) as watch:
        seen: list[int] = []
        while len(seen) < 30:
            seen += [change.revision for change in await watch.batch(100, 5)]
    assert seen == list(range(1, 31))


class Deaf:
    """A way to the database on which the answer to one COMMIT gets lost, and the connection with it.

    It is the one after `about` was sent, the name of what is written then: there are others.
    """

    def __init__(
        self, about: str, *, deliver: bool, meanwhile: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self.about = about.encode()
        self.deliver = deliver
        self.meanwhile = meanwhile
        self.lost = 0

    async def serve(self) -> asyncio.Server:
        """Listen on a port of loopback."""
        return await asyncio.start_server(self._pass_on, "127.0.0.1", 0)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = target()
        there = await (
            asyncio.open_unix_connection(place)
            if isinstance(place, str)
            else asyncio.open_connection("127.0.0.1", place)
        )
        back = asyncio.create_task(_pump(there[0], writer))
        due = False
        while data := await reader.read(65536):
            due = not self.lost and (due or self.about in data)
            if due and b"COMMIT" in data:
                back.cancel()
                await asyncio.wait({back})
                await self._lose(*there, data)
                break
            there[1].write(data)
        writer.transport.abort()
        there[1].close()
        back.cancel()

    async def _lose(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commit: bytes) -> None:
        self.lost += 1
        if self.deliver:
            writer.write(commit)
            await reader.read(65536)
        if self.meanwhile:
            await self.meanwhile()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


@pytest.mark.parametrize("deliver", [True, False])
async def test_a_commit_without_an_answer(backend: PostgresBackend, *, deliver: bool) -> None:
    """The write is not reported as failed, and has happened once, whether the COMMIT had arrived or not."""
    way = Deaf("unanswered", deliver=deliver)
    async with await way.serve() as server:
        dsn = by_way_of(backend.dsn, server.sockets[0].getsockname()[1])
        store = PostgresBackend(backend.clock, dsn).open()
        await store.start()
        await create(store, node("before"))
        made = await create(store, node("unanswered"))
        assert way.lost == 1
        assert made.metadata.resource_version == "2" == str(store.revision())
        assert (await create(store, node("after"))).metadata.resource_version == "3"
        await store.aclose()


async def test_a_commit_without_an_answer_before_a_schema_that_is_too_new(
    backend: PostgresBackend, other: asyncpg.Connection
) -> None:
    """Nobody waits for ever for what this version cannot be told, and nobody is told that nothing was stored."""
    way = Deaf("unanswered", deliver=True, meanwhile=lambda: other.execute("UPDATE head SET oldest = 1000"))
    async with await way.serve() as server:
        store = PostgresBackend(backend.clock, by_way_of(backend.dsn, server.sockets[0].getsockname()[1])).open()
        await store.start()
        await create(store, node("before"))
        with pytest.raises(Unavailable, match=r"whether this write was stored is not known.*replace this server"):
            await create(store, node("unanswered"))
        assert way.lost == 1
        await store.aclose()


async def test_a_schema_of_another_program_is_left_alone(backend: PostgresBackend, other: asyncpg.Connection) -> None:
    """A database may be shared; a schema may not."""
    schema = Database.of(backend.dsn).schema
    await other.execute(f"CREATE SCHEMA {schema}; CREATE TABLE head (theirs int); INSERT INTO head VALUES (1)")
    with pytest.raises(Unavailable, match="another program"):
        await backend.open().start()
    assert await other.fetchval("SELECT theirs FROM head") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("INSERT INTO migrations VALUES (999, 'x', 'y')", "version 999"),
        ("UPDATE migrations SET checksum = 'x'", "another text"),
        ("UPDATE objects SET schema = 999", "999"),
    ],
)
async def test_a_schema_that_is_not_ours_to_read_is_refused(
    backend: PostgresBackend, other: asyncpg.Connection, change: str, reason: str
) -> None:
    """As after going back to an older version: nothing is touched, and the sentence says why."""
    store = backend.open()
    await store.start()
    await create(store, node("n"))
    await store.aclose()
    await other.execute(change)
    with pytest.raises(Unavailable, match=reason):
        await backend.open().start()


async def test_through_a_pooler_nothing_is_left_on_a_connection(backend: PostgresBackend) -> None:
    """In transaction mode there is no LISTEN and no prepared statement: polling alone tells of others' writes."""
    stores = [PostgresBackend(backend.clock, f"{backend.dsn}&pgbouncer=true").open() for _ in range(2)]
    for store in stores:
        await store.start()
    await create(stores[0], node("n"))
    async with stores[1].watch(since=0) as watch:
        assert [change.obj.name for change in await watch.batch(1, 5)] == ["n"]
    for store in stores:
        await store.aclose()


async def test_no_text_of_postgresql_has_a_nul(servers: list[Store]) -> None:
    """What cannot be stored is not there."""
    assert servers[0].get("Node", "a\0b") is None


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://u:hunter2@h/d",
        "postgres://u:hunter2@h/d?pgbouncer=perhaps",
        "postgres://u:hunter2@h/d?schema=",
        "postgres://u:hunter2@127.0.0.1:1/d",
        "postgres://u:hunter2@127.0.0.1:x/d",
    ],
)
async def test_the_password_is_in_no_error(clock: SetClock, dsn: str) -> None:
    """A-6: whatever is wrong with the dsn."""
    with pytest.raises(Unavailable) as caught:
        await PostgresBackend(clock, dsn).open().start()
    assert "hunter2" not in str(caught.value)


async def test_an_error_repeats_no_value() -> None:
    """PostgreSQL quotes what it cannot take, and a log is read by many."""
    database = Database.of(fresh_dsn())
    connection = await database.connect()
    with pytest.raises(asyncpg.DataError) as caught:
        await connection.execute("SELECT 'hunter2'::integer")
    await connection.close()
    assert "hunter2" in str(caught.value)
    assert sentence(caught.value) == "InvalidTextRepresentationError (22P02)"


@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
async def test_a_commit_is_at_least_durable(given: str, used: str) -> None:
    """Whatever the database's default is: one that waits for a replica as well is left alone."""
    database = Database.of(f"{fresh_dsn()}&synchronous_commit={given}")
    connection = await database.connect()
    async with database.transaction(connection):
        assert await connection.fetchval("SHOW synchronous_commit") == used
    await connection.close()
