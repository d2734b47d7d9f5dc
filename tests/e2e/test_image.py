"""The image with the chart's configuration: the main job, without rights and on a root that cannot be written."""

import errno
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.support.helm import ROOT, rendered
from tests.support.nodes import SshdNode, free_port
from tests.support.pod import Image, Pod, find_image

pytestmark = pytest.mark.sshd


@pytest.fixture(scope="module")
def image() -> Image:
    """The image."""
    return find_image()


@pytest.fixture(scope="module")
def root(image: Image) -> Iterator[Path]:
    """The image's root."""
    with image.root() as path:
        yield path


def values(node: SshdNode, port: int) -> dict[str, Any]:
    """Values for one node, which sshd on this machine is."""
    transport = {"type": "ssh", "user": node.user, "credentialRef": "deploy-key", "hostKeys": [node.host_key]}
    return {
        "ssh": {"credentials": {"deploy-key": {"existingSecret": "deploy-key"}}},
        "nodes": {"machine": {"spec": {"address": node.address, "port": node.port, "transport": transport}}},
        "extraEnv": [{"name": "VENDETTA_COORD_PORT", "value": str(port)}],
        "config": {"sources": {"poll_interval": "100ms"}},
    }


def ready(http: httpx2.Client, pod: Pod) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if http.get("/readyz").is_success:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline, pod.log.read_text()
        time.sleep(0.05)


def node_of(http: httpx2.Client) -> dict[str, Any]:
    """The node, once it is there."""
    deadline = time.monotonic() + 30
    while (response := http.get("/api/v1/nodes/machine")).status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, Any] = response.raise_for_status().json()
    return found


def test_it_does_the_main_job_as_the_chart_runs_it(
    image: Image, root: Path, ssh_node: SshdNode, tmp_path: Path
) -> None:
    """A-9, A-11, A-12, C-6: tokens and keys from files, a node from the values, a command on it, and a restart."""
    port = free_port()
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values(ssh_node, port)))
    objects = rendered("--values", str(tmp_path / "values.yaml"))
    keys = {"deploy-key": {"ssh-privatekey": ssh_node.key_path.read_text()}}
    pod = Pod(image.config, root, tmp_path, objects, keys)
    token = (pod.volumes["auth"] / "auth-token").read_text()
    url, bearer = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token}"}
    pod.start()
    with httpx2.Client(base_url=url, trust_env=False, timeout=60, headers=bearer) as http:
        ready(http, pod)
        assert httpx2.get(f"{url}/api/v1/nodes").status_code == 401
        before = node_of(http)
        done = http.post("/api/v1/nodes/machine/commands", json={"type": "exec", "action": "echo hello"}).json()
        assert (done["status"], done["output"]) == ("success", "hello"), done
        assert_confined(pod.pid)
        assert pod.stop() == 0
        pod.start()
        ready(http, pod)
        assert node_of(http)["created_at"] == before["created_at"]
        assert http.get(f"/api/v1/commands/{done['id']}").json()["output"] == "hello"
    assert pod.stop() == 0


def assert_confined(pid: int) -> None:
    """Another user, no capabilities, no way to any, and nothing to write on."""
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["10001"] * 4
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"
    with pytest.raises(OSError, match="Read-only") as refused:
        Path(f"/proc/{pid}/root/opt/vendetta/changed").touch()
    assert refused.value.errno == errno.EROFS


def test_it_says_what_it_is_and_has_nothing_to_build_with(image: Image, root: Path) -> None:
    """Labels, a health check, a user of its own; no compiler, no pip, no OpenSSH."""
    config = image.config
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "Vendetta"
    revision = labels["org.opencontainers.image.revision"]
    assert re.fullmatch(r"[0-9a-f]{40}", revision)
    if os.environ.get("CI"):  # elsewhere it may have been built a while ago
        assert revision == subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    assert config["Healthcheck"]["Test"] == ["CMD", "vendetta", "coordination", "status"]
    assert config["User"] == "10001:10001"
    folders = ("usr/bin", "usr/local/bin", "opt/vendetta/bin")
    programs = {path.name for folder in folders for path in (root / folder).glob("*")}
    assert "vendetta" in programs
    assert not programs & {"gcc", "cc", "make", "pip", "pip3", "git", "ssh", "curl"}
    assert not list(root.glob("opt/vendetta/lib/python3*/site-packages/pip"))
