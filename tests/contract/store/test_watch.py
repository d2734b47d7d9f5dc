"""Watches: every change once, in order, or Expired; and nobody is woken for nothing."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from controller.resources.meta import Resource
from controller.store.base import Change, ChangeType, Create, Delete, Expired, Store, Unavailable, Watch
from controller.store.history import HistoryLimits
from tests.contract.store.objects import (
    Backend,
    SetClock,
    command,
    create,
    labelled,
    node,
    revision,
    until_expired,
    update,
)


def shape(changes: Sequence[Change]) -> list[tuple[str, str, int]]:
    return [(change.type.value, change.obj.name, change.revision) for change in changes]


async def test_a_watch_tells_every_change_after_its_start_in_order(store: Store) -> None:
    """Type, object, revision and time; the object carries the revision as its version."""
    start = store.revision()
    a = await create(store, node("a"))
    await update(store, labelled(a, x="y"))
    await store.write(Delete(kind="Node", name="a"))
    async with store.watch(since=start) as watch:
        changes = await watch.batch(10)
    assert shape(changes) == [("ADDED", "a", 1), ("MODIFIED", "a", 2), ("DELETED", "a", 3)]
    assert [revision(change.obj) for change in changes] == [1, 2, 3]
    assert changes[2].obj.metadata.labels == {"x": "y"}


async def test_list_then_watch_misses_nothing_and_repeats_nothing(store: Store) -> None:
    """While others write: the list plus the changes since equal the state at the end."""
    total = 200

    async def write() -> None:
        for n in range(total):
            await create(store, node(f"n{n % 20}-{n}"))
            if n % 3 == 0:
                await store.write(Delete(kind="Node", name=f"n{n % 20}-{n}"))

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.005)
    page = store.list("Node")
    known = {obj.name: obj for obj in page.items}
    async with store.watch(frozenset({"Node"}), since=page.revision) as watch:
        await writing
        while watch.revision < store.revision():
            for change in await watch.batch(7):
                if change.type is ChangeType.DELETED:
                    del known[change.obj.name]
                else:
                    assert (change.obj.name in known) == (change.type is ChangeType.MODIFIED)
                    known[change.obj.name] = change.obj
    assert sorted(known) == [obj.name for obj in store.list("Node").items]


async def test_a_watch_without_a_start_begins_when_it_is_made(store: Store) -> None:
    """What happens between making and entering it is told."""
    await create(store, node("before"))
    watch = store.watch()
    await create(store, node("after"))
    async with watch:
        assert shape(await watch.batch(10)) == [("ADDED", "after", 2)]


async def test_a_watch_tells_only_what_it_was_asked_for(store: Store) -> None:
    """By kind, by name, by both."""
    await store.write(
        Create(obj=node("a")), Create(obj=node("b")), Create(obj=command("a")), Create(obj=command("b"))
    )
    for kinds, name, expected in (
        (frozenset({"Node"}), None, [1, 2]),
        (None, "b", [2, 4]),
        (frozenset({"Command"}), "a", [3]),
        (frozenset[str](), None, []),
    ):
        async with store.watch(kinds, name=name, since=0) as watch:
            assert [change.revision for change in await watch.batch(10, 0)] == expected


async def test_a_write_is_seen_by_its_watchers_before_it_returns(store: Store) -> None:
    """Read your own writes holds for watches too (G-4)."""
    async with store.watch() as watch:
        await create(store, node("a"))
        assert shape(await watch.batch(10, 0)) == [("ADDED", "a", 1)]


async def test_an_empty_batch_comes_back_after_its_time(store: Store) -> None:
    """And the watch has moved on past what did not concern it."""
    async with store.watch(name="a") as watch:
        await create(store, node("b"))
        assert not await watch.batch(10, 0.02)
        assert watch.revision == store.revision()


async def test_what_was_told_is_not_told_again_after_a_wait_in_vain(store: Store) -> None:
    """A batch that comes back empty leaves the watch where it was."""
    async with store.watch() as watch:
        await create(store, node("a"))
        assert len(await watch.batch(10)) == 1
        for _ in range(2):
            assert not await watch.batch(10, 0.01)
            assert watch.revision == store.revision()


async def test_batches_are_as_long_as_asked_and_leave_nothing_out(store: Store) -> None:
    """The next batch goes on where the last one ended."""
    await store.write(*(Create(obj=node(f"n{n}")) for n in range(10)))
    async with store.watch(since=0) as watch:
        batches = [await watch.batch(4, 0) for _ in range(4)]
    assert [[change.revision for change in batch] for batch in batches] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]


async def test_iteration_goes_on_for_ever_and_knows_its_place(store: Store) -> None:
    """`revision` is what has been yielded, so a new watch from there repeats nothing."""
    await store.write(*(Create(obj=node(f"n{n}")) for n in range(5)))
    async with store.watch(since=0) as watch:
        async for change in watch:
            if change.revision == 3:
                break
    async with store.watch(since=watch.revision) as again:
        assert [change.revision for change in await again.batch(10, 0)] == [4, 5]


async def test_a_cancelled_wait_loses_no_change(store: Store) -> None:
    """The change that came as the wait was cancelled is in the next batch."""
    async with store.watch() as watch:
        waiting = asyncio.create_task(watch.batch(10))
        await asyncio.sleep(0)
        writing = asyncio.create_task(create(store, node("a")))
        await asyncio.sleep(0)
        waiting.cancel()
        await writing
        await asyncio.gather(waiting, return_exceptions=True)
        if not waiting.cancelled():
            assert shape(waiting.result()) == [("ADDED", "a", 1)]
        else:
            assert shape(await watch.batch(10, 0)) == [("ADDED", "a", 1)]


async def test_a_start_outside_the_history_is_expired(backend: Backend) -> None:
    """Both too old and not yet there, when the watch is entered."""
    store = backend.open(limits=HistoryLimits(changes=10))
    await store.start()
    for n in range(50):
        await create(store, node(f"n{n}"))
    for since in (-1, 0, store.revision() + 1):
        await until_expired(store, since)
    async with store.watch(since=store.revision() - 5) as watch:
        assert len(await watch.batch(10, 0)) == 5
    await store.aclose()


async def test_history_grows_old(backend: Backend, clock: SetClock) -> None:
    """What is older than the limit is gone at last, what is younger is there (E-2)."""
    store = backend.open(limits=HistoryLimits(changes=1000, age=timedelta(hours=1)))
    await store.start()
    await store.write(*(Create(obj=node(f"old{n}")) for n in range(300)))
    clock.advance(timedelta(minutes=61))
    for n in range(10):
        await create(store, node(f"new{n}"))
    await until_expired(store, 0)
    async with store.watch(since=store.revision() - 10) as watch:
        assert len(await watch.batch(100, 0)) == 10
    await store.aclose()


async def test_history_does_not_outgrow_its_bytes(backend: Backend) -> None:
    """A few changes of large objects are much: the oldest go, the newest are there."""
    store = backend.open(limits=HistoryLimits(size=300_000))
    await store.start()
    for n in range(20):
        await create(store, node(f"large{n}", capabilities={"note": "x" * 100_000}))
    await until_expired(store, store.revision() - 5)
    async with store.watch(since=store.revision() - 1) as watch:
        assert len(await watch.batch(10, 0)) == 1
    await store.aclose()


async def test_a_watch_that_falls_behind_is_told_so(backend: Backend) -> None:
    """Expired from iteration, never a gap."""
    store = backend.open(limits=HistoryLimits(changes=10))
    await store.start()
    async with store.watch(since=0) as watch:
        for n in range(100):
            await create(store, node(f"n{n}"))
        await until_expired(store, 0)
        with pytest.raises(Expired):
            await watch.batch(10, 0)
    await store.aclose()


async def test_a_waiting_watch_does_not_fall_behind_for_what_others_write(backend: Backend) -> None:
    """It waits for one name while more happens than history holds."""
    store = backend.open(limits=HistoryLimits(changes=10))
    await store.start()
    async with store.watch(name="mine") as watch:
        waiting = asyncio.create_task(watch.batch(10, 30))
        await asyncio.sleep(0)
        for n in range(100):
            await create(store, node(f"n{n}"))
        await create(store, node("mine"))
        assert shape(await waiting) == [("ADDED", "mine", 101)]
    await store.aclose()


async def test_thousands_of_waiters_cost_other_names_nothing(store: Store) -> None:
    """A hundred writes with 5,000 waiters for other names take about as long as without (ten times at most)."""

    async def hundred(prefix: str) -> float:
        began = time.perf_counter()
        await store.write(*(Create(obj=node(f"{prefix}{n}")) for n in range(100)))
        await asyncio.sleep(0)
        return time.perf_counter() - began

    await hundred("warm")
    alone = min([await hundred(f"alone{n}-") for n in range(3)])
    watches: list[Watch] = [store.watch(name=f"w{n}") for n in range(5000)]
    waiting = [asyncio.create_task(watch.batch(1)) for watch in watches]
    await asyncio.sleep(0)
    crowded = min([await hundred(f"crowded{n}-") for n in range(3)])
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert crowded < alone * 10
    assert not any(task.done() and not task.cancelled() for task in waiting)


async def test_closing_the_store_ends_every_wait(backend: Backend) -> None:
    """With Unavailable, after what was there has been told."""
    store = backend.open()
    await store.start()
    async with store.watch() as watch:
        waiting = asyncio.create_task(watch.batch(10))
        await asyncio.sleep(0)
        await store.aclose()
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await watch.batch(10)


async def test_what_announce_says_stays_with_the_change(backend: Backend) -> None:
    """It is asked once, with the object before and after (E-2)."""
    asked: list[tuple[bool, bool]] = []

    def announce(old: Resource | None, new: Resource | None) -> str | None:
        asked.append((old is not None, new is not None))
        return "gone" if new is None else None

    store = backend.open(announce=announce)
    await store.start()
    a = await create(store, node("a"))
    await update(store, labelled(a, x="y"))
    await store.write(Delete(kind="Node", name="a"))
    async with store.watch(since=0) as watch:
        assert [change.announce for change in await watch.batch(10, 0)] == [None, None, "gone"]
    assert asked == [(False, True), (True, True), (True, False)]
    await store.aclose()
