"""`exec` and `logs -f` go on by themselves when the server is killed and comes back (contract C-11, F-4)."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.cli import remote as remote_module
from api.cli.connection import Connection
from api.cli.errors import Unreachable
from api.cli.execute import manifest_for
from api.cli.remote import Remote
from tests.integration.cli.conftest import CLI
from tests.support.nodes import SshdFactory, SshdNode
from tests.support.proxy import Proxy
from tests.support.server import Server

WRITER = (
    "n=0; while [ $n -lt 250 ] || [ ! -e $HOME/enough ]; do n=$((n+1));"
    " printf 'line %d \\302\\205\\342\\200\\250\\n\\377\\000 %d\\n' $n $n;"
    " sleep 0.02; done | tee $HOME/copy"
)
"""Text with Unicode's other ends of line, and bytes that are no text: for five seconds and until it is enough."""


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Server]:
    """A server that survives being killed."""
    folder = tmp_path / "durable"
    folder.mkdir()
    server = Server(folder).start()
    yield server
    server.close()


@pytest.mark.sshd
@pytest.mark.parametrize("how", ["exec", "logs"])
async def test_two_kills_lose_and_repeat_nothing(durable: Server, offline: CLI, sshd: SshdFactory, how: str) -> None:
    """C-11, F-4: every byte that the node holds, once, in order."""
    node = await sshd()
    offline.environ["VENDETTA_SERVER"] = durable.url
    durable.register("build-01", node)
    if how == "exec":
        running = offline.start("exec", "build-01", "--shell", WRITER)
    else:
        command = durable.send("build-01", WRITER, wait="0").json()["id"]
        running = offline.start("logs", "-f", command)
    assert running.stdout is not None
    got = b""
    for wanted in (300, 2500):
        while len(got) < wanted:
            got += running.stdout.read1(4096)  # type: ignore[attr-defined]
        durable.kill()
        durable.start()
    (node.home / "enough").touch()
    rest, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
    assert got + rest == (node.home / "copy").read_bytes()


@pytest.mark.sshd
async def test_text_with_other_ends_of_line_arrives_as_it_is(vendetta: CLI, node: SshdNode) -> None:
    """F-4: U+2028, U+2029 and U+0085 end lines for Unicode, and no JSON."""
    text = "a\u2028b\u2029c\x85d\n"
    assert vendetta("exec", "build-01", "--", "printf", "%s", text).out.decode() == text


def test_a_watch_shows_such_text_too(vendetta: CLI, server: Server) -> None:
    """F-2: `get -w`."""
    server.http.post("/api/v1/nodes", json={"id": "listed"})
    watching = vendetta.start("get", "nodes", "-w", "-o", "json")
    assert watching.stdout is not None
    assert b"listed" in watching.stdout.readline()
    server.http.post("/api/v1/nodes", json={"id": "watched", "metadata": {"note": "a\u2028b\x85c"}})
    lines = [watching.stdout.readline() for _ in range(2)]  # the first node's status may change meanwhile
    watching.kill()
    _, err = watching.communicate()
    assert any(b"watched" in line for line in lines), (lines, err)


@pytest.mark.sshd
async def test_patience_is_for_each_outage_anew(
    durable: Server, sshd: SshdFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-4: a server that was away an hour ago may be away again; one that stays away is given up."""
    passed = 0.0
    monkeypatch.setattr(remote_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    node = await sshd()
    durable.register("build-01", node)
    script = "n=0; until [ -e $HOME/enough ]; do n=$((n+1)); echo $n; sleep 0.1; done"
    command = durable.send("build-01", script, wait="0").json()["id"]
    lines: list[bytes] = []

    async def follow(remote: Remote) -> None:
        async for piece in remote.follow(command):
            lines.extend(piece.data.split())

    async def more() -> None:
        wanted = len(lines) + 5
        while len(lines) < wanted:
            await asyncio.sleep(0.02)
            assert not following.done(), following.exception()

    async with Remote(Connection(url=durable.url)) as remote:
        following = asyncio.create_task(follow(remote))
        for _ in range(2):
            await more()
            await asyncio.to_thread(durable.kill)
            await asyncio.to_thread(durable.start)
            await more()
            passed += 3600
        await more()
        (node.home / "enough").touch()
        await following
        assert lines == [b"%d" % n for n in range(1, len(lines) + 1)]
        await asyncio.to_thread(durable.kill)
        following = asyncio.create_task(follow(remote))
        await asyncio.sleep(1)
        assert not following.done()
        passed += 3600
        with pytest.raises(Unreachable, match="goes on"):
            await following


async def test_a_command_whose_answer_was_lost_is_sent_once(durable: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-8, F-4: the server is killed after it took the command and before it said so; the answer is fetched later."""
    durable.http.post("/api/v1/nodes", json={"id": "n1", "address": "127.0.0.1", "port": 9, "provider": "ssh"})
    proxy = await Proxy(durable.port).start()
    proxy.delay = 0.4
    monkeypatch.setattr(remote_module, "headers_of", lambda _: {"Host": f"127.0.0.1:{durable.port}"})
    async with Remote(Connection(url=f"http://127.0.0.1:{proxy.port}")) as remote:
        manifest = manifest_for("n1", {"action": "true"})
        creating = asyncio.create_task(remote.create(manifest))
        await asyncio.sleep(0.6)
        await asyncio.to_thread(durable.kill)
        proxy.cut()
        await asyncio.to_thread(durable.start)
        created: dict[str, Any] = await creating
    await proxy.aclose()
    stored = durable.http.get("/api/v1/commands").json()["commands"]
    assert [command["id"] for command in stored] == [created["metadata"]["name"]]


def test_a_server_that_is_not_there_is_told_at_once(offline: CLI) -> None:
    """F-3: `logs -f` waits for a server that was there, not for one that never was."""
    offline.environ["VENDETTA_SERVER"] = "http://127.0.0.1:9"
    began = time.monotonic()
    assert "127.0.0.1:9" in offline("logs", "-f", "cmd_1_x", expect=3).err
    assert time.monotonic() - began < 20
