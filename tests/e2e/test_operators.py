"""Operators written with kopf, as processes of their own (contract G-1)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT, Server

NODES = "/apis/vendetta.dev/v1/nodes"
DEMANDING = """\
import kopf

@kopf.on.create("vendetta.dev", "v1", "nodes")
def created(retry, patch, **_):
    if retry < 2:
        raise kopf.TemporaryError("once more", delay=0.1)
    patch.status["conditions"] = [{
        "type": "example.com/Adopted", "status": "True", "reason": "Seen",
        "lastTransitionTime": "2026-01-13T18:17:00Z",
    }]
    return "this result has no place in a status"

@kopf.on.delete("vendetta.dev", "v1", "nodes")
def deleted(body, **_):
    kopf.info(body, reason="LetGo", message="it may go")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these tests."""
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.close()


@contextmanager
def operator(server: Server, folder: Path, program: Path) -> Iterator[None]:
    """`kopf run` of that program, stopped at the end."""
    vendetta = [sys.executable, "-m", "api.cli.main", "--server", server.url, "kubeconfig"]
    config = folder / "kubeconfig"
    config.write_bytes(subprocess.run(vendetta, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout)
    environment = {**os.environ, "KUBECONFIG": str(config), "HOME": str(folder)}
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces", str(program)]
    with (folder / "kopf.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, (folder / "kopf.log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def until(server: Server, path: str, wanted: Any, seconds: float = 60) -> Any:
    """The answer to a GET once it is as wanted."""
    deadline = time.monotonic() + seconds
    while not wanted(found := server.http.get(path).json()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def events_about(name: str) -> str:
    """Where the events about an object are."""
    return f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{name}"


def test_the_example_labels_new_nodes(server: Server, tmp_path: Path) -> None:
    """G-1: those that are there already and those that come; it reports an event about each."""
    for name, labels in (("build-eu-07", {}), ("db-us-1", {"role": "database"})):
        server.http.post("/api/v1/nodes", json={"id": name, "labels": labels}).raise_for_status()
    with operator(server, tmp_path, ROOT / "examples" / "labelling_operator.py"):
        until(server, f"{NODES}/build-eu-07", lambda n: "labels" in n["metadata"])
        server.http.post("/api/v1/nodes", json={"id": "web-9"}).raise_for_status()
        until(server, f"{NODES}/web-9", lambda n: n["metadata"].get("labels") == {"role": "web"})
        found = until(server, f"{NODES}/db-us-1", lambda n: "region" in n["metadata"]["labels"])
        assert found["metadata"]["labels"] == {"role": "database", "region": "us"}
        until(server, events_about("build-eu-07"), lambda found: "Labelled" in [e["reason"] for e in found["items"]])


def test_an_operator_may_retry_hold_back_and_observe(server: Server, tmp_path: Path) -> None:
    """G-1: kopf keeps its progress in annotations, a finalizer until it has let go, and a condition in the status."""
    program = tmp_path / "demanding.py"
    program.write_text(DEMANDING)
    with operator(server, tmp_path, program):
        server.http.post("/api/v1/nodes", json={"id": "held-1"}).raise_for_status()
        adopted = until(
            server,
            f"{NODES}/held-1",
            lambda n: "example.com/Adopted" in [c["type"] for c in n["status"]["conditions"]],
        )
        assert adopted["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        assert server.http.delete("/api/v1/nodes/held-1").status_code == 202
        until(server, f"{NODES}/held-1", lambda n: n.get("code") == 404)
