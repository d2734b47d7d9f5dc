"""The scripts for people: clean, and honest about what they need."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.nodes import find_program
from tests.support.server import ROOT

SCRIPTS = [*sorted((ROOT / "hack").rglob("*.sh")), ROOT / ".ci/run"]


def test_shellcheck_finds_nothing() -> None:
    """Quoting, unset variables and the like."""
    if find_program("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", *SCRIPTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name the server's image"),
        (["vendetta:0.1.0"], "kubectl reaches no cluster: set KUBECONFIG"),
    ],
)
def test_the_cluster_script_says_what_it_needs(arguments: list[str], told: str, tmp_path: Path) -> None:
    """Without a cluster it refuses, and has made nothing."""
    for name in ("helm", "kubectl", "ssh-keygen"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(tmp_path / "none")}
    line = [str(ROOT / "hack/e2e-cluster.sh"), *arguments]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"), [([], 2, "hack/cluster.sh up"), (["run", "true"], 1, "there is no cluster")]
)
def test_the_script_that_makes_a_cluster_says_how_it_is_used(
    arguments: list[str], code: int, told: str, tmp_path: Path
) -> None:
    """Where there is none, nothing is looked for."""
    line = [str(ROOT / "hack/cluster.sh"), *arguments]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
