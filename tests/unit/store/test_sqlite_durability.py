"""The SQLite store when things go wrong: killed, out of disk, failing in the middle."""

import asyncio
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from controller.runtime.clock import SystemClock
from controller.store.base import AlreadyExists, Create, Delete, Store, Unavailable, Update
from controller.store.open import open_store
from controller.store.sqlite.file import DatabaseFile
from tests.contract.store.objects import append, at_version, command, create, labelled, node

WRITER = """
import asyncio, structlog, sys
from controller.runtime.clock import SystemClock
from controller.store.base import Create, Update
from controller.store.open import open_store
from tests.contract.store.objects import append, command, labelled, node

async def write(store, me):
    # Each round: a command with its first output in one write, then an update. Told only once acknowledged.
    for n in range(100_000):
        name = f"{sys.argv[2]}-{me}-{n}"
        (obj,) = await store.write(Create(obj=command(name)))
        print("created", name, flush=True)
        await store.write(append(obj.uid, 0, name.encode()), Update(obj=labelled(obj, done="yes")))
        print("updated", name, flush=True)

async def main():
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    store = open_store("sqlite", sys.argv[1], clock=SystemClock())
    await store.start()
    print("ready -", flush=True)
    async with asyncio.TaskGroup() as group:
        for me in range(8):
            group.create_task(write(store, me))

asyncio.run(main())
"""


@pytest.mark.parametrize("round_", range(2))
async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, round_: int) -> None:
    """Five kills at random moments, each restart at once: every acknowledged write is there, whole (A-6)."""
    path = str(tmp_path / "db")
    acknowledged: dict[str, str] = {}
    for kill in range(5):
        acknowledged |= killed(path, str(kill), random.uniform(0.01, 0.25))
        store = open_store("sqlite", path, clock=SystemClock())
        await store.start()
        for name, what in acknowledged.items():
            obj = store.get("Command", name)
            assert obj is not None, f"{name} was {what} and is gone"
            updated = obj.metadata.labels.get("done") == "yes"
            assert updated or what == "created"
            expected = name.encode() if updated else b""
            assert b"".join(chunk.data for chunk in await store.read_output(obj.uid)) == expected
        await store.aclose()
    assert acknowledged
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        revisions = [row[0] for row in connection.execute("SELECT revision FROM history ORDER BY revision")]
        assert revisions == list(range(1, len(revisions) + 1))


def killed(path: str, prefix: str, after: float) -> dict[str, str]:
    """What a writer told before it was killed, that long after it was ready."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path, prefix], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready -\n"
        timer = asyncio.get_running_loop().time() + after
        told: dict[str, str] = {}
        while asyncio.get_running_loop().time() < timer:
            what, _, name = child.stdout.readline().strip().partition(" ")
            told[name] = what
        child.send_signal(signal.SIGKILL)
        for line in child.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                what, _, name = line.strip().partition(" ")
                told[name] = what
    return told


SUICIDE = """
import asyncio, os, signal, sys
from controller.runtime.clock import SystemClock
from controller.store.base import Create
from controller.store.open import open_store
from tests.contract.store.objects import node

