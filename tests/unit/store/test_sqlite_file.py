"""The SQLite store's file: whose it is, who may read it, and what is refused with a sentence."""

import asyncio
import gc
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from controller.runtime.clock import SystemClock
from controller.store.base import Create, Store, Unavailable, Update
from controller.store.open import open_store
from controller.store.sqlite.file import path_of
from tests.contract.store.objects import create, labelled, node


def sqlite(path: Path | str) -> Store:
    return open_store("sqlite", str(path), clock=SystemClock())


async def refusal(path: Path) -> str:
    store = sqlite(path)
    with pytest.raises(Unavailable) as caught:
        await store.start()
    await store.aclose()
    return str(caught.value)


async def made(path: Path) -> None:
    """A store with one node in it."""
    store = sqlite(path)
    await store.start()
    await create(store, node("a"))
    await store.aclose()


async def test_a_second_server_is_refused_at_once(tmp_path: Path) -> None:
    """With the other's process id; and let in once the other is gone (A-6)."""
    store = sqlite(tmp_path / "db")
    await store.start()
    assert re.search(r"in use by another server \(process \d+\)", await refusal(tmp_path / "db"))
    (tmp_path / "alias").symlink_to(tmp_path / "db")
    assert "in use by another server" in await refusal(tmp_path / "alias")
    await create(store, node("a"))
    await store.aclose()
    await made(tmp_path / "other")
    store = sqlite(tmp_path / "db")
    await store.start()
    assert store.get("Node", "a") is not None
    await store.aclose()


async def test_file_and_directory_are_private(tmp_path: Path) -> None:
    """Directory 0700, every file 0600, also where an older file was open to others."""
    (tmp_path / "db").touch(mode=0o644)
    for path in (tmp_path / "new" / "dir" / "db", tmp_path / "db"):
        store = sqlite(path)
        await store.start()
        await create(store, node("a"))
        files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".lock"))]
        assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 4
        await store.aclose()
    assert (tmp_path / "new" / "dir").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("dsn", "path"),
    [
        ("/var/lib/db", "/var/lib/db"),
        ("data/db", "data/db"),
        ("sqlite:////var/lib/db", "/var/lib/db"),
        ("sqlite:///data/db", "data/db"),
    ],
)
def test_a_dsn_is_a_path_or_a_url(dsn: str, path: str) -> None:
    """Three slashes and a relative path, or four and an absolute one."""
    assert path_of(dsn) == Path(path)


@pytest.mark.parametrize("dsn", ["", "postgres://host/db", "sqlite:///", "a\0b"])
def test_another_dsn_is_refused(dsn: str) -> None:
    """With the name of the setting."""
    with pytest.raises(Unavailable, match=r"registry\.dsn"):
        open_store("sqlite", dsn, clock=SystemClock())


