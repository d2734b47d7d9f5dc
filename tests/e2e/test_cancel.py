"""A cancel at every moment of a command's life: it may come too late, but it is never lost and never a guess."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import processes
from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.server import Server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.sshd

ROUNDS = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all. It runs few commands at a time on a node, so that some are cancelled while they wait."""
    made = Server(
        tmp_path_factory.mktemp("server"),
        registry={"health_check_interval": "1s"},
        controller={"freeze_threshold": 1.0, "node_concurrency": 4},
    )
    yield made.start()
    made.close()


@pytest.fixture
def node(server: Server, farm: Farm, request: pytest.FixtureRequest) -> Iterator[SshdNode]:
    """A node of its own for each test, connected."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    made = asyncio.run(farm.sshd())
    server.register("node-1", made)
    assert server.send("node-1", "true").json()["status"] == "success"
    yield made
    assert server.http.delete("/api/v1/nodes/node-1").is_success


def cancel(server: Server, command_id: str) -> dict[str, Any]:
    """Ask for it, and the command as it is then."""
    response = server.http.post(f"/api/v1/commands/{command_id}/cancel")
    assert response.status_code in {200, 202}, response.text
    return server.command(command_id)


def test_a_cancel_may_race_the_start_at_any_moment(server: Server, node: SshdNode) -> None:
    """C-9, C-12: at most one execution, nothing left of it, and `cancelled` unless the command was faster."""
    rng = random.Random(20261124)
    mark = processes.mark(4901)
    sent: list[str] = []
    for i in range(ROUNDS):
        command = server.send("node-1", f"echo x >>$HOME/round-{i}; exec sleep {mark}", wait="0", grace="1s").json()
        time.sleep(rng.random() ** 2 * 0.08)
        cancel(server, command["id"])
        sent.append(command["id"])
    results = [server.ended(command_id) for command_id in sent]
    assert {result["status"] for result in results} == {"cancelled"}, results
    assert processes.with_argument(mark) == []
    runs = [len((node.home / f"round-{i}").read_text()) // 2 if (node.home / f"round-{i}").exists() else 0
            for i in range(ROUNDS)]  # fmt: skip
    assert set(runs) == {0, 1}, "both sides of the race, and never twice"
    for ran, result in zip(runs, results, strict=True):
        assert not (ran and result["attempts"] == 0)
        assert not (ran and "started" not in result)


def test_before_it_is_sent_a_cancel_ends_it_at_once(server: Server, node: SshdNode) -> None:
    """C-7: nothing was sent, so `cancelled` is certain although the node is away; it never runs later."""
    node.stop()
    command = server.send("node-1", "echo x >>$HOME/ran", wait="1s").json()
    assert (command["status"], command["reason"]) == ("pending", "NodeUnreachable")
    cancel(server, command["id"])
    result = server.ended(command["id"], 3)
    assert (result["status"], result["attempts"], result["certainty"]) == ("cancelled", 0, "confirmed")
    asyncio.run(node.start())
    assert server.send("node-1", "echo back", wait="25s").json()["output"] == "back"
    assert not (node.home / "ran").exists()


@pytest.mark.parametrize("runner_dies", [False, True], ids=["the runner goes on", "the runner dies"])
def test_after_it_was_sent_and_before_its_claim(server: Server, node: SshdNode, *, runner_dies: bool) -> None:
    """C-9: sent, not answered, cancelled. What arrived is ended; what did not arrive never starts."""
    mark = processes.mark(4902)
    (runner,) = node.runner_pids()
    os.kill(runner, signal.SIGSTOP)
    command = server.send("node-1", f"echo x >>$HOME/ran; exec sleep {mark}", wait="0", grace="1s").json()
    wait_for(lambda: server.command(command["id"])["attempts"] == 1)
    cancel(server, command["id"])
    time.sleep(0.3)
    assert server.command(command["id"])["status"] == "pending"
    os.kill(runner, signal.SIGKILL if runner_dies else signal.SIGCONT)
    result = server.ended(command["id"], 20)
    assert (result["status"], result["certainty"]) == ("cancelled", "confirmed")
    assert processes.with_argument(mark) == []
    assert (node.home / "ran").exists() is not runner_dies
    assert ("started" in result) is not runner_dies


def test_while_the_node_is_away_a_cancel_waits_and_says_so(server: Server, node: SshdNode) -> None:
    """C-7, C-12: running/Cancelling until the node is back; then the tree ends, and only then is it `cancelled`."""
    mark = processes.mark(4903)
    command = server.send("node-1", f"trap '' TERM; sleep {mark} & sleep {mark}", wait="0", grace="1s").json()
    wait_for(lambda: len(processes.with_argument(mark)) == 2)
    server.until(command["id"], "running")
    node.stop()
    time.sleep(0.3)
    assert cancel(server, command["id"])["status"] == "running"
    wait_for(lambda: server.command(command["id"])["reason"] == "Cancelling")
    time.sleep(1)
    assert server.command(command["id"])["status"] == "running"
    assert len(processes.with_argument(mark)) == 2
    asyncio.run(node.start())
    result = server.ended(command["id"], 30)
    assert (result["status"], result["certainty"]) == ("cancelled", "confirmed")
    assert processes.with_argument(mark) == []


def test_a_second_cancel_and_one_after_the_end_change_nothing(server: Server, node: SshdNode) -> None:
    """C-11: idempotent; an outcome stays what it is."""
    command = server.send("node-1", "exec sleep 60", wait="0", grace="1s").json()
    server.until(command["id"], "running")
    for _ in range(3):
        cancel(server, command["id"])
    first = server.ended(command["id"])
    assert first["status"] == "cancelled"
    assert cancel(server, command["id"]) == first
    done = server.send("node-1", "echo done").json()
    assert cancel(server, done["id"])["status"] == "success"
