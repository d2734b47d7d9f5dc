"""A whole store in another database, in a file, and back: the same ids, the same revisions, the same bytes."""

import asyncio
import gzip
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from controller.membership import View
from controller.store.base import Delete, Expired, Store
from controller.store.history import HistoryLimits
from controller.store.postgres.database import Database
from controller.store.transfer import archive
from controller.store.transfer.moving import Moved, backup, copy, restore
from controller.store.transfer.records import TransferError
from tests.contract.store.objects import (
    PostgresBackend,
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
from tests.support.postgres import fresh_dsn

Place = PostgresBackend | SQLiteBackend


def silent(*_: object) -> None:
    """Tell nobody."""


def dsn_of(place: Place) -> str:
    """What a command line would call it."""
    return place.dsn if isinstance(place, PostgresBackend) else place.path


@pytest.fixture
def places(clock: SetClock, tmp_path: Path) -> Callable[[str], Place]:
    """A new place for a store, of a kind."""
    count = iter(range(100))

    def place(kind: str) -> Place:
        if kind == "postgres":
            return PostgresBackend(clock, fresh_dsn())
        return SQLiteBackend(clock, str(tmp_path / f"{next(count)}.db"))

    return place


Places = Callable[[str], Place]


def is_there(path: str) -> bool:
    """Whether that file exists, with something in it."""
    return os.path.exists(path) and os.path.getsize(path) > 0


async def fill(store: Store) -> None:
    """Something of everything, and a part of the history dropped."""
    for n in range(30):
        await create(store, node(f"n{n:02}", capabilities={"text": 'snow ☃, "quotes", \\u0000'}))
    await until_expired(store, 1)
    await update(store, labelled(await create(store, node("changed")), by="me"))
    await create(store, node("gone"))
    await store.write(Delete(kind="Node", name="gone"))
    for name in ("first", "second", "silent"):
        await create(store, command(name))
    for name, data in (("second", bytes(range(256)) * 5), ("first", b"a line\n")):
        uid = (store.get("Command", name) or node("")).uid
        await store.write(append(uid, 0, data), append(uid, 0, data[::-1], "stderr"))
        await store.write(append(uid, len(data), b"more"))
    deleted = (await create(store, command("deleted"))).uid
    await store.write(append(deleted, 0, b"forgotten"))
    await store.write(Delete(kind="Command", name="deleted"))


async def filled(place: Place) -> Store:
    """A started store on that place."""
    store = place.open(limits=HistoryLimits(changes=20))
    await store.start()
    await fill(store)
    return store


async def described(store: Store) -> dict[str, object]:
    """All that can be seen of it. Of its history, what is there in any case."""
    objects = [*store.list("Node").items, *store.list("Command").items]
    since = store.revision() - 10
    async with store.watch(since=since) as watch:
        changes = await watch.batch(100, 5)
    return {
        "uid": store.uid,
        "revision": store.revision(),
        "objects": objects,
        "changes": changes,
        "output": [list(await store.read_output(obj.uid)) for obj in objects],
    }


async def check(place: Place, expected: dict[str, object]) -> None:
    """A server that starts there finds the same, and goes on where the other one was."""
    store = place.open()
    await store.start()
    assert await described(store) == expected
    assert (await create(store, node("next"))).metadata.resource_version == str(store.revision())
    with pytest.raises(Expired):
        async with store.watch(since=1) as watch:
            await watch.batch(1, 1)
    uid = (store.get("Command", "first") or node("")).uid
    await store.write(append(uid, 11, b"!"))
    uid = (await create(store, command("new"))).uid
    await store.write(append(uid, 0, b"new"))
    assert b"".join(chunk.data for chunk in await store.read_output(uid)) == b"new"
    await store.aclose()


@pytest.mark.parametrize(
    "kinds", [("sqlite", "postgres"), ("postgres", "sqlite"), ("postgres", "postgres"), ("sqlite", "sqlite")]
)
async def test_a_copy_is_the_store_again(places: Places, kinds: Sequence[str]) -> None:
    """Whichever backend it comes from and goes to."""
    source, target = map(places, kinds)
    store = await filled(source)
    expected = await described(store)
    await store.aclose()
    moved = await copy(dsn_of(source), dsn_of(target), silent)
    assert (moved.header.uid, moved.header.revision, moved.live) == (expected["uid"], expected["revision"], False)
    assert moved.tally.counts["chunk"] == 6
    await check(target, expected)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_backup_brings_it_back(places: Places, tmp_path: Path, kind: str) -> None:
    """It is made while a server goes on, and read by its owner alone. The same store gives the same checksum."""
    source, other, target = places(kind), places("sqlite"), places(kind)
    store = await filled(source)
    expected = await described(store)
    first = await backup(dsn_of(source), tmp_path / "b.gz", silent)
    assert (tmp_path / "b.gz").stat().st_mode & 0o777 == 0o600
    await create(store, node("later"))
    await store.aclose()
    restored = await restore(tmp_path / "b.gz", dsn_of(other), silent)
    again = await backup(dsn_of(other), tmp_path / "again.gz", silent)
    assert first.tally.checksum == restored.tally.checksum == again.tally.checksum
    assert gzip.decompress((tmp_path / "b.gz").read_bytes()) == gzip.decompress((tmp_path / "again.gz").read_bytes())
    await restore(tmp_path / "again.gz", dsn_of(target), silent)
    await check(target, expected)


async def refused(work: Awaitable[Moved]) -> str:
    """Why it cannot be done."""
    with pytest.raises(TransferError) as caught:
        await work
    return str(caught.value)


@asynccontextmanager
async def serving(place: Place) -> AsyncIterator[Store]:
    """A store that a server uses."""
    store = place.open(lease=600)
    membership = store.membership(takes_shares=True, address="")
    await store.start()
    joined = asyncio.Event()

    async def on_view(_: View) -> None:
        joined.set()

    running = asyncio.create_task(membership.run(on_view))
    await joined.wait()
    yield store
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await store.aclose()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_only_an_empty_place_that_nobody_uses_is_filled(places: Places, kind: str) -> None:
    """A server would not know what has come over it; and what is there is nobody's to replace."""
    source, target, copied = places("sqlite"), places(kind), places(kind)
    await (await filled(source)).aclose()
    async with serving(target) as store:
        assert "use" in await refused(copy(dsn_of(source), dsn_of(target), silent))
        assert (await copy(dsn_of(target), dsn_of(copied), silent)).live
        made = await create(store, node("n"))
    assert "is not empty" in await refused(copy(dsn_of(source), dsn_of(target), silent))
    async with serving(target) as store:
        assert store.list("Node").items == (made,)
    assert not (await copy(dsn_of(source), dsn_of(copied), silent)).live


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("damage", ["a byte", "the end", "a line", "the checksum"])
async def test_of_a_damaged_backup_nothing_is_restored(
    places: Places, tmp_path: Path, kind: str, damage: str
) -> None:
    """All of it or nothing, however late it shows."""
    source, target, file = places("sqlite"), places(kind), tmp_path / "b.gz"
    await (await filled(source)).aclose()
    await backup(dsn_of(source), file, silent)
    packed = bytearray(file.read_bytes())
    lines = gzip.decompress(packed).splitlines(keepends=True)
    if damage == "a byte":
        packed[len(packed) // 2] ^= 1
    elif damage == "the end":
        packed = bytearray(gzip.compress(b"".join(lines[:-1])))
    elif damage == "a line":
        packed = bytearray(gzip.compress(b"".join(lines[:5] + lines[6:])))
    else:
        packed = bytearray(gzip.compress(b"".join(lines).replace(b'"sha256":"', b'"sha256":"0')))
    file.write_bytes(packed)
    reason = await refused(restore(file, dsn_of(target), silent))
    assert "damaged" in reason or "not whole" in reason
    if isinstance(target, SQLiteBackend):
        assert not is_there(target.path)
    else:
        assert await _count(target) == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    "line",
    [
        b"[" * 4000,
        b'{"record":"log","command":"c","stdout":%d,"stderr":0}' % 2**64,
        b'{"record":"log","command":7,"stdout":0,"stderr":0}',
        b'{"record":"log","command":"%s","stdout":0,"stderr":0}' % (b"x" * 4096),
    ],
    ids=["deep", "great", "of another type", "long"],
)
async def test_a_file_that_somebody_made_up_is_refused(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, line: bytes
) -> None:
    """With a sentence: what is in it brings nothing down, and fills no memory."""
    monkeypatch.setattr(archive, "LONGEST_LINE", 4096)
    header = b'{"record":"store","format":1,"uid":"u","revision":1,"compacted":0}'
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"\n".join([header, line, b""])))
    assert "is damaged" in await refused(restore(tmp_path / "b.gz", dsn_of(places(kind)), silent))


