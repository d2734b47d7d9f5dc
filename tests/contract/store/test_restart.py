"""What a durable store brings back after a restart: all of it."""

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from controller.store.base import Change, Create, Delete, Expired, Store
from controller.store.history import HistoryLimits
from tests.contract.store.objects import (
    Backend,
    SetClock,
    SQLiteBackend,
    append,
    command,
    create,
    labelled,
    node,
    until_expired,
    update,
)


async def opened(backend: Backend, **options: object) -> Store:
    store = backend.open(**options)
    await store.start()
    return store


async def test_objects_revision_and_uid_come_back(durable: Backend) -> None:
    """Byte for byte the same objects, the same history's name, and revisions go on where they were (A-6, E-2)."""
    store = await opened(durable)
    a = await create(store, node("a", labels={"x": "y"}, capabilities={"gpu": True, "n": 1, "f": 1.0}))
    await create(store, node("b"))
    await create(store, command("c"))
    await store.write(Delete(kind="Node", name="b"))
    before = (store.uid, store.revision(), list(store.list("Node").items), list(store.list("Command").items))
    await store.aclose()
    store = await opened(durable)
    assert (store.uid, store.revision(), list(store.list("Node").items), list(store.list("Command").items)) == before
    assert (await update(store, labelled(a, z="z"))).metadata.resource_version == str(before[1] + 1)
    await store.aclose()


async def test_a_watch_resumes_across_a_restart(durable: Backend) -> None:
    """From any retained revision, without gap or repeat, filtered like any other, into what comes later (E-2)."""
    store = await opened(durable, announce=lambda old, new: "told" if old is None else None)
    made = [await create(store, node(f"n{n}")) for n in range(600)]
    await update(store, labelled(made[5], x="y"))
    await store.write(Delete(kind="Node", name="n6"))
    async with store.watch(since=0) as watch:
        before = list(await watch.batch(1000, 0))
    await store.aclose()

    store = await opened(durable)
    after: list[Change] = []
    async with store.watch(since=0) as watch:
        while len(after) < len(before):
            after += await watch.batch(250, 1)
        assert after == before
        await create(store, node("new"))
        assert [change.obj.name for change in await watch.batch(10, 1)] == ["new"]
    async with store.watch(frozenset({"Node"}), name="n5", since=3) as watch:
        assert [change.revision for change in await watch.batch(10, 1)] == [6, 601]
    async with store.watch(frozenset({"Command"}), since=3) as watch:
        assert not await watch.batch(10, 0)
    await store.aclose()


async def test_iteration_crosses_from_old_history_into_new(durable: Backend) -> None:
    """While writes go on."""
    store = await opened(durable)
    await store.write(*(Create(obj=node(f"n{n}")) for n in range(1000)))
    await store.aclose()
    store = await opened(durable)
    seen: list[int] = []

    async def follow() -> None:
        async with store.watch(since=10) as watch:
            async for change in watch:
                seen.append(change.revision)
                if change.revision == 1200:
                    return

    following = asyncio.create_task(follow())
    for n in range(200):
        await create(store, node(f"m{n}"))
    await following
    assert seen == list(range(11, 1201))
    await store.aclose()


async def test_output_comes_back(durable: Backend) -> None:
    """Sizes and bytes; an append goes on at the right offset; what was deleted stays deleted (C-10)."""
    store = await opened(durable)
    kept, gone = (await create(store, command("kept"))).uid, (await create(store, command("gone"))).uid
    await store.write(append(kept, 0, b"abc"), append(kept, 0, b"12", "stderr"), append(gone, 0, b"xyz"))
    await store.write(Delete(kind="Command", name="gone"))
    await store.write(append(kept, 2, b"3", "stderr"))
    await store.aclose()
    store = await opened(durable)
    assert store.output_sizes(kept) == (3, 3)
    assert store.output_sizes(gone) == (0, 0)
    assert not await store.read_output(gone)
    await store.write(append(kept, 3, b"def"))
    assert b"".join(chunk.data for chunk in await store.read_output(kept)) == b"abc123def"
    await store.aclose()


async def test_compaction_outlives_a_restart(durable: Backend, clock: SetClock) -> None:
    """What has expired stays expired, and the revision is right even when all history is gone."""
    store = await opened(durable, limits=HistoryLimits(changes=10, age=timedelta(hours=1)))
    for n in range(30):
        await create(store, node(f"n{n}"))
    clock.advance(timedelta(hours=2))
    await store.aclose()
    for _ in range(2):
        store = await opened(durable, limits=HistoryLimits(changes=10, age=timedelta(hours=1)))
        assert store.revision() == 30
        await until_expired(store, 29)
        async with store.watch(since=30) as watch:
            assert not await watch.batch(1, 0)
        await store.aclose()


async def test_pages_survive_no_restart_but_say_so(durable: Backend) -> None:
    """A list goes on if nothing has changed since, else it is Expired; it never mixes two moments."""
    store = await opened(durable)
    await store.write(*(Create(obj=node(f"n{n}")) for n in range(4)))
    cursor = store.list("Node", limit=2).next
    await store.aclose()
    store = await opened(durable)
    assert [obj.name for obj in store.list("Node", cursor=cursor).items] == ["n2", "n3"]
    await store.aclose()
    store = await opened(durable)
    await create(store, node("n25"))
    await store.aclose()
    store = await opened(durable)
    with pytest.raises(Expired):
        store.list("Node", cursor=cursor)
    await store.aclose()


async def test_history_that_this_version_cannot_read_is_expired(tmp_path: Path, clock: SetClock) -> None:
    """As after an upgrade that reads only what exists: clients list again."""
    backend = SQLiteBackend(clock, str(tmp_path / "db"))
    store = await opened(backend)
    await create(store, node("gone"))
    await store.write(Delete(kind="Node", name="gone"))
    await store.aclose()
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute('UPDATE history SET body = \'{"spec": {"port": -1}}\' WHERE revision = 1')
    store = await opened(backend)
    async with store.watch(since=0) as watch:
        with pytest.raises(Expired, match="cannot be read"):
            await watch.batch(10)
    await store.aclose()
