"""The real kubectl, with a configuration and a cache of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.nodes import find_program

Done = subprocess.CompletedProcess[str]
Manifest = dict[str, Any]


def find_kubectl() -> str:
    """Where it is. Without it the test is skipped; on CI, which installs it, that is a failure."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else find_program("kubectl")
    if found is None and os.environ.get("CI"):
        pytest.fail("kubectl is not installed: hack/kubectl.sh fetches it")
    if found is None:
        pytest.skip("kubectl is not installed")
    return found


class Kubectl:
    """kubectl for one server."""

    def __init__(self, folder: Path, url: str, *, config: str | None = None) -> None:
        """`config`: the text of a kubeconfig; by default one that names just the server."""
        self.program = find_kubectl()
        self.folder = folder
        path = folder / "kubeconfig"
        path.write_text(config or yaml.safe_dump(_config(url)))
        path.chmod(0o600)
        self.environment = {**os.environ, "KUBECONFIG": str(path), "HOME": str(folder)}

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """What it does with these arguments."""
        return subprocess.run(
            self._line(arguments),
            input=stdin,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What it prints; it must succeed, and without a warning."""
        done = self.run(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
        return done.stdout

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """What it complains of; it must fail."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, (arguments, done)
        return done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Let it run."""
        return subprocess.Popen(
            self._line(arguments),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _line(self, arguments: Sequence[str]) -> list[str]:
        return [self.program, "--cache-dir", str(self.folder / "cache"), *arguments]


def _config(url: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "vendetta", "cluster": {"server": url}}],
        "users": [{"name": "vendetta", "user": {}}],
        "contexts": [{"name": "vendetta", "context": {"cluster": "vendetta", "user": "vendetta"}}],
        "current-context": "vendetta",
    }


def node(name: str, **spec: Any) -> Manifest:
    """A manifest of a node that is nowhere."""
    return {"apiVersion": "vendetta.dev/v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


def command(on: str, action: str) -> Manifest:
    """A manifest of a command, whose name is made for it."""
    return {
        "apiVersion": "vendetta.dev/v1",
        "kind": "Command",
        "metadata": {"generateName": "run-"},
        "spec": {"node": on, "action": action},
    }


def create(kubectl: Kubectl, *manifests: Manifest) -> None:
    """Create them."""
    kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(manifests))


def shown(kubectl: Kubectl, *arguments: str) -> Any:
    """What `kubectl get -o json` shows."""
    return json.loads(kubectl("get", *arguments, "-o", "json"))