async def _count(place: PostgresBackend) -> int:
    database = Database.of(place.dsn)
    connection: asyncpg.Connection = await database.connect()
    count: int = await connection.fetchval(f"SELECT count(*) FROM {database.schema}.objects")
    await connection.close()
    return count


async def test_what_is_no_backup_and_no_store_is_refused(places: Places, tmp_path: Path) -> None:
    """With a sentence, and nothing is made."""
    (tmp_path / "text").write_text("hello")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"[1]\n"))
    with sqlite3.connect(tmp_path / "foreign") as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    target, stored = str(tmp_path / "new.db"), places("sqlite")
    await (await filled(stored)).aclose()
    assert "no backup" in await refused(restore(tmp_path / "text", target, silent))
    assert "no backup" in await refused(restore(tmp_path / "packed.gz", target, silent))
    assert "cannot read" in await refused(restore(tmp_path / "nothing", target, silent))
    assert "no store at" in await refused(copy(str(tmp_path / "nothing"), target, silent))
    assert "another program" in await refused(copy(str(tmp_path / "foreign"), target, silent))
    assert "no store in the schema" in await refused(copy(fresh_dsn(), target, silent))
    assert "memory" in await refused(copy("memory", target, silent))
    assert "hunter2" not in await refused(copy("postgres://u:hunter2@127.0.0.1:1/d", target, silent))
    assert "exists already" in await refused(backup(dsn_of(stored), tmp_path / "text", silent))
    assert not is_there(target)
    assert (tmp_path / "text").read_text() == "hello"


