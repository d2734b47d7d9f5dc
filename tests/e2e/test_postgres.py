"""Two servers on one PostgreSQL: one is active, the other takes over, and the old one is out (contract A-6)."""

import signal
import socket
import time
from collections.abc import Callable

import httpx2
import pytest

from tests.e2e.conftest import MakeServer
from tests.support.nodes import SshdNode
from tests.support.postgres import fresh_dsn
from tests.support.server import Server

pytestmark = pytest.mark.sshd


@pytest.fixture
def pair(make_server: MakeServer, ssh_node: SshdNode) -> tuple[Server, Server]:
    """Two servers on one database, not started. Both have the key of the node."""
    registry = {"provider": "postgres", "dsn": fresh_dsn(), "lease_duration": "3s"}
    first, second = make_server(registry=registry), make_server(registry=registry)
    second.credential("key", ssh_node)
    return first, second


def until(what: str, good: Callable[[], object], seconds: float = 30) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def stand_by(server: Server) -> None:
    """Start it and wait until it says that it is a standby."""
    server.launch()
    until("a standby", lambda: "standing by" in ready(server))


def ready(server: Server) -> str:
    """What its readiness says."""
    try:
        return server.http.get("/readyz").text
    except httpx2.TransportError:
        return ""


def pid(server: Server) -> int:
    """Its process."""
    assert server.process is not None
    return server.process.pid


def hold(server: Server, node: SshdNode) -> str:
    """Start a command that runs until `release`; returns its id once it runs on the node."""
    script = "echo begun >> $HOME/ran; while [ ! -e $HOME/go ]; do sleep 0.1; done; echo done"
    command = server.send("node-1", script, wait="0").json()["id"]
    until("the command runs on the node", (node.home / "ran").exists)
    return str(command)


def ask_for(server: Server, name: str) -> socket.socket:
    """Ask it for a node, whenever it may get to that."""
    body = f'{{"id": "{name}", "provider": "none"}}'
    head = f"POST /api/v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(f"{head}\r\n\r\n{body}".encode())
    return connection


def test_a_standby_takes_over_and_the_old_server_is_out(pair: tuple[Server, Server], ssh_node: SshdNode) -> None:
    """Killed: its command goes on, runs once, ends on the other. Stopped and woken: it ends, writes nothing."""
    first, second = pair
    first.start().register("node-1", ssh_node)
    assert first.send("node-1", "echo hello").json()["output"] == "hello"

    stand_by(second)
    assert f"(pid {pid(first)}), since " in ready(second)
    assert second.http.get("/livez").text == "ok"
    refused = second.http.get("/api/v1/nodes")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert "stands by" in refused.json()["error"]["message"]

    command = hold(first, ssh_node)
    first.kill()
    until("the second server is ready", second.is_ready)
    (ssh_node.home / "go").touch()
    ended = second.ended(command)
    assert (ended["status"], ended["output"]) == ("success", "done")
    assert (ssh_node.home / "ran").read_text() == "begun\n"

    stand_by(first)
    assert second.process is not None
    second.process.send_signal(signal.SIGSTOP)
    until("the first server is ready", first.is_ready)
    with ask_for(second, "ghost"):
        second.process.send_signal(signal.SIGCONT)
        assert second.process.wait(20) == 1
    assert "vendetta: this server is not the active one any more: " in second.log.read_text()
    assert [node["id"] for node in first.http.get("/api/v1/nodes").json()["nodes"]] == ["node-1"]
    assert first.send("node-1", "echo and on").json()["output"] == "and on"

    stand_by(second)
    assert second.stop() == 0
    assert first.stop() == 0
