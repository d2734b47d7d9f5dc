"""Nodes that are away when a command is sent, go away while it runs, and come back: what is said, and when."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import MakeServer
from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.server import Server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all, that gives up on nodes soon."""
    made = Server(
        tmp_path_factory.mktemp("server"), registry={"health_check_interval": "500ms", "node_timeout": "2s"}
    )
    yield made.start()
    made.close()


@pytest.fixture
def node(server: Server, farm: Farm) -> Iterator[SshdNode]:
    """A node of its own for each test, connected."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    made = asyncio.run(farm.sshd())
    server.register("node-1", made)
    assert server.send("node-1", "true").json()["status"] == "success"
    yield made
    assert server.http.delete("/api/v1/nodes/node-1").is_success


class Results:
    """Listens to the event stream, and keeps every `command_result`."""

    def __init__(self, server: Server) -> None:
        self._seen: list[dict[str, Any]] = []
        self._connected = threading.Event()
        self._client = httpx2.Client(base_url=server.url, trust_env=False, timeout=60)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Results":
        self._thread.start()
        assert self._connected.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._thread.join(5)

    def _listen(self) -> None:
        with suppress(httpx2.HTTPError, RuntimeError), self._client.stream("GET", "/ws") as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    self._take(json.loads(line[5:]))

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "initial_state":
            self._connected.set()
        if event["type"] == "command_result":
            self._seen.append(event["data"])

    def of(self, command_id: str) -> list[tuple[str, str, bool]]:
        """Status, reason and whether it came late, of each result of that command."""
        return [(r["status"], r["reason"], r.get("late", False)) for r in self._seen if r["id"] == command_id]


def test_a_command_for_a_node_that_is_away_is_delivered_when_it_is_back(server: Server, node: SshdNode) -> None:
    """C-3, C-5, C-7: 202, pending with the reason and a sentence; then once, soon."""
    node.stop()
    response = server.send("node-1", "echo x >>$HOME/ran; echo done", wait="1s")
    assert response.status_code == 202
    command = response.json()
    assert (command["status"], command["reason"], command["attempts"]) == ("pending", "NodeUnreachable", 0)
    wait_for(lambda: "nothing listens there" in server.command(command["id"])["message"])
    time.sleep(1)
    asyncio.run(node.start())
    result = server.ended(command["id"], 20)
    assert (result["status"], result["output"], result["attempts"]) == ("success", "done", 1)
    assert (node.home / "ran").read_text() == "x\n"


def test_a_command_whose_time_is_over_never_runs(server: Server, node: SshdNode) -> None:
    """C-3, C-7: timeout/DeliveryTimeout on time, certain; not when the node is back either."""
    node.stop()
    began = time.monotonic()
    command = server.send("node-1", "echo x >>$HOME/ran", wait="0", delivery_timeout="2s").json()
    result = server.ended(command["id"], 10)
    assert 1.9 < time.monotonic() - began < 4
    assert (result["status"], result["reason"], result["attempts"]) == ("timeout", "DeliveryTimeout", 0)
    assert result["certainty"] == "confirmed"
    assert "not run" in result["error"]
    asyncio.run(node.start())
    assert server.send("node-1", "echo back", wait="25s").json()["output"] == "back"
    assert not (node.home / "ran").exists()


def test_an_unknown_outcome_is_corrected_once_when_the_node_is_back(server: Server, node: SshdNode) -> None:
    """C-7, C-9: lost past its limits, unknown; back, the truth with `late`, one event; a restart adds nothing."""
    with Results(server) as results:
        script = "echo x >>$HOME/ran; echo out; sleep 0.5; exit 5"
        command = server.send("node-1", script, wait="0", timeout="1s", grace="1s").json()
        server.until(command["id"], "running")
        node.stop()
        result = server.ended(command["id"], 15)
        assert (result["status"], result["reason"], result["certainty"]) == ("unknown", "NodeUnreachable", "unknown")
        time.sleep(1)
        asyncio.run(node.start())
        corrected = server.until(command["id"], "error", 40)
        assert (corrected["exit_code"], corrected["output"], corrected["certainty"]) == (5, "out", "confirmed")
        assert corrected["late"] is True
        time.sleep(2)
        told = [("unknown", "NodeUnreachable", False), ("error", "NonZeroExit", True)]
        assert results.of(command["id"]) == told
    server.kill()
    server.start()
    assert server.send("node-1", "echo again", wait="25s").json()["output"] == "again"
    assert server.command(command["id"]) == corrected
    assert (node.home / "ran").read_text() == "x\n"


def test_a_start_that_nobody_answered_is_unknown_and_then_made_never_to_run(server: Server, node: SshdNode) -> None:
    """C-7, C-9: DeliveryUnconfirmed; on the same boot a node that never got it says so, and that corrects it."""
    (runner,) = node.runner_pids()
    os.kill(runner, signal.SIGSTOP)
    command = server.send("node-1", "echo x >>$HOME/ran", wait="0", delivery_timeout="1s").json()
    wait_for(lambda: server.command(command["id"])["attempts"] == 1)
    node.stop()
    os.kill(runner, signal.SIGKILL)
    result = server.ended(command["id"], 45)
    assert (result["status"], result["reason"]) == ("unknown", "DeliveryUnconfirmed")
    asyncio.run(node.start())
    corrected = server.until(command["id"], "timeout", 40)
    assert (corrected["reason"], corrected["late"]) == ("DeliveryTimeout", True)
    assert not (node.home / "ran").exists()


def frozen(server: Server) -> bool:
    """Whether the server says that it holds deliveries."""
    return "vendetta_deliveries_frozen 1.0" in server.http.get("/metrics?format=prometheus").text


def test_a_server_that_is_cut_off_suspects_itself(make_server: MakeServer, farm: Farm) -> None:
    """C-7 Frozen: most of the fleet gone at once holds what is new, for the reachable ones too, until it is back."""
    server = make_server(registry={"health_check_interval": "500ms"}).start()
    nodes = [asyncio.run(farm.sshd()) for _ in range(6)]
    for i, one in enumerate(nodes):
        server.register(f"fleet-{i}", one)
        assert server.send(f"fleet-{i}", "true").json()["status"] == "success"
    under_way = server.send("fleet-5", "sleep 1; echo under way", wait="0").json()
    server.until(under_way["id"], "running")
    for one in nodes[:4]:
        one.stop()
    wait_for(lambda: frozen(server))
    assert server.ended(under_way["id"])["output"] == "under way"
    command = server.send("fleet-5", "echo x >>$HOME/ran; echo done", wait="1s").json()
    assert (command["status"], command["reason"], command["attempts"]) == ("pending", "Frozen", 0)
    phases = {node["id"]: node["status"] for node in server.http.get("/api/v1/nodes").json()["nodes"]}
    assert set(phases.values()) == {"active"}, "a status follows contacts and node_timeout, not the suspicion"
    for one in nodes[:4]:
        asyncio.run(one.start())
    wait_for(lambda: not frozen(server), 40)
    assert server.ended(command["id"], 3)["output"] == "done"
    assert (nodes[5].home / "ran").read_text() == "x\n"
