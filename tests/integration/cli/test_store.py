"""`vendetta store`: a whole store into a file, another database, and back (contract A-6, F-3)."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.contract.store.objects import SetClock, SQLiteBackend, append, command, create, node
from tests.integration.cli.conftest import CLI
from tests.support.postgres import fresh_dsn


async def _fill(path: Path) -> None:
    store = SQLiteBackend(SetClock(), str(path)).open()
    await store.start()
    await create(store, node("build-01"))
    uid = (await create(store, command("c"))).uid
    await store.write(append(uid, 0, b"hello\n"))
    await store.aclose()


@pytest.fixture
def filled(offline: CLI) -> CLI:
    """A folder with a store in it, as a server has left it."""
    asyncio.run(_fill(offline.folder / "vendetta.db"))
    return offline


def test_a_store_goes_into_a_file_and_on_into_postgresql(filled: CLI) -> None:
    """Each step says what it has moved, and the same of the same."""
    made = filled("store", "backup", "--from", "vendetta.db", "fleet.gz")
    assert made.text.startswith("wrote fleet.gz (mode 0600): revision 2 of ")
    assert "2 objects, 2 changes, 6 bytes of output of 1 commands" in made.text
    checksum = made.text.split()[-2].rstrip(",")
    dsn = fresh_dsn()
    restored = filled("store", "restore", "fleet.gz", "--to", dsn, "-o", "json").json
    assert restored.pop("uid") in made.text
    assert restored == {
        "revision": 2,
        "objects": 2,
        "changes": 2,
        "outputs": 1,
        "output_bytes": 6,
        "sha256": checksum,
        "live": False,
    }
    copied = filled("store", "copy", "--from", dsn, "--to", "sqlite:///copy.db", "--output", "json")
    assert copied.json["sha256"] == checksum
    assert copied.err == ""
    with sqlite3.connect(filled.folder / "copy.db") as connection:
        assert connection.execute("SELECT data FROM output").fetchall() == [(b"hello\n",)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("copy", "--from", "vendetta.db", "--to", "vendetta.db"), "in use by another server"),
        (("restore", "vendetta.db", "--to", "new.db"), "no backup of a store"),
        (("copy", "--from", "postgresql://u:hunter2@127.0.0.1:1/d", "--to", "new.db"), "cannot reach the database"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(filled: CLI, arguments: tuple[str, ...], reason: str) -> None:
    """F-3: exit code 1, nothing on standard output, no password, and no new file."""
    done = filled("store", *arguments, expect=1)
    assert done.text == ""
    assert reason in done.err
    assert len(done.err.splitlines()) == 1
    assert "hunter2" not in done.err
    assert not (filled.folder / "new.db").exists()
