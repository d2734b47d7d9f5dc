"""Services on real sshd nodes: web servers started and killed by hand, a node that goes away (contract D)."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.keys import KeyPair
from tests.support.nodes import Farm, SshdNode, find_program, free_port
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.sshd

SLOW = 60.0
"""Seconds after which something is not merely late on a loaded machine."""


class WebServer:
    """A web server that somebody starts on a machine, and kills."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        line = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(self.port)]
        self.process = subprocess.Popen(line, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    server = WebServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, client_key: KeyPair) -> Iterator[Farm]:
    if find_program("sshd") is None:
        pytest.skip("not installed: sshd")
    farm = Farm(tmp_path_factory.mktemp("farm"), client_key)
    yield farm
    farm.close()


@pytest.fixture(scope="module")
def node(farm: Farm) -> SshdNode:
    return asyncio.run(farm.sshd())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = {"health_check_interval": "500ms", "node_timeout": "2s"}
    found = {"discovery_interval": "1s"}
    running = Server(tmp_path_factory.mktemp("server"), registry=registry, services=found).start()
    yield running
    running.close()


def services(server: Server, node: str) -> dict[str, Any]:
    """The node's services by id."""
    told = server.http.get("/api/v1/services", params={"node": node}).json()["services"]
    return {service["id"]: service for service in told.get(node, [])}


