"""The output log: appended once, in order, read from anywhere, gone with its command (C-10)."""

import asyncio

import pytest

from controller.store.base import Append, Conflict, Delete, NotFound, Store, Stream, Update
from tests.contract.store.objects import NOON, append, command, create, labelled, node


async def test_output_comes_back_byte_for_byte(store: Store) -> None:
    """Any bytes, in each stream and in the order in which they were read, with their times."""
    uid = (await create(store, command("c"))).uid
    pieces: list[tuple[Stream, bytes]] = [
        ("stdout", b"one\xff\x00"),
        ("stderr", b"two"),
        ("stdout", b"three\n"),
        ("stderr", b""),
        ("stderr", b"four"),
    ]
    sizes = {"stdout": 0, "stderr": 0}
    for stream, data in pieces:
        await store.write(append(uid, sizes[stream], data, stream))
        sizes[stream] += len(data)
    assert await whole(store, uid, None) == b"one\xff\x00twothree\nfour"
    assert await whole(store, uid, "stdout") == b"one\xff\x00three\n"
    assert await whole(store, uid, "stderr") == b"twofour"
    assert store.output_sizes(uid) == (11, 7)
    chunks = await store.read_output(uid)
    assert [(c.stream, c.offset, c.position, c.at) for c in chunks] == [
        ("stdout", 0, 0, NOON),
        ("stderr", 0, 5, NOON),
        ("stdout", 5, 8, NOON),
        ("stderr", 3, 14, NOON),
    ]


async def whole(store: Store, uid: str, stream: Stream | None, limit: int = 1 << 20) -> bytes:
    """All of a view, read by as many calls as it takes."""
    found = b""
    while chunks := await store.read_output(uid, stream=stream, offset=len(found), limit=limit):
        found += b"".join(chunk.data for chunk in chunks)
    return found


async def test_reading_may_begin_and_end_anywhere(store: Store) -> None:
    """For every offset and limit of every view; the first chunk begins at the offset exactly."""
    uid = (await create(store, command("c"))).uid
    await store.write(append(uid, 0, b"abc"), append(uid, 0, b"123", "stderr"), append(uid, 3, b"def"))
    views: list[tuple[Stream | None, bytes]] = [(None, b"abc123def"), ("stdout", b"abcdef"), ("stderr", b"123")]
    for stream, expected in views:
        for offset in range(len(expected) + 2):
            for limit in range(1, len(expected) + 2):
                chunks = await store.read_output(uid, stream=stream, offset=offset, limit=limit)
                assert b"".join(c.data for c in chunks) == expected[offset : offset + limit]
                places = [c.position if stream is None else c.offset for c in chunks]
                assert places[:1] == ([offset] if offset < len(expected) else [])
        assert await whole(store, uid, stream, limit=2) == expected


async def test_an_append_is_never_applied_twice(store: Store) -> None:
    """Its offset must be the size of its stream, also within one write and while another is under way."""
    uid = (await create(store, command("c"))).uid
    await store.write(append(uid, 0, b"abc"))
    for offset in (0, 2, 4):
        with pytest.raises(Conflict):
            await store.write(append(uid, offset, b"abc"))
    with pytest.raises(Conflict):
        await store.write(append(uid, 3, b"d"), append(uid, 3, b"e"))
    same = [store.write(append(uid, 3, b"def")) for _ in range(10)]
    outcomes = await asyncio.gather(*same, return_exceptions=True)
    assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert await whole(store, uid, None) == b"abcdef"


async def test_output_and_its_cursor_are_stored_together(store: Store) -> None:
    """An append and an update in one write are all or nothing."""
    stored = await create(store, command("c"))
    await store.write(append(stored.uid, 0, b"abc"), Update(obj=labelled(stored, got="3")))
    with pytest.raises(Conflict):
        await store.write(append(stored.uid, 3, b"def"), Update(obj=labelled(stored, got="6")))
    assert store.output_sizes(stored.uid) == (3, 0)
    assert await whole(store, stored.uid, None) == b"abc"


async def test_an_append_makes_no_revision(store: Store) -> None:
    """It is no change of an object."""
    uid = (await create(store, command("c"))).uid
    before = store.revision()
    assert list(await store.write(append(uid, 0, b"abc"))) == [None]
    assert store.revision() == before


async def test_output_belongs_to_a_command(store: Store) -> None:
    """Nothing is kept for a uid that no command has, nor for other kinds."""
    other = (await create(store, node("n"))).uid
    for uid in ("nobody", other):
        with pytest.raises(NotFound):
            await store.write(append(uid, 0, b"abc"))
        assert store.output_sizes(uid) == (0, 0)
        assert not await store.read_output(uid)


async def test_output_goes_with_its_command(store: Store) -> None:
    """At once, and a command of the same name starts with none."""
    uid = (await create(store, command("c"))).uid
    await store.write(append(uid, 0, b"abc"))
    await store.write(Delete(kind="Command", name="c"))
    assert store.output_sizes(uid) == (0, 0)
    assert not await store.read_output(uid)
    with pytest.raises(NotFound):
        await store.write(append(uid, 3, b"def"))
    again = (await create(store, command("c"))).uid
    assert not await store.read_output(again)
    await store.write(append(again, 0, b"new"))
    assert await whole(store, again, None) == b"new"


async def test_commands_do_not_share_output(store: Store) -> None:
    """Neither sizes nor bytes."""
    a, b = (await create(store, command("a"))).uid, (await create(store, command("b"))).uid
    await store.write(append(a, 0, b"aaa"), append(b, 0, b"b"))
    assert (await whole(store, a, None), await whole(store, b, None)) == (b"aaa", b"b")


async def test_large_output_is_read_in_bounded_pieces(store: Store) -> None:
    """Chunks of 1 MiB and many small ones alike: a read returns at most its limit, and reading on finds it all."""
    uid = (await create(store, command("c"))).uid
    big = bytes(range(256)) * 4096
    await store.write(append(uid, 0, big), append(uid, len(big), big))
    await store.write(*(append(uid, n, b"x", "stderr") for n in range(5000)))
    assert sum(len(c.data) for c in await store.read_output(uid, offset=7, limit=1000)) == 1000
    assert await whole(store, uid, "stdout", limit=300_000) == big + big
    assert await whole(store, uid, "stderr") == b"x" * 5000


async def test_an_append_that_is_too_large_is_refused(store: Store) -> None:
    """The limit is 1 MiB."""
    uid = (await create(store, command("c"))).uid
    with pytest.raises(ValueError, match="1048576"):
        await store.write(append(uid, 0, bytes((1 << 20) + 1)))


async def test_an_append_without_a_zone_is_refused(store: Store) -> None:
    """Times are points in time."""
    uid = (await create(store, command("c"))).uid
    naive = Append(command_uid=uid, stream="stdout", offset=0, data=b"x", at=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="zone"):
        await store.write(naive)


async def test_a_follower_is_woken_by_the_next_bytes(store: Store) -> None:
    """True once there is more than it has, at once if there is already; False when the time is up."""
    uid = (await create(store, command("c"))).uid
    assert not await store.wait_output(uid, position=0, timeout=0.01)
    waiting = asyncio.create_task(store.wait_output(uid, position=3, timeout=30))
    await asyncio.sleep(0)
    await store.write(append(uid, 0, b"abc"))
    assert not waiting.done()
    await store.write(append(uid, 0, b"d", "stderr"))
    assert await waiting
    assert await store.wait_output(uid, position=0, timeout=0)
