"""The chart and the server agree: what is rendered, the server takes; what is mistyped, helm refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.config import load
from controller.manifests.parsing import parse
from tests.support.helm import CHART, Manifests, refused, rendered

CASES = sorted((CHART / "ci").glob("*-values.yaml"))
FIXED: dict[str, Callable[[Any], Any]] = {
    "Deployment": lambda obj: obj["spec"]["selector"],
    "PersistentVolumeClaim": lambda obj: {k: v for k, v in obj["spec"].items() if k != "resources"},
    "Secret": lambda obj: obj["type"],
    "Service": lambda obj: obj["spec"]["selector"],
}
"""What an upgrade must leave alone: Kubernetes refuses a change of it, or one object would lose another."""


def config_of(objects: Manifests) -> str:
    """The server's configuration file."""
    (found,) = [obj for (kind, name), obj in objects.items() if kind == "ConfigMap" and name.endswith("-config")]
    text: str = found["data"]["coordination.yaml"]
    return text


def nodes_of(objects: Manifests) -> str:
    """The folder of manifests' only file."""
    (found,) = [obj for (kind, name), obj in objects.items() if kind == "ConfigMap" and name.endswith("-nodes")]
    text: str = found["data"]["nodes.yaml"]
    return text


@pytest.mark.parametrize("values", CASES, ids=lambda p: p.name)
def test_the_server_takes_what_is_rendered(values: Path, tmp_path: Path) -> None:
    """A-1, A-9: every key is one that it knows; secrets come from files, as the pod has them."""
    objects = rendered("--values", str(values))
    (tmp_path / "coordination.yaml").write_text(config_of(objects))
    secrets = {"jwt-secret": "j" * 64, "auth-token": "t" * 64, "dsn": "postgresql://db/vendetta"}
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret)
    (deployment,) = [obj for (kind, _), obj in objects.items() if kind == "Deployment"]
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    given = {v["name"]: v["value"] for v in variables if v["name"].startswith("VENDETTA_")}
    environ = {k: str(tmp_path / Path(v).name) for k, v in given.items()}
    loaded = load(environ=environ, cwd=tmp_path)
    assert (loaded.warnings, loaded.settings.sources.manifests) == ((), Path("/etc/vendetta/nodes"))


def test_nodes_in_the_values_are_manifests() -> None:
    """F-2: what stands in the values is what the server reads, nothing lost."""
    objects = rendered("--values", str(CHART / "ci/nodes-values.yaml"))
    problems: list[str] = []
    found = {m.name: m.data for m in parse("nodes.yaml", nodes_of(objects).encode(), problems)}
    assert problems == []
    asked = yaml.safe_load((CHART / "ci/nodes-values.yaml").read_text())["nodes"]
    assert found["build-01"]["spec"] == asked["build-01"]["spec"]
    assert found["build-01"]["metadata"] == {
        "name": "build-01",
        **{k: asked["build-01"][k] for k in ("labels", "annotations")},
    }
    assert list(found) == ["build-01", "build-02"]


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("nodes.a.spec.adress=x", "'adress' not allowed"),
        ("config.controller.worker=3", "'worker' not allowed"),
        ("config.auth.token_expiry=1d", "does not match pattern"),
        ("config.server.port=80", "'port' not allowed"),
        ("imagee.tag=x", "'imagee' not allowed"),
        ("replicaCount=2", "replicaCount"),
        ("store.type=postgres", "existingSecret"),
        ("store.type=etcd", "value must be one of"),
        ("ssh.credentials.key.secret=x", "'secret' not allowed"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_installed(mistake: str, told: str) -> None:
    """A-1: as the server refuses an unknown key, and not by a pod that restarts for ever."""
    assert told in refused("--set", mistake)


@pytest.mark.parametrize("case", ["default", "postgres", "pod"])
def test_an_upgrade_changes_nothing_that_cannot_be_changed(case: str, tmp_path: Path) -> None:
    """A newer chart with other labels, sizes and settings is an upgrade of the same objects."""
    values = ("--values", str(CHART / f"ci/{case}-values.yaml"))
    newer = tmp_path / "vendetta"
    shutil.copytree(CHART, newer)
    about: dict[str, Any] = yaml.safe_load((newer / "Chart.yaml").read_text())
    (newer / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "9.9.9", "appVersion": "9.9.9"}))
    changed = (
        "commonLabels.a=b",
        "podLabels.c=d",
        "store.sqlite.persistence.size=99Gi",
        "config.logging.level=debug",
    )
    before, after = rendered(*values), rendered(*values, *(s for c in changed for s in ("--set", c)), chart=newer)
    assert before.keys() == after.keys()
    for key, obj in before.items():
        if fixed := FIXED.get(key[0]):
            assert fixed(obj) == fixed(after[key]), key


def test_a_new_configuration_replaces_the_pod_and_new_nodes_do_not() -> None:
    """A-12: the server reads its nodes anew by itself."""
    pods = [
        rendered(*values)["Deployment", "test-vendetta"]["spec"]["template"]
        for values in ((), ("--set", "nodes.a.spec.address=x"), ("--set", "config.logging.level=debug"))
    ]
    assert pods[0] == pods[1] != pods[2]
