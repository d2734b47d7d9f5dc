"""What `hack/chaos.sh` does, in small; and that its evidence, once it says otherwise, is not believed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nodes import find_program
from tests.support.server import ROOT

ROW = re.compile(r"^\| ([^|]+) \| (\d+) \|$", re.MULTILINE)
CHECKER = ROOT / "hack" / "chaos" / "checker.py"
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
pytestmark = [pytest.mark.sshd, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a short run prints, and its evidence."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    if os.geteuid() or subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode:
        pytest.skip("private namespaces need root")
    folder = tmp_path_factory.mktemp("chaos")
    command = [sys.executable, "-m", "hack.chaos", "--minutes", "0.2", "--nodes", "2", "--seed", "5"]
    done = subprocess.run(
        [*NAMESPACES, *command, "--keep", folder], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, folder / "evidence"


def test_nothing_runs_twice_is_lost_or_changed(proof: tuple[str, Path]) -> None:
    """C-9, C-10: a server and nodes that die, and commands that do not notice."""
    printed, _ = proof
    for rule in ("executed twice", "lost silently", "wrong bytes"):
        assert f"| **{rule}** | **0** |" in printed
    rows = dict(ROW.findall(printed))
    assert int(rows["server kills in all"]) >= 2
    assert int(rows["commands acknowledged"]) >= 20
    assert int(rows["executions"]) >= 10


def test_the_same_evidence_with_one_more_execution_is_red(proof: tuple[str, Path], tmp_path: Path) -> None:
    _, evidence = proof
    spoilt = tmp_path / "evidence"
    shutil.copytree(evidence, spoilt)
    truth = spoilt / "truth-node-0"
    ran = truth.read_text().split()[0]
    with truth.open("a") as file:
        file.write(f"{ran}\n")
    done = subprocess.run([sys.executable, "-I", CHECKER, spoilt], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["broken"]["executed twice"] == [f"{ran}: ran 2 times"]