def test_unknown_providers_are_refused() -> None:
    """The known ones are named."""
    with pytest.raises(Unavailable, match="'etcd' is not one of memory, sqlite, postgres"):
        open_store("etcd", clock=SystemClock())


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is the extra that has it."""
    for module in [name for name in sys.modules if name.startswith("controller.store.postgres.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(Unavailable, match=r"postgres needs asyncpg: pip install 'vendetta\[postgres\]'"):
        open_store("postgres", "postgresql://h/d", clock=SystemClock())


async def test_any_path_will_do(tmp_path: Path) -> None:
    """Also one with characters that mean something in a URI."""
    path = tmp_path / "a b?mode=memory#%41" / "d&b.sqlite"
    await made(path)
    assert path.stat().st_size > 0


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """And left as it is."""
    path = tmp_path / "db"
    path.write_bytes(b"important notes\n" * 100)
    assert "cannot open the store" in await refusal(path)
    assert path.read_bytes() == b"important notes\n" * 100


async def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """And left as it is."""
    path = tmp_path / "db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    assert "another program" in await refusal(path)
    with sqlite3.connect(path) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["bookmarks"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("INSERT INTO migrations VALUES (999, 'future', 'x', NULL)", "schema has version 999, and this server"),
        ("INSERT INTO migrations VALUES (999, 'future', 'x', 2)", "schema has version 999, and this server"),
        ("UPDATE migrations SET checksum = 'x'", "another text of migration 1"),
        ("UPDATE objects SET schema = 999", "schema version 999"),
        ('UPDATE objects SET body = \'{"spec":{"port":-1}}\'', "the stored Node 'a' cannot be read"),
    ],
)
async def test_what_this_version_cannot_read_is_refused(tmp_path: Path, change: str, sentence: str) -> None:
    """With a sentence, without a change to the file, and without keeping the lock."""
    path = tmp_path / "db"
    await made(path)
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    assert sentence in await refusal(path)
    assert sentence in await refusal(path)


async def test_what_a_newer_version_only_added_is_left_alone(tmp_path: Path) -> None:
    """A way back, where the newer one says that there is one: a column, a kind, and a field of an object."""
    path = tmp_path / "db"
    await made(path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES (999, 'future', 'x', 1)")
        connection.execute("ALTER TABLE objects ADD COLUMN shard INTEGER NOT NULL DEFAULT 0")
        connection.execute("UPDATE objects SET body = json_set(CAST(body AS TEXT), '$.spec.zone', 'z')")
        connection.execute("INSERT INTO objects SELECT 'Teapot', name, schema, body, 1 FROM objects")
    store = sqlite(path)
    await store.start()
    old = store.get("Node", "a")
    assert old is not None
    await store.write(Update(obj=labelled(old, by="this")))
    await store.aclose()
    with sqlite3.connect(path) as connection:
        kept = connection.execute("SELECT kind, json_extract(CAST(body AS TEXT), '$.spec.zone') FROM objects")
        assert sorted(kept) == [("Node", "z"), ("Teapot", "z")]


async def test_a_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """A directory, and a file where a directory should be."""
    (tmp_path / "file").touch()
    assert "cannot open the store" in await refusal(tmp_path / "file" / "db")
    assert "cannot open the store" in await refusal(tmp_path)


async def test_nothing_is_left_running(tmp_path: Path) -> None:
    """Neither threads nor tasks, after a store was used and after one failed to start."""
    before = set(threading.enumerate())
    store = sqlite(tmp_path / "db")
    await store.start()
    await create(store, node("a"))
    await store.read_output("nobody")
    async with store.watch(since=0) as watch:
        await watch.batch(1)
    await refusal(tmp_path / "db")
    await store.aclose()
    await store.aclose()
    await asyncio.sleep(0.05)
    assert set(threading.enumerate()) == before
    assert len(asyncio.all_tasks()) == 1


async def test_a_start_that_is_cancelled_lets_go_of_the_file(tmp_path: Path) -> None:
    """The next start succeeds."""
    store = sqlite(tmp_path / "db")
    starting = asyncio.create_task(store.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await made(tmp_path / "db")


def test_a_process_that_forgets_to_close_still_ends(tmp_path: Path) -> None:
    """And what it wrote is there."""
    program = f"""
import asyncio
from controller.runtime.clock import SystemClock
from controller.store.base import Create
from controller.store.open import open_store
from tests.contract.store.objects import node

async def main():
    store = open_store("sqlite", {str(tmp_path / "db")!r}, clock=SystemClock())
    await store.start()
    await store.write(Create(obj=node("a")))
    await store.read_output("nobody")

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
    with sqlite3.connect(tmp_path / "db") as connection:
        assert connection.execute("SELECT name FROM objects").fetchall() == [("a",)]


async def test_history_is_not_read_at_the_start(tmp_path: Path) -> None:
    """A store with ten times its size in history starts as fast as one without, in processor time of its own."""
    short = await loading(tmp_path / "short", updates=0)
    assert await loading(tmp_path / "long", updates=9) < 4 * short


async def loading(path: Path, *, updates: int) -> float:
    """Seconds that a store of five hundred nodes takes to start, each updated so often."""
    store = sqlite(path)
    await store.start()
    objects = await store.write(*(Create(obj=node(f"n{n}", address="10.0.0.1")) for n in range(500)))
    for n in range(updates):
        objects = await store.write(*(Update(obj=labelled(obj, update=str(n))) for obj in objects if obj))
    await store.aclose()
    store = sqlite(path)
    gc.disable()  # what other tests have left behind is not to be walked just now
    began = time.process_time()
    await store.start()
    took = time.process_time() - began
    gc.enable()
    assert len(store.list("Node").items) == 500
    await store.aclose()
    return took