def until(server: Server, node: str, good: Callable[[dict[str, Any]], bool], limit: float = SLOW) -> dict[str, Any]:
    """The node's services once they are so."""
    deadline = time.monotonic() + limit
    while not good(found := services(server, node)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def declared(port: int, **check: Any) -> dict[str, Any]:
    return {"port": port, "type": "http", "check": {"interval": "1s", "timeout": "1s", **check}}


def test_a_web_server_reads_running_while_it_runs_and_failed_once_it_was_killed(
    server: Server, node: SshdNode, web: WebServer
) -> None:
    """D-2: asked from the server, from the node over HTTP and TCP, and by a program there."""
    path = f"/dev/tcp/127.0.0.1/{web.port}"
    server.register(
        "machine",
        node,
        services={
            "here": declared(web.port, http={"path": "/"}),
            "there": declared(web.port, http={"headers": {"X-A": "b c"}}, via="node"),
            "port": declared(web.port, tcp=True, via="node"),
            "program": declared(web.port, exec=["bash", "-c", f"exec 3<>{path} && echo fine"]),
            "wrong": declared(web.port, http={"path": "/not-there"}, via="node"),
        },
    )
    web.start()
    names = ("here", "there", "port", "program")
    found = until(server, "machine", lambda s: all(s[n]["status"] == "running" for n in names))
    assert {"last_check", "latency"} <= found["here"].keys()
    until(server, "machine", lambda s: s["wrong"]["status"] == "failed" and "404" in s["wrong"]["message"])
    web.kill()
    until(server, "machine", lambda s: all(s[n]["status"] == "failed" for n in names))
    web.start()
    until(server, "machine", lambda s: all(s[n]["status"] == "running" for n in names))


def test_people_and_programs_are_told_of_services(
    server: Server, node: SshdNode, web: WebServer, tmp_path: Path
) -> None:
    """`vendetta get services`, one service across nodes, and the event for those who ask for it (E-3)."""
    web.start()
    with server.http.stream("GET", "/ws", params={"types": "service_updated"}) as stream:
        lines = stream.iter_lines()
        fields = {"services": {"told": declared(web.port, tcp=True)}, "labels": {"env": "told"}}
        server.register("teller", node, **fields)
        events = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
        event = next(e for e in events if e["type"] == "service_updated" and _runs(e["data"]))
    assert [service["id"] for service in event["data"]["services"]] == ["told"]
    one = server.http.get("/api/v1/services/told").json()
    assert (one["count"], list(one["services"])) == (1, ["teller"])
    assert server.http.get("/api/v1/services/nobody").status_code == 404
    table = get(server, "services", "-l", "env=told")
    assert table.splitlines()[0].split() == ["NODE", "NAME", "TITLE", "STATUS", "TYPE", "PORT", "CHECKED", "MESSAGE"]
    assert table.splitlines()[1].split()[:4] == ["teller", "told", "-", "running"]
    (item,) = json.loads(get(server, "svc/told", "-o", "json"))["items"]
    assert (item["spec"]["node"], item["status"]["status"]) == ("teller", "running")
    assert "LATENCY" in get(server, "service", "told", "-o", "wide")


def _runs(data: dict[str, Any]) -> bool:
    return data["node_id"] == "teller" and any(s["status"] == "running" for s in data["services"])


def get(server: Server, *words: str) -> str:
    """What `vendetta get` prints."""
    line = [sys.executable, "-m", "api.cli.main", "--server", server.url, "get", *words]
    return subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_checks_leave_nothing_behind_on_the_node(server: Server, node: SshdNode) -> None:
    """After dozens of them, the files of a few runs are all there is."""
    assert len(list(node.home.rglob("000000000000*"))) < 40


def test_a_node_that_is_cut_off_has_services_of_which_nothing_is_known(
    server: Server, farm: Farm, web: WebServer
) -> None:
    """D-1: unknown and stale, although the service itself could be reached; and running again once it is back."""
    lone = asyncio.run(farm.sshd())
    web.start()
    server.register("lone", lone, services={"web": declared(web.port, tcp=True)})
    until(server, "lone", lambda s: s["web"]["status"] == "running")
    lone.stop()
    lone.kill_sessions()
    found = until(server, "lone", lambda s: s["web"]["status"] == "unknown")
    assert found["web"]["stale"] is True
    assert server.http.get("/api/v1/nodes/lone").json()["services"]["web"]["status"] == "unknown"
    asyncio.run(lone.restart())
    until(server, "lone", lambda s: s["web"]["status"] == "running")


def test_after_a_restart_nothing_reads_as_it_was_before(server: Server, node: SshdNode, web: WebServer) -> None:
    """D-2: what an earlier server saw is not known any more, whichever way one asks."""
    server.register("again", node, services={"web": declared(web.port, tcp=True, interval="2s")})
    web.start()
    until(server, "again", lambda s: s["web"]["status"] == "running")
    server.kill()
    web.kill()
    server.start()
    shown = server.http.get("/apis/vendetta.dev/v1/nodes/again").json()["status"]["services"]
    told = [
        services(server, "again")["web"]["status"],
        server.http.get("/api/v1/nodes/again").json()["services"]["web"]["status"],
        shown[0]["status"],
    ]
    assert told == ["unknown"] * 3
    until(server, "again", lambda s: s["web"]["status"] == "failed")


@pytest.mark.parametrize("bare", [False, True], ids=["as it is", "busybox only"])
def test_what_nobody_declared_is_found_on_the_node_and_gone_once_it_was_killed(
    server: Server, farm: Farm, web: WebServer, tmp_path: Path, bare: bool
) -> None:
    """D-2: found services say where they come from, and a declared one on the same port is the only one."""
    if bare and find_program("busybox") is None:
        pytest.skip("not installed: busybox")
    machine = asyncio.run(farm.sshd(config=[f"SetEnv PATH={busybox_only(tmp_path / 'bin')}"] if bare else []))
    name = "bare" if bare else "whole"
    server.register(name, machine, discovery=True)
    web.start()
    mine = f"socket-{web.port}"
    found = until(server, name, lambda s: mine in s)
    assert (found[mine]["source"], found[mine]["status"], found[mine]["port"]) == ("socket", "running", web.port)
    assert found[mine]["name"].startswith("python")
    assert f"socket-{machine.port}" in found
    web.kill()
    until(server, name, lambda s: mine not in s)
    web.start()
    until(server, name, lambda s: mine in s)
    assert server.http.put(f"/api/v1/nodes/{name}", json={"services": {"w": {"port": web.port}}}).is_success
    assert until(server, name, lambda s: mine not in s)["w"]["source"] == "declared"
    assert server.http.put(f"/api/v1/nodes/{name}", json={"discovery": False}).is_success
    until(server, name, lambda s: s.keys() == {"w"})


def busybox_only(folder: Path) -> Path:
    """A folder with busybox's tools and nothing else."""
    folder.mkdir()
    subprocess.run([str(find_program("busybox")), "--install", "-s", str(folder)], check=True)
    return folder