async def test_a_store_of_a_killed_server_is_copied_whole(places: Places, tmp_path: Path) -> None:
    """What it had acknowledged is in its write-ahead log, which nobody has taken over yet."""
    path = tmp_path / "killed.db"
    program = (
        "import asyncio, os, sys\n"
        "from tests.contract.store.objects import *\n"
        "async def main():\n"
        "    store = SQLiteBackend(SetClock(), sys.argv[1]).open()\n"
        "    await store.start()\n"
        "    await create(store, node('n'))\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path))
    assert await server.wait() == -signal.SIGKILL
    assert is_there(f"{path}-wal")
    moved = await copy(str(path), dsn_of(places("postgres")), silent)
    assert (moved.tally.counts["object"], moved.live) == (1, False)


async def test_what_a_newer_version_has_stored_comes_along(places: Places) -> None:
    """Bodies are copied as they are, not as this version reads them."""
    source, target = places("sqlite"), places("sqlite")
    await (await filled(source)).aclose()
    with sqlite3.connect(dsn_of(source)) as connection:
        connection.execute("UPDATE objects SET body = CAST('{\"future\": 1}' AS BLOB) WHERE name = 'n00'")
    await copy(dsn_of(source), dsn_of(target), silent)
    with sqlite3.connect(dsn_of(target)) as connection:
        assert connection.execute("SELECT body FROM objects WHERE name = 'n00'").fetchone() == (b'{"future": 1}',)
