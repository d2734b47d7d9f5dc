"""History and output in partitions: across their borders, and dropped when nothing needs them any more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from controller.store.base import Create, Delete, Expired, Store, Unavailable
from controller.store.history import HistoryLimits
from controller.store.postgres.database import Database
from controller.store.postgres.rows import HISTORY_SPAN, LOG_SPAN
from tests.contract.store.objects import PostgresBackend, SetClock, append, command, create, labelled, node, update
from tests.support.postgres import by_way_of, fresh_dsn, target
from tests.support.proxy import Proxy

FEW = HistoryLimits(changes=5)


@pytest.fixture
def backend(clock: SetClock) -> PostgresBackend:
    return PostgresBackend(clock, fresh_dsn())


@pytest.fixture
async def database(backend: PostgresBackend) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a schema that is about to need new partitions."""
    store = backend.open()
    await store.start()
    await store.aclose()
    place = Database.of(backend.dsn)
    connection = await place.connect()
    await connection.execute(f"SET search_path = {place.schema}")
    await connection.execute("UPDATE head SET revision = $1, compacted = $1", HISTORY_SPAN - 4)
    await connection.execute(f"ALTER TABLE logs ALTER COLUMN id RESTART WITH {LOG_SPAN - 2}")
    yield connection
    await connection.close()


@pytest.fixture
async def open_store(
    backend: PostgresBackend, database: asyncpg.Connection
) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    """Servers on that schema."""
    stores = []

    async def one(dsn: str = "") -> Store:
        store = PostgresBackend(backend.clock, dsn or backend.dsn).open(limits=FEW)
        stores.append(store)
        await store.start()
        return store

    yield one
    await asyncio.gather(*(store.aclose() for store in stores))


Open = Callable[..., Awaitable[Store]]


async def partitions(database: asyncpg.Connection, table: str) -> set[int]:
    """The first number of each."""
    rows = await database.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass", table
    )
    return {int(row["name"].rpartition("_")[2]) for row in rows}


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """What servers do by themselves about once a second."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.05)


async def test_one_write_reaches_over_the_border(open_store: Open, database: asyncpg.Connection) -> None:
    """Half of it is in one partition, half in the next; another server and a restart see all of it."""
    store, other = await open_store(), await open_store()
    since = store.revision()
    made = await store.write(*(Create(obj=node(f"n{n}")) for n in range(5)))
    assert [int(obj.metadata.resource_version) for obj in made if obj] == list(range(since + 1, since + 6))
    async with other.watch(since=since) as watch:
        assert [change.revision for change in await watch.batch(9, 5)] == list(range(since + 1, since + 6))
    assert await partitions(database, "history") == {0, HISTORY_SPAN}
    again = await open_store()
    assert len(again.list("Node").items) == 5


async def test_a_partition_that_was_taken_away_is_made_again(open_store: Open, database: asyncpg.Connection) -> None:
    """A server knows which are there, and asks anew after a failure: the one write that found out is refused."""
    store = await open_store()
    await create(store, node("a"))
    await database.execute("DROP TABLE history_0")
    with pytest.raises(Unavailable, match="nothing of it was applied"):
        await create(store, node("b"))
    assert (await create(store, node("b"))).metadata.name == "b"


async def test_history_goes_by_whole_partitions(open_store: Open, database: asyncpg.Connection) -> None:
    store = await open_store()
    since = store.revision()
    obj = await create(store, node("n"))
    for n in range(12):
        obj = await update(store, labelled(obj, n=str(n)))

    async def only_the_new_one() -> bool:
        return await partitions(database, "history") == {HISTORY_SPAN}

    await until(only_the_new_one)
    with pytest.raises(Expired):
        async with store.watch(since=since):
            pass
    assert (await open_store()).get("Node", "n") == obj


async def test_output_goes_when_no_command_of_its_partition_is_left(
    open_store: Open, database: asyncpg.Connection
) -> None:
    store = await open_store()
    uids = {}
    for name in "abcde":
        uids[name] = (await create(store, command(name))).metadata.uid
        await store.write(append(uids[name], 0, name.encode()))
    assert await partitions(database, "output") == {0, LOG_SPAN}
    await store.write(Delete(kind="Command", name="a"))
    await asyncio.sleep(1.5)  # a round of dropping: b still has output in there
    assert [chunk.data for chunk in await store.read_output(uids["b"])] == [b"b"]
    await store.write(Delete(kind="Command", name="b"))

    async def only_the_new_one() -> bool:
        return await partitions(database, "output") == {LOG_SPAN}

    await until(only_the_new_one)
    assert await database.fetchval("SELECT count(*) FROM logs") == 3
    again = await open_store()
    for name in "cde":
        assert [chunk.data for chunk in await again.read_output(uids[name])] == [name.encode()]
    await again.write(append(uids["c"], 1, b"!"))
    await store.current()
    assert [chunk.data for chunk in await store.read_output(uids["c"])] == [b"c", b"!"]


async def test_who_was_cut_off_for_too_long_begins_anew(open_store: Open, backend: PostgresBackend) -> None:
    """What the others wrote meanwhile is no longer in the history: objects are loaded, watches end as expired."""
    proxy = await Proxy(target()).start()
    store, lonely = await open_store(), await open_store(by_way_of(backend.dsn, proxy.port))
    await create(store, node("kept"))
    await create(store, node("gone"))
    await lonely.current()
    since = lonely.revision()
    proxy.stall()
    await store.write(Delete(kind="Node", name="gone"))
    obj = await create(store, node("new"))
    for n in range(20):
        obj = await update(store, labelled(obj, n=str(n)))

    async def compacted() -> bool:
        try:
            async with store.watch(since=since):
                return False
        except Expired:
            return True

    await until(compacted)
    assert lonely.get("Node", "gone") is not None
    async with lonely.watch(since=since) as watch:
        proxy.cut()
        proxy.resume()
        with pytest.raises(Expired):
            await anext(aiter(watch))
    assert [obj.metadata.name for obj in lonely.list("Node").items] == ["kept", "new"]
    assert lonely.get("Node", "new") == obj
    assert (await create(lonely, node("after"))).metadata.name == "after"
    await proxy.aclose()