def failpoint(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = open_store("sqlite", sys.argv[1], clock=SystemClock(), failpoint=failpoint)
    await store.start()
    await store.write(Create(obj=node("a")), Create(obj=node("b")))

asyncio.run(main())
"""


@pytest.mark.parametrize(("failpoint", "there"), [("store.before-commit", []), ("store.after-commit", ["a", "b"])])
async def test_death_around_a_commit_leaves_all_or_nothing(tmp_path: Path, failpoint: str, there: list[str]) -> None:
    """Before it nothing is stored, after it everything, although nobody was told."""
    path = str(tmp_path / "db")
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", SUICIDE, path, failpoint)
    assert await child.wait() == -signal.SIGKILL
    store = open_store("sqlite", path, clock=SystemClock())
    await store.start()
    assert [obj.name for obj in store.list("Node").items] == there
    assert store.revision() == len(there)
    await store.aclose()


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """WAL with synchronous FULL: NORMAL would lose the last commits in a power cut."""
    file = DatabaseFile(tmp_path / "db")
    file.acquire()
    with closing(file.connect()) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    file.release()


class Trap:
    """A failpoint that fails when it is set, and counts."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.fatal = False
        self.commits = 0

    def __call__(self, name: str) -> None:
        """Pass, or fail, a failpoint."""
        if name == "store.before-commit":
            if self.error is not None:
                raise self.error
            self.commits += 1
        elif self.fatal:
            raise RuntimeError("a mistake")


@pytest.fixture
def trap() -> Trap:
    return Trap()


@pytest.fixture
async def store(tmp_path: Path, trap: Trap) -> AsyncIterator[Store]:
    store = open_store("sqlite", str(tmp_path / "db"), clock=SystemClock(), failpoint=trap)
    await store.start()
    yield store
    await store.aclose()


async def test_writes_that_wait_together_share_a_commit(store: Store, trap: Trap) -> None:
    """A hundred writers in one turn of the loop: one commit, or two when the first went ahead."""
    await asyncio.gather(*(create(store, node(f"n{n}")) for n in range(100)))
    assert trap.commits <= 2


async def test_a_failed_commit_undoes_all_that_is_not_stored(store: Store, trap: Trap) -> None:
    """Every waiter gets Unavailable, readers and watchers saw nothing, and afterwards the store works."""
    kept = await create(store, node("kept"))
    before = store.revision()
    trap.error = OSError(5, "Input/output error")
    async with store.watch() as watch:
        outcomes = await asyncio.gather(*(create(store, node(f"n{n}")) for n in range(20)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert (store.revision(), list(store.list("Node").items)) == (before, [kept])
        with pytest.raises(Unavailable, match="Input/output error"):
            await create(store, command("c"))
        trap.error = None
        again = await create(store, node("n0"))
        assert again.metadata.resource_version == str(before + 1)
        assert [change.obj for change in await watch.batch(10)] == [again]


async def test_what_builds_on_a_failed_write_fails_with_it(store: Store, trap: Trap) -> None:
    """Updates, refusals and updates without effect that stand on a write under way share its fate."""
    trap.error = OSError(28, "No space left on device")
    obj = node("a")
    outcomes = await asyncio.gather(
        store.write(Create(obj=obj)),
        store.write(Update(obj=labelled(obj, x="y"))),
        store.write(Create(obj=obj)),
        store.write(Update(obj=at_version(labelled(obj, x="y"), ""))),
        store.write(Delete(kind="Node", name="a", version="999")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
    trap.error = None
    await create(store, obj)
    with pytest.raises(AlreadyExists):
        await create(store, obj)


async def test_a_write_that_queued_behind_a_failing_one_is_not_stored(tmp_path: Path) -> None:
    """It was staged on top of it, and its turn comes before anybody hears of the failure."""
    reached, go_on = threading.Event(), threading.Event()

    def fail_once(name: str) -> None:
        if name == "store.before-commit" and not reached.is_set():
            reached.set()
            go_on.wait(10)
            raise OSError(28, "No space left on device")

    path = str(tmp_path / "db")
    store = open_store("sqlite", path, clock=SystemClock(), failpoint=fail_once)
    await store.start()
    first = asyncio.create_task(create(store, node("first")))
    await asyncio.to_thread(reached.wait, 10)
    second = asyncio.create_task(create(store, node("second")))
    await asyncio.sleep(0.01)
    go_on.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    await create(store, node("third"))
    await store.aclose()
    store = open_store("sqlite", path, clock=SystemClock())
    await store.start()
    assert [obj.name for obj in store.list("Node").items] == ["third"]
    await store.aclose()


async def test_a_write_may_build_on_two_that_are_under_way(tmp_path: Path) -> None:
    """While the first of them is stored and shown, the second stays what the third is checked against."""
    gate = threading.Semaphore(0)
    closed = False

    def wait_at_gate(name: str) -> None:
        if closed and name == "store.before-commit":
            gate.acquire(timeout=10)

    store = open_store("sqlite", str(tmp_path / "db"), clock=SystemClock(), failpoint=wait_at_gate)
    await store.start()
    obj = await create(store, command("c"))
    closed = True
    tasks = []
    for n in (1, 2, 3):
        # Each goes into a commit of its own; the third is staged when the first is visible and the second is not.
        version = str(n)
        change = Update(obj=at_version(labelled(obj, n=str(n)), version))
        tasks.append(asyncio.create_task(store.write(change, append(obj.uid, n - 1, b"x"))))
        await asyncio.sleep(0.05)
        if n == 2:
            gate.release()
            await tasks[0]
            assert store.revision() == 2
    gate.release(2)
    await asyncio.gather(*tasks)
    assert store.output_sizes(obj.uid) == (3, 0)
    assert store.revision() == 4
    await store.aclose()


async def test_output_of_a_failed_write_is_not_there(store: Store, trap: Trap) -> None:
    """Sizes go back, so the same append fits again."""
    uid = (await create(store, command("c"))).uid
    trap.error = OSError(28, "No space left on device")
    with pytest.raises(Unavailable):
        await store.write(append(uid, 0, b"abc"))
    trap.error = None
    assert store.output_sizes(uid) == (0, 0)
    await store.write(append(uid, 0, b"abc"))
    assert store.output_sizes(uid) == (3, 0)


async def test_a_writer_that_dies_takes_nobody_with_it_into_waiting(store: Store, trap: Trap) -> None:
    """Should its thread end by a mistake of ours, writers are told so, now and later; reads go on."""
    kept = await create(store, node("kept"))
    trap.fatal = True
    for name in ("a", "b"):
        with pytest.raises(Unavailable, match="writer has ended"):
            await create(store, node(name))
    assert store.get("Node", "kept") == kept


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """As on a disk that is full: what grows a file fails. SIGXFSZ is ignored by Python, so it is an error only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_writes_until_there_is_space_again(tmp_path: Path, store: Store) -> None:
    """Real failing writes: Unavailable, reads go on, nothing acknowledged is lost, nothing refused appears."""
    uid = (await create(store, command("c"))).uid
    kept: list[str] = []
    refused: list[str] = []
    wal = tmp_path / "db-wal"
    with no_file_longer_than(wal.stat().st_size + 100_000):
        for n in range(60):
            name = f"n{n}"
            try:
                await create(store, node(name, address="x" * 200))
                kept.append(name)
            except Unavailable:
                refused.append(name)
        with pytest.raises(Unavailable):
            await store.write(append(uid, 0, bytes(200_000)))
        assert {obj.name for obj in store.list("Node").items} == set(kept)
    assert refused
    await create(store, node("after"))
    await store.write(append(uid, 0, b"abc"))
    await store.aclose()

    again = open_store("sqlite", str(tmp_path / "db"), clock=SystemClock())
    await again.start()
    assert {obj.name for obj in again.list("Node").items} == {*kept, "after"}
    assert again.output_sizes(uid) == (3, 0)
    await again.aclose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_full_file_system_refuses_writes_until_there_is_space_again(small_disk: Path) -> None:
    """The same on a small disk that something else fills."""
    store = open_store("sqlite", str(small_disk / "db"), clock=SystemClock())
    await store.start()
    await create(store, node("before"))
    fill(small_disk / "ballast")
    with pytest.raises(Unavailable, match="full"):
        await create_many(store)
    assert "full" in (store.failure() or "")
    names = [obj.name for obj in store.list("Node").items]
    (small_disk / "ballast").unlink()
    await create(store, node("after"))
    assert store.failure() is None
    await store.aclose()
    store = open_store("sqlite", str(small_disk / "db"), clock=SystemClock())
    await store.start()
    assert {obj.name for obj in store.list("Node").items} == {*names, "after"}
    await store.aclose()


async def create_many(store: Store) -> None:
    """One after another."""
    for n in range(1000):
        await create(store, node(f"n{n}", address="x" * 200))


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


async def test_the_output_of_a_deleted_command_leaves_the_file(tmp_path: Path, store: Store) -> None:
    """In bites, in the background, while the store serves others; none of it is visible meanwhile."""
    uid = (await create(store, command("big"))).uid
    for n in range(12):
        await store.write(append(uid, n << 20, bytes(1 << 20)))
    await store.write(Delete(kind="Command", name="big"))
    assert not await store.read_output(uid)
    for _ in range(200):
        await asyncio.sleep(0.02)
        with sqlite3.connect(tmp_path / "db") as connection:
            left = connection.execute("SELECT (SELECT count(*) FROM output) + (SELECT count(*) FROM logs)").fetchone()
        if left == (0,):
            return
    pytest.fail(f"{left} rows are left")
