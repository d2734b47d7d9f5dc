"""Two versions on one PostgreSQL store, while servers are replaced one by one: this one, and a made-up next one."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest

from controller.resources.node import Node
from controller.store.base import Store, Unavailable
from controller.store.migrations import Migration, parse
from controller.store.postgres.database import Database
from controller.store.postgres.migrate import known, migrate
from tests.contract.store.objects import PostgresBackend, SetClock, append, command, create, labelled, node, update
from tests.support.postgres import fresh_dsn

NEXT = Path(__file__).parent / "data" / "next-version.sql"
NEWEST = known()[-1].number


def next_version(compatible_with: int) -> Sequence[Migration]:
    """The migrations of a version after this one."""
    text = NEXT.read_text().replace("compatible-with: 002", f"compatible-with: {compatible_with:03}")
    return [*known(), parse(NEWEST + 1, "next.sql", text)]


@pytest.fixture
def backend(clock: SetClock) -> PostgresBackend:
    return PostgresBackend(clock, fresh_dsn())


@pytest.fixture
async def store(backend: PostgresBackend) -> AsyncIterator[Store]:
    """A server of this version."""
    store = backend.open()
    await store.start()
    yield store
    await store.aclose()


@pytest.fixture
async def newer(backend: PostgresBackend, store: Store) -> AsyncIterator[asyncpg.Connection]:
    """The connection of a server of the next version. It comes when the schema is there."""
    database = Database.of(backend.dsn)
    connection = await database.connect()
    await connection.execute(f"SET search_path = {database.schema}")
    yield connection
    await connection.close()


async def test_this_version_writes_on_while_the_next_one_migrates(
    backend: PostgresBackend, store: Store, newer: asyncpg.Connection
) -> None:
    """No write fails, before, during or after; then one of this version can still be started."""
    uid = (await create(store, command("c"))).uid
    await store.write(append(uid, 0, b"abc"))
    migrating = asyncio.create_task(migrate(newer, Database.of(backend.dsn), next_version(NEWEST)))
    await asyncio.gather(*(create(store, node(f"n{n}")) for n in range(100)))
    await migrating
    await store.write(append(uid, 3, b"def"))
    changed = await update(store, labelled(await create(store, node("after")), by="old"))
    started = backend.open()
    await started.start()
    assert started.get("Node", "after") == changed
    assert len(started.list("Node").items) == 101
    before = store.revision()
    assert (await create(started, node("of-the-second"))).metadata.resource_version == str(before + 1)
    assert b"".join(chunk.data for chunk in await started.read_output(uid)) == b"abcdef"
    await started.aclose()


async def test_a_version_that_may_not_use_the_schema_stops_writing(
    backend: PostgresBackend, store: Store, newer: asyncpg.Connection
) -> None:
    """At once, while it runs; and it is not started again."""
    await create(store, node("before"))
    await migrate(newer, Database.of(backend.dsn), next_version(NEWEST + 1))
    with pytest.raises(Unavailable, match="replace this server"):
        await create(store, node("after"))
    assert "replace this server" in (store.failure() or "")
    with pytest.raises(Unavailable, match=f"version {NEWEST + 1}, and this server, which knows {NEWEST}"):
        await backend.open().start()
    assert await newer.fetchval("SELECT count(*) FROM objects") == 1


async def test_a_member_of_a_version_that_may_not_use_the_schema_gives_up_its_place(
    backend: PostgresBackend, newer: asyncpg.Connection
) -> None:
    """Or it would hold its share, and could store nothing of what it does."""
    member = backend.open(lease=0.6)
    membership = member.membership(takes_shares=True, address="")
    await member.start()
    told: asyncio.Queue[int] = asyncio.Queue()
    running = asyncio.create_task(membership.run(lambda view: told.put(view.generation)))
    assert await told.get() > 0
    await migrate(newer, Database.of(backend.dsn), next_version(NEWEST + 1))
    async with asyncio.timeout(30):
        while await told.get():
            pass
    running.cancel()
    await asyncio.wait([running])
    await member.aclose()


async def test_what_the_next_version_added_to_an_object_is_kept(
    backend: PostgresBackend, store: Store, newer: asyncpg.Connection
) -> None:
    """Through a change by this version, in another one's memory, and after a start: and nobody is shown it."""
    made = await create(store, node("n", provider="none"))
    body = json.loads(await newer.fetchval("SELECT body FROM objects"))
    body["spec"]["zone"] = {"rack": 7}
    body["future"] = "snow ☃"
    async with newer.transaction():
        text = json.dumps(body).encode()
        await newer.execute("UPDATE objects SET body = $1", text)
        await newer.execute(
            "INSERT INTO history SELECT 2, 'MODIFIED', kind, name, at, announce, schema, bytes, $1 FROM history", text
        )
        await newer.execute("UPDATE head SET revision = 2")
    await store.current()
    assert store.get("Node", "n") == store.list("Node").items[0] != made
    changed = await update(store, labelled(made.model_copy(update={"metadata": made.metadata}), by="old"))
    assert "zone" not in changed.model_dump_json()
    stored = json.loads(await newer.fetchval("SELECT body FROM objects"))
    assert (stored["spec"]["zone"], stored["future"]) == ({"rack": 7}, "snow ☃")
    assert stored["metadata"]["labels"] == {"by": "old"}
    started = backend.open()
    await started.start()
    again = started.get("Node", "n")
    assert isinstance(again, Node)
    await update(started, labelled(again, by="another"))
    assert json.loads(await newer.fetchval("SELECT body FROM objects"))["spec"]["zone"] == {"rack": 7}
    await started.aclose()


async def test_a_kind_of_the_next_version_is_left_alone(
    backend: PostgresBackend, store: Store, newer: asyncpg.Connection
) -> None:
    """This version passes it by, in the history and at a start."""
    body = b'{"metadata": {"name": "r"}, "spec": {"rule": 1}}'
    await create(store, node("n"))
    async with newer.transaction():
        await newer.execute("INSERT INTO objects VALUES ('Rule', 'r', 1, $1)", body)
        await newer.execute("INSERT INTO history VALUES (2, 'ADDED', 'Rule', 'r', now(), 'rule', 1, 1, $1)", body)
        await newer.execute("UPDATE head SET revision = 2")
    assert (await create(store, node("m"))).metadata.resource_version == "3"
    started = backend.open()
    await started.start()
    assert started.revision() == 3
    await started.aclose()
