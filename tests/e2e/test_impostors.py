"""Another machine where a node used to be, with its address, host key and kernel: containers of one image."""

import asyncio
import os
import signal

import pytest

from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.server import Server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.sshd


@pytest.fixture
def twins(farm: Farm) -> tuple[SshdNode, SshdNode]:
    """Two nodes with one host key and one port, of which the first is up."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    first, second = asyncio.run(farm.sshd()), asyncio.run(farm.sshd())
    second.stop()
    second.port = first.port
    second.take_host_key_of(first)
    return first, second


def replace(first: SshdNode, second: SshdNode) -> None:
    """The first is gone with all that ran on it, the second answers in its place."""
    first.close()
    asyncio.run(second.start())


def test_a_start_that_one_may_have_got_is_not_sent_to_the_other(
    server: Server, twins: tuple[SshdNode, SshdNode]
) -> None:
    """C-9: sent and not answered by a container that was then replaced: unknown, not a second run elsewhere."""
    first, second = twins
    server.register("node-1", first)
    assert server.send("node-1", "true").json()["status"] == "success"
    (runner,) = first.runner_pids()
    os.kill(runner, signal.SIGSTOP)
    command = server.send("node-1", "echo x >>$HOME/ran", wait="0").json()
    wait_for(lambda: server.command(command["id"])["attempts"] == 1)
    replace(first, second)
    result = server.ended(command["id"], 30)
    assert (result["status"], result["reason"]) == ("unknown", "DeliveryUnconfirmed")
    assert server.send("node-1", "echo fine").json()["output"] == "fine"
    assert not (second.home / "ran").exists()


def test_a_run_that_one_had_claimed_is_lost_with_it(server: Server, twins: tuple[SshdNode, SshdNode]) -> None:
    """C-7: the one that answers now never heard of it."""
    first, second = twins
    server.register("node-1", first)
    command = server.send("node-1", "echo x >>$HOME/ran; sleep 60", wait="0").json()
    server.until(command["id"], "running")
    replace(first, second)
    result = server.ended(command["id"], 30)
    assert (result["status"], result["reason"]) == ("unknown", "RunLost")
    assert not (second.home / "ran").exists()


def test_a_manifest_that_points_elsewhere_carries_no_credential_there(server: Server, farm: Farm) -> None:
    """B-2: the other machine is not even connected to before an admin confirms, nor is the first one after that."""
    first, second = asyncio.run(farm.sshd()), asyncio.run(farm.sshd())
    server.register("node-1", first)
    assert server.send("node-1", "true").json()["status"] == "success"
    server.register("node-1", second)
    held = server.send("node-1", "true").json()
    assert (held["status"], held["reason"]) == ("error", "CredentialRebindRequired")
    assert "Connection from" not in second.log.read_text()
    wait_for(lambda: "CredentialRebindRequired" in server.http.get("/api/v1/nodes/node-1").text)
    assert server.http.post("/api/v1/nodes/node-1/trust", json={"credential": True}).status_code == 200
    assert server.send("node-1", "true").json()["status"] == "success"
    assert "Accepted" in second.log.read_text()
    server.register("node-1", first)
    assert server.send("node-1", "true").json()["reason"] == "CredentialRebindRequired"
