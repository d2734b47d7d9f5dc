"""Every example of the API's document, as it stands there, against a live server and a real SSH node."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import MakeServer
from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.sshd

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DURATION = re.compile(r"(\d+h)?(\d+m)?\d+(\.\d+)?(ms|µs|ns|s)")

NODE_1 = {
    "id": "node-1",
    "name": "Development Node 1",
    "provider": "docker",
    "status": "active",
    "address": "localhost",
    "port": 8080,
    "labels": {"env": "dev", "region": "us-west"},
    "capabilities": {"docker": True, "kubernetes": False},
}
DOCKER_NODE_1 = {
    "id": "docker-node-1",
    "name": "Docker Development Node",
    "provider": "docker",
    "status": "active",
    "address": "localhost",
    "port": 2376,
    "labels": {"env": "development"},
    "capabilities": {"docker": True, "compose": True},
}
COMMAND = {"type": "exec", "action": "echo 'hello world'", "params": {"timeout": "30s"}, "user": "developer"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "server": {
        "host": "0.0.0.0",
        "port": 3001,
        "auth_token": "vendetta-coordination-token",
        "read_timeout": "30s",
        "write_timeout": "30s",
        "idle_timeout": "120s",
    },
    "registry": {
        "provider": "memory",
        "sync_interval": "30s",
        "health_check_interval": "10s",
        "node_timeout": "60s",
        "max_retries": 3,
    },
    "websocket": {"enabled": True, "path": "/ws", "origins": ["*"], "ping_period": "30s"},
    "auth": {
        "enabled": False,
        "jwt_secret": "vendetta-jwt-secret-key-minimum-16-chars",
        "token_expiry": "24h",
    },
    "logging": {
        "level": "info",
        "format": "json",
        "output": "stdout",
        "max_size": 100,
        "max_backups": 3,
        "max_age": 28,
    },
}
DOCKER = """#!/bin/sh
echo "CONTAINER ID   IMAGE     STATUS"
echo "4f5c1d2e3a4b   nginx:1   Up 2 hours ($*)"
"""


@pytest.fixture
def docker_node(farm: Farm, tmp_path: Path) -> SshdNode:
    """An SSH node with a `docker` on its PATH."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    return asyncio.run(farm.sshd(path=f"{programs}:/usr/bin:/bin"))


@pytest.fixture
def doc(make_server: MakeServer, docker_node: SshdNode) -> Server:
    """A server on the documented defaults (memory store), with both of the document's nodes registered."""
    server = make_server(registry={"provider": "memory", "dsn": None}).start()
    for node in (NODE_1, DOCKER_NODE_1):
        body = {**node, "transport": server.transport_to(docker_node)}
        assert server.http.post("/api/v1/nodes", json=body).status_code == 200
    return server


def curl(server: Server, *arguments: str) -> str:
    """Run the document's curl line, its port replaced by the server's."""
    line = [a.replace("http://localhost:3001", server.url) for a in arguments]
    done = subprocess.run(["curl", "-sS", *line], capture_output=True, text=True, timeout=40, check=True)
    return done.stdout


