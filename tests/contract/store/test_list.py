"""Lists: in order of name, selected by labels, in pages that show one moment."""

import base64
import json
from datetime import timedelta

import pytest

from controller.store.base import Create, Delete, Expired, InvalidCursor, Page, Store, StoreError
from controller.store.history import HistoryLimits
from controller.store.selector import Selector
from tests.contract.store.objects import Backend, MemoryBackend, SetClock, create, labelled, node, update


async def fill(store: Store, count: int) -> None:
    await store.write(*(Create(obj=node(f"n{n:03}", labels={"even": str(n % 2 == 0)})) for n in range(count)))


def names(page: Page) -> list[str]:
    return [obj.name for obj in page.items]


def pages(store: Store, limit: int, selector: Selector | None = None) -> list[Page]:
    found = [store.list("Node", limit=limit, selector=selector)]
    while found[-1].next is not None:
        found.append(store.list("Node", limit=limit, selector=selector, cursor=found[-1].next))
    return found


async def test_objects_come_in_order_of_name(store: Store) -> None:
    """Whatever the order of their creation."""
    for name in ("b", "a", "C", "a.b", "a-b"):
        await create(store, node(name))
    assert names(store.list("Node")) == sorted(["b", "a", "C", "a.b", "a-b"])


async def test_pages_put_together_are_the_whole_list(store: Store) -> None:
    """For every limit; `remaining` counts what is left."""
    await fill(store, 10)
    whole = store.list("Node")
    for limit in range(1, 12):
        found = pages(store, limit)
        assert [name for page in found for name in names(page)] == names(whole)
        assert [page.remaining for page in found] == [max(0, 10 - limit * (i + 1)) for i in range(len(found))]


async def test_a_continued_list_shows_the_moment_of_its_first_page(store: Store) -> None:
    """Objects created, changed, deleted or created anew since are shown as they were."""
    await fill(store, 10)
    before = list(store.list("Node").items)
    first = store.list("Node", limit=3)
    await store.write(Delete(kind="Node", name="n007"), Delete(kind="Node", name="n001"))
    await create(store, node("n0055"))
    await create(store, node("n007"))
    await update(store, labelled(before[8], moved="yes"))
    await store.write(Delete(kind="Node", name="n009"))
    second = store.list("Node", limit=3, cursor=first.next)
    await store.write(*(Delete(kind="Node", name=obj.name) for obj in store.list("Node").items))
    rest = store.list("Node", cursor=second.next)
    assert [*first.items, *second.items, *rest.items] == before
    assert first.revision == second.revision == rest.revision
    assert rest.next is None


async def test_a_selector_applies_to_every_page(store: Store) -> None:
    """Pages are full pages of what matches, and `remaining` counts only that."""
    await fill(store, 10)
    found = pages(store, 2, Selector.parse("even=True"))
    assert [names(page) for page in found] == [["n000", "n002"], ["n004", "n006"], ["n008"]]
    assert [page.remaining for page in found] == [3, 1, 0]


async def test_other_kinds_do_not_show(store: Store) -> None:
    """A kind with no objects lists as empty, at the current revision."""
    await fill(store, 2)
    page = store.list("Command")
    assert (list(page.items), page.revision) == ([], store.revision())


async def test_a_cursor_that_history_does_not_reach_any_more_is_expired(backend: Backend, clock: SetClock) -> None:
    """Too many changes since, or too long ago: the client lists again."""
    store = backend.open(limits=HistoryLimits(changes=10))
    await store.start()
    await fill(store, 5)
    cursor = store.list("Node", limit=2).next
    for n in range(20):
        await create(store, node(f"x{n}"))
    clock.advance(timedelta(minutes=1))
    with pytest.raises(Expired):
        store.list("Node", limit=2, cursor=cursor)
    await store.aclose()


async def test_a_cursor_of_another_store_is_expired(store: Store, clock: SetClock) -> None:
    """As after a restart of a store that keeps nothing."""
    other = MemoryBackend(clock).open()
    await other.start()
    await fill(other, 5)
    await fill(store, 5)
    with pytest.raises(Expired):
        store.list("Node", limit=2, cursor=other.list("Node", limit=2).next)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "????",
        "ü",
        base64.urlsafe_b64encode(b"null").decode(),
        base64.urlsafe_b64encode(b'["a","Node",true,"x"]').decode(),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
        base64.urlsafe_b64encode(b'["\xff"]').decode(),
    ],
)
async def test_a_cursor_that_nobody_made_is_invalid(store: Store, cursor: str) -> None:
    """Garbage from a client is its mistake, never a crash."""
    with pytest.raises(InvalidCursor):
        store.list("Node", cursor=cursor)


async def test_a_forged_cursor_reads_nothing_that_a_list_does_not_show(store: Store) -> None:
    """A revision of the future or below zero is expired; another kind's cursor is invalid."""
    await fill(store, 3)
    cursor = store.list("Node", limit=1).next
    assert cursor is not None
    with pytest.raises(InvalidCursor):
        store.list("Command", cursor=cursor)
    fields = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    for revision in (-1, 10**9):
        forged = base64.urlsafe_b64encode(json.dumps([*fields[:2], revision, fields[3]]).encode()).decode()
        with pytest.raises(Expired):
            store.list("Node", cursor=forged)


async def test_a_negative_limit_is_refused(store: Store) -> None:
    """It is a mistake of the caller."""
    with pytest.raises(ValueError, match="limit"):
        store.list("Node", limit=-1)
    assert issubclass(InvalidCursor, StoreError)
