"""One active server on a PostgreSQL store, standbys, and the old one fenced off (contract A-6)."""

import asyncio
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest

from controller.store.base import Store, Unavailable
from controller.store.postgres.database import Database
from tests.contract.store.objects import PostgresBackend, SetClock, create, node
from tests.support.postgres import fresh_dsn

LONG = 600.0


@pytest.fixture
def backend(clock: SetClock) -> PostgresBackend:
    return PostgresBackend(clock, fresh_dsn())


@pytest.fixture
async def other(backend: PostgresBackend) -> AsyncIterator[asyncpg.Connection]:
    """An administrator's connection to the same schema."""
    database = Database.of(backend.dsn)
    connection = await database.connect()
    await connection.execute(f"SET search_path = {database.schema}")
    yield connection
    await connection.close()


class Told(list[str]):
    """Who a standby heard is active; `some` once it heard of anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.some = asyncio.Event()

    def __call__(self, holder: str) -> None:
        """That server is active."""
        self.append(holder)
        self.some.set()


async def active(backend: PostgresBackend, lease: float = LONG) -> Store:
    """A started store that holds the lease."""
    store = backend.open(lease=lease)
    await store.acquire(lambda holder: pytest.fail(f"{holder} is active"))
    await store.start()
    return store


async def test_a_standby_waits_and_follows_a_clean_stop(backend: PostgresBackend) -> None:
    """It hears who is active, and need not wait for the lease to run out."""
    first, second, told = await active(backend), backend.open(lease=LONG), Told()
    acquiring = asyncio.create_task(second.acquire(told))
    await told.some.wait()
    assert f"(pid {os.getpid()}), since 2" in told[0]
    made = await create(first, node("n"))
    assert not acquiring.done()
    await first.aclose()
    await asyncio.wait_for(acquiring, 10)
    await second.start()
    assert second.get("Node", "n") == made
    assert len(told) == 1
    await second.aclose()


async def test_who_held_the_lease_before_writes_nothing(backend: PostgresBackend, other: asyncpg.Connection) -> None:
    """The fence: a server that does not know yet that another one has taken over is refused by its first write."""
    old = await active(backend)
    await create(old, node("before"))
    await other.execute("UPDATE head SET expires = clock_timestamp()")
    new = await active(backend)
    with pytest.raises(Unavailable, match="another server is the active one"):
        await create(old, node("after"))
    assert "another server has taken over" in await asyncio.wait_for(old.lost(), 1)
    made = await create(new, node("after"))
    assert made.metadata.resource_version == "2"
    await old.aclose()
    assert (await create(new, node("and-on"))).metadata.resource_version == "3"
    assert await other.fetchval("SELECT expires > clock_timestamp() FROM head")
    await new.aclose()


async def test_a_lease_in_force_is_not_taken(backend: PostgresBackend) -> None:
    """Renewed in good time, it outlasts its length."""
    first, second, told = await active(backend, lease=0.6), backend.open(lease=0.6), Told()
    acquiring = asyncio.create_task(second.acquire(told))
    _, pending = await asyncio.wait([acquiring, asyncio.create_task(first.lost())], timeout=1.5)
    assert len(pending) == 2
    assert (await create(first, node("n"))).metadata.resource_version == "1"
    for task in pending:
        task.cancel()
    await first.aclose()


async def test_who_cannot_renew_gives_up_by_his_own_clock(
    backend: PostgresBackend, other: asyncpg.Connection
) -> None:
    """A database that does not answer tells nobody that he is fenced."""
    store = await active(backend, lease=0.3)
    async with other.transaction():
        await other.execute("SELECT FROM head FOR UPDATE")
        assert "could not be renewed for 0.3 s" in await asyncio.wait_for(store.lost(), 10)
    await store.aclose()


async def test_a_schema_that_cannot_be_read_leaves_the_lease_to_others(
    backend: PostgresBackend, other: asyncpg.Connection
) -> None:
    """As an old version that stood by while a newer one migrated."""
    await (await active(backend)).aclose()
    stale = backend.open(lease=LONG)
    await stale.acquire(pytest.fail)
    await other.execute("INSERT INTO migrations VALUES (999, 'x', 'y')")
    with pytest.raises(Unavailable, match="version 999"):
        await stale.start()
    assert await other.fetchval("SELECT expires FROM head") is None
