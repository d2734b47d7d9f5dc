"""Writes: atomic, ordered, optimistic, and stamped by the server."""

import asyncio

import pytest

from controller.resources.meta import Resource
from controller.resources.node import Node, NodeStatus
from controller.resources.record import Record
from controller.store.base import (
    AlreadyExists,
    Conflict,
    Create,
    Delete,
    NotFound,
    Store,
    StoreError,
    Unavailable,
    Update,
)
from tests.contract.store.objects import Backend, SetClock, at_version, create, labelled, node, revision, update


async def test_a_created_object_gets_uid_time_generation_and_version(store: Store, clock: SetClock) -> None:
    """uid as Kubernetes writes it, creation time in whole seconds, generation 1, the revision as version."""
    stored = await create(store, node("a"))
    meta = stored.metadata
    assert [len(part) for part in meta.uid.split("-")] == [8, 4, 4, 4, 12]
    assert meta.creation_timestamp == clock.at.replace(microsecond=0)
    assert (meta.generation, meta.resource_version) == (1, str(store.revision()))


async def test_what_write_returned_is_what_reads_show(store: Store) -> None:
    """Read your own writes, by get and list alike (G-4)."""
    stored = await create(store, node("a", address="10.0.0.1"))
    assert store.get("Node", "a") == stored
    assert list(store.list("Node").items) == [stored]
    await store.write(Delete(kind="Node", name="a"))
    assert store.get("Node", "a") is None
    assert not store.list("Node").items


async def test_every_change_gets_the_next_revision(store: Store) -> None:
    """One write of three operations makes three revisions, in order."""
    before = store.revision()
    a, b, _ = await store.write(Create(obj=node("a")), Create(obj=node("b")), Delete(kind="Node", name="a"))
    assert a is not None
    assert b is not None
    assert (revision(a), revision(b), store.revision()) == (before + 1, before + 2, before + 3)


async def test_a_taken_name_is_refused(store: Store) -> None:
    """Create never replaces."""
    stored = await create(store, node("a"))
    with pytest.raises(AlreadyExists):
        await create(store, node("a", address="other"))
    assert store.get("Node", "a") == stored


async def test_the_same_name_may_be_used_by_another_kind(store: Store) -> None:
    """Names are unique for their kind only."""
    await create(store, node("a"))
    await create(store, Record(kind="Counter", metadata=node("a").metadata, data={"value": 1}))
    assert store.get("Counter", "a") != store.get("Node", "a")


async def test_a_stale_version_is_a_conflict(store: Store) -> None:
    """Optimistic locking: of two who read the same version, the second to write loses."""
    first = await create(store, node("a"))
    second = await update(store, labelled(first, by="one"))
    with pytest.raises(Conflict):
        await update(store, labelled(first, by="two"))
    assert store.get("Node", "a") == second


async def test_without_a_version_an_update_takes_whichever_is_there(store: Store) -> None:
    """An empty resourceVersion names no version."""
    first = await create(store, node("a"))
    await update(store, labelled(first, by="one"))
    third = await update(store, at_version(labelled(first, by="two"), ""))
    assert third.metadata.labels == {"by": "two"}


async def test_updating_or_deleting_what_is_not_there_is_not_found(store: Store) -> None:
    """Neither creates."""
    with pytest.raises(NotFound):
        await update(store, node("a"))
    with pytest.raises(NotFound):
        await store.write(Delete(kind="Node", name="a"))
    assert store.revision() == 0


async def test_uid_and_creation_time_never_change(store: Store, clock: SetClock) -> None:
    """Another creation time is ignored; another uid means another object, which is a conflict."""
    stored = await create(store, node("a"))
    other_time = stored.metadata.model_copy(update={"creation_timestamp": clock.at, "labels": {"x": "y"}})
    changed = await update(store, stored.model_copy(update={"metadata": other_time}))
    assert changed.metadata.creation_timestamp == stored.metadata.creation_timestamp
    other_uid = changed.metadata.model_copy(update={"uid": "another"})
    with pytest.raises(Conflict):
        await update(store, changed.model_copy(update={"metadata": other_uid}))


async def test_generation_counts_changes_of_the_spec_only(store: Store) -> None:
    """Labels and status leave it alone; what the caller puts there does not matter."""
    stored = await create(store, node("a", address="one"))
    assert isinstance(stored, Node)
    seen = await update(store, stored.model_copy(update={"status": NodeStatus(phase="active")}))
    assert seen.metadata.generation == 1
    moved = await update(store, seen.model_copy(update={"spec": stored.spec.model_copy(update={"address": "two"})}))
    assert moved.metadata.generation == 2
    forged = moved.metadata.model_copy(update={"generation": 40, "labels": {"a": "b"}})
    assert (await update(store, moved.model_copy(update={"metadata": forged}))).metadata.generation == 2


async def test_true_is_another_value_than_one(store: Store) -> None:
    """Python calls True and 1 equal; a stored spec does not."""
    stored = await create(store, node("a", capabilities={"gpu": True}))
    changed = await update(store, at_version(node("a", capabilities={"gpu": 1}), ""))
    assert changed.metadata.generation == 2
    assert revision(changed) > revision(stored)


async def test_an_update_that_changes_nothing_makes_no_revision(store: Store) -> None:
    """The stored object comes back as it is; the order of a map's keys is no difference."""
    stored = await create(store, node("a", capabilities={"x": 1, "y": 2}))
    assert await update(store, at_version(node("a", capabilities={"y": 2, "x": 1}), "")) is stored
    assert store.revision() == revision(stored)


