# ruff: noqa: ASYNC110, ASYNC221, ASYNC240
"""A database in trouble: deadlocks, statements that take too long, a full disk, a network that swallows everything.

Each time: what cannot be stored is refused with a sentence, nothing of it is there, and the store goes on by itself.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from controller.store.base import Create, Store, Unavailable
from controller.store.postgres import database, follower, writer
from controller.store.postgres.database import Database
from tests.contract.store.objects import PostgresBackend, SetClock, command, create, labelled, node, update
from tests.support.postgres import by_way_of, fresh_dsn, target
from tests.support.proxy import Proxy


@pytest.fixture
def backend(clock: SetClock) -> PostgresBackend:
    return PostgresBackend(clock, fresh_dsn())


async def waiting(other: asyncpg.Connection) -> None:
    """Until the store waits for a lock."""
    async with asyncio.timeout(10):
        while not await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            await asyncio.sleep(0.02)


async def test_a_deadlock_costs_no_write(store: Store, other: asyncpg.Connection) -> None:
    """Whoever of the two the database ends: the store tries again."""
    obj = await create(store, node("n"))
    deadlock = None
    try:
        async with other.transaction():
            await other.execute("SELECT * FROM objects FOR UPDATE")
            changing = asyncio.create_task(update(store, labelled(obj, a="b")))
            await waiting(other)
            await other.execute("SELECT * FROM head FOR UPDATE")
    except asyncpg.DeadlockDetectedError as error:
        deadlock = error
    changed = await changing
    assert store.get("Node", "n") == changed
    assert changed.metadata.resource_version == "2", deadlock


async def test_who_was_stopped_in_the_middle_of_a_write_holds_up_nobody_for_long(
    store: Store, backend: PostgresBackend
) -> None:
    """The database ends its transaction, and the connection with it."""
    place = Database.of(backend.dsn)
    stopped = await place.connect()
    await place.begin(stopped)
    await stopped.execute("SELECT * FROM head FOR UPDATE")
    assert (await create(store, node("n"))).metadata.resource_version == "1"
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await stopped.execute("UPDATE head SET revision = 7")


async def test_a_statement_that_takes_too_long_is_given_up(
    backend: PostgresBackend, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait ends, and with it the lock that it waited for: the next write is not behind it."""
    monkeypatch.setattr(database, "STATEMENT_TIMEOUT", 0.2)
    monkeypatch.setattr(writer, "PATIENCE", 0.5)
    store = backend.open()
    await store.start()
    async with other.transaction():
        await other.execute("SELECT * FROM head FOR UPDATE")
        with pytest.raises(
            Unavailable, match="nothing of it was applied: canceling statement due to statement timeout"
        ):
            await create(store, node("n"))
    assert store.get("Node", "n") is None
    assert (await create(store, node("n"))).metadata.resource_version == "1"
    await store.aclose()


async def test_a_network_that_swallows_everything(backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads show what is known, being current is refused, and what became of the write is told truly in the end."""
    monkeypatch.setattr(database, "_ANSWER_TIMEOUT", 1)
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", 1)
    monkeypatch.setattr(follower, "_PATIENCE", 0.5)
    proxy = await Proxy(target()).start()
    store = PostgresBackend(backend.clock, by_way_of(backend.dsn, proxy.port)).open()
    await store.start()
    await create(store, node("before"))
    proxy.stall()
    writing = asyncio.create_task(store.write(Create(obj=node("n"))))
    with pytest.raises(Unavailable, match="does not answer"):
        await store.current()
    assert [obj.metadata.name for obj in store.list("Node").items] == ["before"]
    async with asyncio.timeout(20):
        while store.failure() is None:
            await asyncio.sleep(0.05)
    proxy.cut()
    proxy.resume()
    outcome = (await asyncio.gather(writing, return_exceptions=True))[0]
    await store.current()
    if isinstance(outcome, BaseException):
        assert isinstance(outcome, Unavailable)
        assert store.get("Node", "n") is None
    else:
        assert outcome == [store.get("Node", "n")]
    assert (await create(store, node("after"))).metadata.name == "after"
    await store.aclose()
    await proxy.aclose()


@pytest.fixture
async def small_disk(other: asyncpg.Connection) -> AsyncIterator[Path]:
    """Two megabytes that the database may use; it is on this machine."""
    owner = Path(await other.fetchval("SHOW data_directory")).stat().st_uid
    place = Path(f"/tmp/vnd-small-{os.getpid()}")
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size=2m,mode=0700,uid={owner}", "tmpfs", str(place)]
    if subprocess.run(mount, check=False).returncode:
        place.rmdir()
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
    place.rmdir()


async def test_a_full_disk(store: Store, other: asyncpg.Connection, small_disk: Path) -> None:
    """Refused at once with the database's own words; and stored when there is room."""
    await create(store, node("before"))
    name = f"small_{os.getpid()}"
    await other.execute(f"CREATE TABLESPACE {name} LOCATION '{small_disk}'")
    await other.execute(f"ALTER TABLE objects SET TABLESPACE {name}")
    spec = command("c").spec.model_copy(update={"action": os.urandom(20_000).hex()})
    big = [Create(obj=command(f"c{n}").model_copy(update={"spec": spec})) for n in range(100)]
    with pytest.raises(Unavailable, match=r"nothing of it was applied: .*No space left on device.*53100"):
        await store.write(*big)
    assert not store.list("Command").items
    assert store.failure() is not None
    await other.execute("ALTER TABLE objects SET TABLESPACE pg_default")
    await other.execute(f"DROP TABLESPACE {name}")
    await store.write(*big)
    assert len(store.list("Command").items) == 100
    assert store.failure() is None