def vendetta(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the document's CLI line against the server."""
    return subprocess.run(
        [sys.executable, "-m", "api.cli.main", "--server", server.url, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def test_register_node(doc: Server, docker_node: SshdNode) -> None:
    """B-1: 200 and the whole node; everything that was sent reads back as it was."""
    response = doc.http.post("/api/v1/nodes", json={**NODE_1, "transport": doc.transport_to(docker_node)})
    assert response.status_code == 200
    assert {k: response.json()[k] for k in NODE_1} == NODE_1


def test_list_nodes(doc: Server) -> None:
    """B-4: nodes and count."""
    listed = doc.http.get("/api/v1/nodes").json()
    assert [n["id"] for n in listed["nodes"]] == ["docker-node-1", "node-1"]
    assert listed["count"] == 2


def test_get_node(doc: Server) -> None:
    """B-4: the bare object."""
    node = doc.http.get("/api/v1/nodes/node-1").json()
    assert {k: node[k] for k in NODE_1} == NODE_1


def test_get_node_status(doc: Server) -> None:
    """B-5: node_id, status, last_seen, uptime."""
    status = doc.http.get("/api/v1/nodes/node-1/status").json()
    assert (status["node_id"], status["status"]) == ("node-1", "active")
    assert TIME.fullmatch(status["last_seen"])
    assert DURATION.fullmatch(status["uptime"])


def test_update_node(doc: Server) -> None:
    """B-6: a partial merge; the rest stays."""
    response = doc.http.put("/api/v1/nodes/node-1", json={"status": "inactive", "port": 8081})
    assert response.status_code == 200
    node = doc.http.get("/api/v1/nodes/node-1").json()
    assert (node["status"], node["port"], node["labels"]) == ("inactive", 8081, NODE_1["labels"])


def test_unregister_node(doc: Server) -> None:
    """B-7: 204, then 404."""
    assert doc.http.delete("/api/v1/nodes/node-1").status_code == 204
    assert doc.http.get("/api/v1/nodes/node-1").status_code == 404


def test_send_command(doc: Server) -> None:
    """C-1, C-6: the documented result, field by field."""
    response = doc.http.post("/api/v1/nodes/node-1/commands", json=COMMAND)
    result = response.json()
    assert response.status_code == 200
    assert re.fullmatch(r"cmd_\d+_node-1", result["id"])
    assert (result["node_id"], result["status"], result["output"]) == ("node-1", "success", "hello world")
    assert DURATION.fullmatch(result["duration"])
    assert TIME.fullmatch(result["finished"])
    sent = result["command"]
    assert (sent["type"], sent["action"], sent["user"]) == ("exec", "echo 'hello world'", "developer")
    assert sent["params"]["timeout"] == "30s"


def test_report_command_result(doc: Server) -> None:
    """C-13: the documented body; refused for a command that the controller observes itself."""
    command = doc.http.post("/api/v1/nodes/node-1/commands", json=COMMAND).json()
    body = {
        "id": command["id"],
        "node_id": "node-1",
        "status": "success",
        "output": "Command executed successfully",
        "duration": "150ms",
        "finished": "2026-01-13T18:17:00Z",
    }
    response = doc.http.post(f"/api/v1/commands/{command['id']}/result", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "NotReportable")


def test_a_node_without_a_transport_of_ours_reports_by_itself(doc: Server) -> None:
    """C-13: the documented body is accepted from an agent that knows only the document."""
    bare = {**NODE_1, "id": "legacy"}
    assert doc.http.post("/api/v1/nodes", json=bare).status_code == 200
    command = doc.http.post("/api/v1/nodes/legacy/commands?wait=0", json=COMMAND).json()
    body = {
        "id": command["id"],
        "node_id": "legacy",
        "status": "success",
        "output": "Command executed successfully",
        "duration": "150ms",
        "finished": "2026-01-13T18:17:00Z",
    }
    assert doc.http.post(f"/api/v1/commands/{command['id']}/result", json=body).status_code == 202
    result = doc.command(command["id"])
    assert (result["status"], result["output"], result["duration"]) == ("success", body["output"], "150ms")
    assert result["certainty"] == "presumed"


def test_list_services(doc: Server) -> None:
    """D-1: services by node, and the number of all nodes."""
    service = {
        "id": "web-server",
        "name": "Web Server",
        "type": "http",
        "status": "running",
        "port": 8080,
        "endpoint": "http://localhost:8080",
    }
    assert doc.http.put("/api/v1/nodes/node-1", json={"services": [service]}).status_code == 200
    listed = doc.http.get("/api/v1/services").json()
    assert listed["nodes"] == 2
    assert list(listed["services"]) == ["node-1"]
    assert {k: listed["services"]["node-1"][0][k] for k in service} == service


def test_health_check(doc: Server) -> None:
    """D-3: the documented fields."""
    health = doc.http.get("/health").json()
    assert (health["status"], health["total_nodes"], health["active_nodes"]) == ("healthy", 2, 2)
    assert TIME.fullmatch(health["timestamp"])
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", health["version"])


def test_metrics(doc: Server) -> None:
    """D-4: the documented JSON."""
    metrics = doc.http.get("/metrics").json()
    assert TIME.fullmatch(metrics["timestamp"])
    assert metrics["nodes"] == {"total": 2, "by_status": {"active": 2}, "by_provider": {"docker": 2}}
    assert metrics["services"] == {"total": 0}
    assert metrics["websocket"] == {"connected_clients": 0}


class Listener:
    """`curl -N http://localhost:3001/ws` in the background."""

    def __init__(self, server: Server) -> None:
        self.process = subprocess.Popen(["curl", "-sN", f"{server.url}/ws"], stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def events(self) -> list[dict[str, Any]]:
        """What has been heard."""
        return [json.loads(line.removeprefix("data: ")) for line in self.lines if line.startswith("data:")]

    def wait_for(self, kind: str) -> dict[str, Any]:
        """The first event of that type."""
        deadline = time.monotonic() + 15
        while True:
            for event in self.events():
                if event["type"] == kind:
                    return event
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.05)


@pytest.fixture
def listener(doc: Server) -> Iterator[Listener]:
    """Somebody who listens to the event stream."""
    it = Listener(doc)
    it.wait_for("initial_state")
    yield it
    it.process.terminate()
    it.process.wait()


def test_monitoring_with_sse(doc: Server, listener: Listener) -> None:
    """E-1, E-2, E-3: curl -N hears all five event types, and no frame has an event name."""
    assert len(listener.wait_for("initial_state")["data"]["nodes"]) == 2
    doc.http.post("/api/v1/nodes", json={**NODE_1, "id": "another"})
    assert listener.wait_for("node_registered")["data"]["node"]["id"] == "another"
    doc.http.put("/api/v1/nodes/another", json={"status": "inactive"})
    assert listener.wait_for("node_updated")["data"]["node"]["id"]
    doc.http.delete("/api/v1/nodes/another")
    assert listener.wait_for("node_unregistered")["data"] == {"node_id": "another"}
    doc.http.post("/api/v1/nodes/node-1/commands", json=COMMAND)
    assert listener.wait_for("command_result")["data"]["output"] == "hello world"
    assert not any(line.startswith("event:") for line in listener.lines)


def test_registering_a_docker_node_with_curl(doc: Server, docker_node: SshdNode) -> None:
    """The document's curl line, with a transport beside it."""
    body = json.dumps({**DOCKER_NODE_1, "transport": doc.transport_to(docker_node)})
    answer = curl(
        doc,
        "-X",
        "POST",
        "http://localhost:3001/api/v1/nodes",
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
    )
    assert json.loads(answer)["capabilities"] == {"docker": True, "compose": True}


def test_sending_docker_ps_with_curl(doc: Server) -> None:
    """The document's curl line."""
    answer = curl(
        doc,
        "-X",
        "POST",
        "http://localhost:3001/api/v1/nodes/docker-node-1/commands",
        "-H",
        "Content-Type: application/json",
        "-d",
        '{"type": "exec", "action": "docker ps", "params": {"timeout": "10s"}}',
    )
    result = json.loads(answer)
    assert result["status"] == "success"
    assert result["output"].startswith("CONTAINER ID")
    assert result["output"].endswith("(ps)")


def test_the_default_configuration(tmp_path: Path) -> None:
    """A-2: `vendetta coordination config` prints every documented key with its default; both secrets are fresh."""
    done = subprocess.run(
        [sys.executable, "-m", "api.cli.main", "coordination", "config"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = yaml.safe_load(done.stdout)
    for section, values in DEFAULTS.items():
        for key, value in values.items():
            if key in {"auth_token", "jwt_secret"}:
                assert printed[section][key] not in {value, ""}
            elif key.endswith("timeout") and section == "server":
                assert printed[section][key] in {value, "2m0s"}
            else:
                assert str(printed[section][key]).replace("m0s", "m") in {str(value), "1m", "24h0m"}, key


def test_check_status(doc: Server) -> None:
    """F-1: healthy is exit 0, JSON for programs, unreachable is exit 2."""
    done = vendetta(doc, "coordination", "status")
    assert done.returncode == 0, done.stderr
    assert "healthy" in done.stdout
    done = vendetta(doc, "coordination", "status", "-o", "json")
    assert json.loads(done.stdout)["status"] == "healthy"
    doc.stop()
    done = vendetta(doc, "coordination", "status")
    assert done.returncode == 2
    assert doc.url in done.stderr
    assert "Traceback" not in done.stderr


def test_start_server_and_environment_variables(make_server: MakeServer) -> None:
    """A-11, F-1: host, port and secret from the environment; SIGTERM ends it with code 0."""
    server = make_server(registry={"provider": "memory", "dsn": None}, server={"port": 1})
    server.environment.update(VENDETTA_COORD_HOST="127.0.0.1", VENDETTA_COORD_PORT=str(server.port))
    server.environment["VENDETTA_JWT_SECRET"] = "0123456789abcdef0123456789abcdef"
    server.start()
    assert server.http.get("/health").is_success
    assert server.stop() == 0
