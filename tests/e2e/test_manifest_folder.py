"""A real server with a folder of manifests, and a configuration that changes (contract A-10, A-12)."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.server import Server

GOOD = "vendetta_config_last_reload_successful"
EVENTS = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind=ManifestSource"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that it watches."""
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these tests."""
    sources = {"manifests": str(folder), "poll_interval": "50ms"}
    running = Server(tmp_path_factory.mktemp("server"), sources=sources).start()
    yield running
    running.close()


def write(file: Path, *names: str) -> None:
    """Nodes into a file."""
    manifests = [{"apiVersion": "vendetta.dev/v1", "kind": "Node", "metadata": {"name": name}} for name in names]
    file.write_text(yaml.safe_dump_all(manifests))


def names(server: Server) -> list[str]:
    """The nodes that the server has."""
    return [node["id"] for node in server.http.get("/api/v1/nodes").json()["nodes"]]


def until(look: Callable[[], object], seconds: float = 20) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def metric(server: Server, name: str) -> float:
    """A metric without labels."""
    lines = server.http.get("/metrics/prometheus").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def test_nodes_follow_the_folder_also_over_a_restart(server: Server, folder: Path) -> None:
    """A-12: made, removed, and what others registered left alone; a restart finds what it missed."""
    server.http.post("/api/v1/nodes", json={"id": "theirs"}).raise_for_status()
    write(folder / "nodes.yaml", "a", "b")
    until(lambda: names(server) == ["a", "b", "theirs"])
    server.kill()
    write(folder / "nodes.yaml", "b", "c")
    server.start()
    until(lambda: names(server) == ["b", "c", "theirs"])
    (folder / "nodes.yaml").unlink()
    until(lambda: names(server) == ["theirs"])


def test_what_is_wrong_is_told_where_people_look(server: Server, folder: Path) -> None:
    """A-12: in the log, in an event and in a metric; gone when it is right again."""
    (folder / "wrong.yaml").write_text("apiVersion: vendetta.dev/v1\nkind: Nod\n")
    until(lambda: metric(server, "vendetta_manifest_problems") == 1)
    (event,) = [e for e in server.http.get(EVENTS).json()["items"] if e["type"] == "Warning"]
    assert event["reason"] == "InvalidManifest"
    assert event["message"] == "wrong.yaml:2: unknown kind 'Nod': did you mean 'Node'?"
    assert "wrong.yaml:2: unknown kind" in server.log.read_text()
    (folder / "wrong.yaml").unlink()
    until(lambda: metric(server, "vendetta_manifest_problems") == 0)


def test_sighup_changes_the_logging_and_names_what_must_wait(server: Server) -> None:
    """A-10: without a restart; a configuration that is wrong changes nothing and ends nothing."""
    config = yaml.safe_load(server.config.read_text())
    assert server.process is not None
    log = server.folder / "moved.log"
    given = {**config, "logging": {"level": "debug", "output": str(log)}, "auth": {"token_expiry": "1h"}}
    server.config.write_text(yaml.safe_dump(given))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: log.exists() and "auth.token_expiry" in log.read_text())
    assert '"logging.level", "logging.output"' in log.read_text()
    server.config.write_text("logging: {level: loud}\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "logging.level must be" in log.read_text())
    assert server.is_ready()
    log.rename(log.with_suffix(".old"))
    server.config.write_text(yaml.safe_dump(given))
    server.process.send_signal(signal.SIGHUP)
    until(log.exists)


def test_a_configuration_that_changes_is_read_without_a_signal(server: Server) -> None:
    """A-10: as a mounted ConfigMap does, by a link that leads elsewhere; what is wrong shows in a metric."""
    log, right, wrong = (server.folder / name for name in ("followed.log", "right.yaml", "wrong.yaml"))
    config = yaml.safe_load(server.config.read_text())
    right.write_text(yaml.safe_dump({**config, "logging": {"output": str(log)}}))
    wrong.write_text("logging: {level: loud}\n")
    swap(server.config, right)
    until(lambda: log.exists() and "configuration reloaded" in log.read_text())
    assert metric(server, GOOD) == 1
    swap(server.config, wrong)
    until(lambda: metric(server, GOOD) == 0)
    assert "logging.level must be" in log.read_text()
    swap(server.config, right)
    until(lambda: metric(server, GOOD) == 1)


def swap(name: Path, target: Path) -> None:
    """Let the name lead elsewhere, in one step."""
    name.with_suffix(".new").symlink_to(target)
    name.with_suffix(".new").rename(name)
