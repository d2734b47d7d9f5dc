"""Three pods of one Deployment on one database, as the chart runs them: each answers, and one may die."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.e2e.test_image import node_of, ready, values
from tests.support.helm import rendered
from tests.support.nodes import SshdNode, free_port
from tests.support.pod import Pod, find_image
from tests.support.postgres import by_way_of, fresh_dsn, target
from tests.support.proxy import in_background

pytestmark = pytest.mark.sshd


@pytest.fixture
def pods(ssh_node: SshdNode, tmp_path: Path) -> Iterator[Sequence[tuple[Pod, httpx2.Client]]]:
    """Each with a client that may do everything."""
    image = find_image()
    given = values(ssh_node, 0) | {"replicaCount": 3, "auth": {"existingSecret": "auth"}}
    given["store"] = {"type": "postgres", "postgres": {"existingSecret": "database", "key": "url"}}
    given["config"] |= {"registry": {"lease_duration": "4s"}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(given))
    objects = rendered("--values", str(tmp_path / "values.yaml"))
    (deployment,) = [obj for (kind, _), obj in objects.items() if kind == "Deployment"]
    assert deployment["spec"]["replicas"] == 3
    running: list[tuple[Pod, httpx2.Client]] = []
    with image.root() as root, in_background(target()) as database:
        secrets = {
            "deploy-key": {"ssh-privatekey": ssh_node.key_path.read_text()},
            "auth": {"auth-token": "a" * 40, "jwt-secret": "j" * 40},
            "database": {"url": by_way_of(fresh_dsn(), database)},
        }
        for n in range(3):
            port = free_port()
            (folder := tmp_path / f"pod-{n}").mkdir()
            pod = Pod(image.config, root, folder, objects, secrets, {"VENDETTA_COORD_PORT": str(port)})
            bearer = {"Authorization": f"Bearer {'a' * 40}"}
            running.append((pod, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=bearer)))
            pod.start()
        yield running
        for pod, http in running:
            http.close()
            pod.kill()


def test_each_pod_answers_for_all_and_one_may_die(
    pods: Sequence[tuple[Pod, httpx2.Client]], ssh_node: SshdNode
) -> None:
    """A-6, A-12: the node from the values, a command through each pod, and one that outlives whoever runs it."""
    for pod, http in pods:
        ready(http, pod)
        assert node_of(http)["id"] == "machine"
        done = http.post("/api/v1/nodes/machine/commands", json={"type": "exec", "action": "echo hello"}).json()
        assert (done["status"], done["output"]) == ("success", "hello"), done
    action = "echo x >>$HOME/runs; until [ -e $HOME/go ]; do sleep 0.1; done; echo over"
    long = pods[0][1].post("/api/v1/nodes/machine/commands?wait=0", json={"type": "exec", "action": action}).json()
    url = f"/api/v1/commands/{long['id']}"
    while pods[1][1].get(url).json()["status"] != "running":
        time.sleep(0.05)
    pods[0][0].kill()
    pods[1][0].kill()
    (ssh_node.home / "go").touch()
    deadline = time.monotonic() + 60
    while (found := pods[2][1].get(url).json())["status"] == "running":
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert (found["status"], found["output"]) == ("success", "over"), found
    assert (ssh_node.home / "runs").read_text() == "x\n"
    assert pods[2][0].stop() == 0
