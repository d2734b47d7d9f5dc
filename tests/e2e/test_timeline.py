"""The timeline of a command, from the outside: a real server process, a real sshd (contract C-11)."""

import asyncio
import json
import re
import time
from datetime import datetime
from typing import Any

import pytest

from controller.duration import SECOND, parse_duration
from tests.support.nodes import SshdNode
from tests.support.server import Server

pytestmark = pytest.mark.sshd


def timeline(server: Server, command: str) -> dict[str, Any]:
    """The command's timeline."""
    response = server.http.get(f"/api/v1/commands/{command}/timeline")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def names(shown: dict[str, Any]) -> list[str]:
    """Its phases."""
    return [phase["phase"] for phase in shown["phases"]]


def lasted(shown: dict[str, Any], name: str) -> float:
    """Seconds that it was in a phase, in all."""
    return sum(parse_duration(p.get("duration", "0s")) for p in shown["phases"] if p["phase"] == name) / SECOND


def counted(server: Server) -> dict[str, int]:
    """Commands counted by phase."""
    text = server.http.get("/metrics/prometheus").text
    found = re.findall(r'^vendetta_command_phase_seconds_count\{phase="(\w+)"\} (\d+)', text, re.MULTILINE)
    return {phase: int(count) for phase, count in found if int(count)}


def test_a_first_command_shows_connecting_and_logging_in(server: Server, ssh_node: SshdNode) -> None:
    """C-11: phases in order without gaps; together they are the whole; each is counted once."""
    server.register("node-1", ssh_node)
    result = server.send("node-1", "echo hello; sleep 0.1").json()
    shown = timeline(server, result["id"])
    assert (shown["id"], shown["node_id"], shown["status"]) == (result["id"], "node-1", "success")
    expected = ["queued", "connect", "auth", "sent", "claimed", "first_byte", "exit", "collected"]
    if "connect" not in names(shown):  # the first probe was faster than the command
        expected = [name for name in expected if name not in {"connect", "auth"}]
    assert names(shown) == expected
    times = [datetime.fromisoformat(phase["time"]) for phase in shown["phases"]]
    assert times == sorted(times)
    parts = sum(parse_duration(phase.get("duration", "0s")) for phase in shown["phases"])
    assert parts == parse_duration(shown["duration"])
    ran = lasted(shown, "claimed") + lasted(shown, "first_byte")
    assert ran == pytest.approx(parse_duration(result["duration"]) / SECOND, abs=0.001)
    assert all(phase["reason"] and "message" in phase for phase in shown["phases"])
    assert counted(server) == dict.fromkeys(expected[:-1], 1)


def test_a_wait_and_a_restart_are_told_and_survive(server: Server, ssh_node: SshdNode) -> None:
    """C-11: a node that is away, and a server that is killed twice: why and how long, also afterwards."""
    server.register("node-1", ssh_node)
    ssh_node.stop()
    command = server.send("node-1", "echo begun; sleep 3", wait="0").json()["id"]
    deadline = time.monotonic() + 20
    while timeline(server, command)["phases"][-1]["reason"] != "NodeUnreachable":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    waiting = timeline(server, command)["phases"][-1]
    assert waiting["phase"] == "waiting"
    assert waiting["message"]
    server.kill()
    server.start()
    asyncio.run(ssh_node.start())
    server.until(command, "running")
    before = timeline(server, command)
    assert names(before)[:2] == ["queued", "waiting"]
    assert {"connect", "auth", "sent", "claimed"} <= set(names(before))
    server.kill()
    server.start()
    server.ended(command)
    shown = timeline(server, command)
    assert shown["phases"][: len(before["phases"]) - 1] == before["phases"][:-1]
    assert names(shown)[-2:] == ["exit", "collected"]
    assert lasted(shown, "claimed") + lasted(shown, "first_byte") == pytest.approx(3, abs=0.3)
    assert counted(server)["claimed"] == 1
    server.kill()
    server.start()
    assert timeline(server, command) == shown


def test_a_cancel_that_takes_its_time_shows(server: Server, ssh_node: SshdNode) -> None:
    """C-11, C-12: cancelling, from the request until the grace is over."""
    server.register("node-1", ssh_node)
    command = server.send("node-1", "trap '' TERM; while :; do sleep 0.1; done", wait="0", grace="1s").json()["id"]
    server.until(command, "running")
    server.http.post(f"/api/v1/commands/{command}/cancel")
    server.ended(command)
    shown = timeline(server, command)
    assert names(shown)[-3:] == ["cancelling", "exit", "collected"]
    assert 0.5 < lasted(shown, "cancelling") < 5
    assert shown["phases"][-1]["reason"] == "Cancelled"


def test_a_timeline_is_an_answer_like_others(server: Server) -> None:
    """B-9, B-10, C-11: 404 for an unknown command, HEAD, 405; part of the OpenAPI document."""
    assert server.http.get("/api/v1/commands/nobody/timeline").status_code == 404
    assert server.http.post("/api/v1/commands/nobody/timeline").status_code == 405
    document = json.loads(server.http.get("/openapi.json").content)
    operation = document["paths"]["/api/v1/commands/{id}/timeline"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert "phases" in json.dumps(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