async def test_one_bad_operation_undoes_the_whole_write(store: Store) -> None:
    """All or nothing, whatever the reason and wherever it stands."""
    stored = await create(store, node("a"))
    for bad, error in (
        (Create(obj=node("a")), AlreadyExists),
        (Update(obj=node("missing")), NotFound),
        (Delete(kind="Node", name="a", version="999"), Conflict),
        (Delete(kind="Node", name="a", uid="another"), Conflict),
    ):
        with pytest.raises(error):
            await store.write(Create(obj=node("b")), Update(obj=labelled(stored, x="y")), bad)
        assert list(store.list("Node").items) == [stored]
        assert store.revision() == revision(stored)


async def test_operations_of_one_write_see_each_other(store: Store) -> None:
    """Later operations apply to what earlier ones left."""
    results = await store.write(
        Create(obj=node("a")), Delete(kind="Node", name="a"), Create(obj=node("a", address="second"))
    )
    assert results[1] is None
    assert results[2] is not None
    assert store.get("Node", "a") == results[2]
    assert results[0] is not None
    assert results[0].uid != results[2].uid


async def test_concurrent_writers_of_one_object_lose_no_update(store: Store) -> None:
    """Fifty writers that each read, add one and write with the version read: the sum is fifty."""
    await create(store, labelled(node("a"), n="0"))

    async def add_one() -> None:
        while True:
            obj = store.get("Node", "a")
            assert obj is not None
            try:
                await update(store, labelled(obj, n=str(int(obj.metadata.labels["n"]) + 1)))
            except Conflict:
                continue
            return

    await asyncio.gather(*(add_one() for _ in range(50)))
    final = store.get("Node", "a")
    assert final is not None
    assert final.metadata.labels == {"n": "50"}


async def test_of_concurrent_creations_one_wins_and_losers_see_it(store: Store) -> None:
    """A refusal is told only when its reason can be read."""

    async def attempt(n: int) -> str:
        try:
            return (await create(store, node("a", address=str(n)))).uid
        except AlreadyExists:
            there = store.get("Node", "a")
            assert there is not None
            return there.uid

    assert len(set(await asyncio.gather(*(attempt(n) for n in range(20))))) == 1


async def test_an_update_without_effect_returns_only_what_can_be_read(store: Store) -> None:
    """Also when the state that makes it one is still being stored by somebody else."""
    stored = await create(store, node("a"))

    async def same() -> None:
        (result,) = await store.write(Update(obj=at_version(labelled(stored, x="y"), "")))
        assert store.get("Node", "a") is result

    await asyncio.gather(*(same() for _ in range(5)))
    assert store.revision() == revision(stored) + 1


async def test_a_cancelled_write_happens_whole_or_not_at_all(store: Store) -> None:
    """The caller does not know which; nobody ever sees half of it."""
    tasks = [
        asyncio.create_task(store.write(Create(obj=node(f"a{n}")), Create(obj=node(f"b{n}")))) for n in range(10)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await create(store, node("last"))
    names = {obj.name for obj in store.list("Node").items}
    for n in range(10):
        assert (f"a{n}" in names) == (f"b{n}" in names)
    assert {"a1", "b1", "a9", "b9"} <= names


async def test_an_object_that_could_not_be_read_back_is_not_stored(store: Store) -> None:
    """A copy can hold what its model refuses; such a thing on the disk would keep a server from starting."""
    bad = node("a").model_copy(update={"spec": node("a").spec.model_copy(update={"address": "nul\0"})})
    with pytest.raises(ValueError, match=r"spec\.address"):
        await create(store, bad)
    assert store.get("Node", "a") is None


async def test_a_kind_that_is_not_known_is_not_stored(store: Store) -> None:
    """It could not be read back."""
    with pytest.raises(ValueError, match="kind"):
        await create(store, Resource(kind="Teapot", metadata=node("a").metadata))


async def test_a_store_that_is_not_open_refuses_writes(backend: Backend) -> None:
    """Before start and after aclose alike, with Unavailable."""
    store = backend.open()
    with pytest.raises(Unavailable):
        await create(store, node("a"))
    await store.start()
    await store.aclose()
    with pytest.raises(Unavailable):
        await create(store, node("a"))


async def test_closing_waits_for_writes_under_way(backend: Backend) -> None:
    """What was handed in before aclose is acknowledged."""
    store = backend.open()
    await store.start()
    tasks = [asyncio.create_task(create(store, node(f"n{n}"))) for n in range(100)]
    await asyncio.sleep(0)
    await store.aclose()
    assert len({obj.uid for obj in await asyncio.gather(*tasks)}) == 100


async def test_every_store_error_has_a_sentence(store: Store) -> None:
    """Messages name the object and what is wrong with it."""
    with pytest.raises(StoreError, match="Node 'a' does not exist"):
        await store.write(Delete(kind="Node", name="a"))


async def test_an_object_with_a_wrong_type_is_not_stored(store: Store) -> None:
    """A careless copy is refused before anything of it is visible."""
    bad = node("a").model_copy(update={"status": node("a").status.model_copy(update={"facts": {"n": 1}})})
    with pytest.raises(ValueError, match="cannot be stored"):
        await create(store, bad)
    assert store.get("Node", "a") is None
