"""The benchmarks of commands over SSH and of many nodes still run, check what they measure and find figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nodes import find_program
from tests.support.server import ROOT

TINY = "--rounds 1 --nodes 2 --commands 8 --latency 3 --connections 4 --idle 0.2 --runners sh --no-peers --json"


def test_the_ssh_benchmark_measures_ours_in_both_forms_beside_asyncssh_and_ssh(tmp_path: Path) -> None:
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    written = tmp_path / "found.json"
    command = [sys.executable, "-m", "hack.bench.ssh", *TINY.split(), str(written)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

    found = json.loads(written.read_text())
    ours = {name for name in found["results"]["rate"] if name.startswith(("run protocol", "API to result"))}
    assert len(ours) == 2
    assert set(found["results"]["rate"]) - ours == {"ssh -S", "bare asyncssh"}
    assert all(r["count"] == 8 and r["seconds"] > 0 for by in found["results"]["rate"].values() for r in by)
    assert {(row["number"], row["ours"]) for row in found["rows"] if row["peer"] == "ssh -S"} == {
        (number, name) for number in (3, 4) for name in ours
    }
    assert all(row["ours_is"] > 0 and row["peer_is"] > 0 for row in found["rows"] if row["number"] in (4, 5))


def test_the_benchmark_of_many_nodes_measures_every_form_of_a_list_and_watchers() -> None:
    command = [
        sys.executable,
        "-m",
        "hack.bench.kube",
        *["--nodes", "40", "--watchers", "5", "--rounds", "1", "--changes", "3"],
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert len([line for line in lines if line.endswith("x")]) == 5
    assert any(line.startswith("5 watchers, 3 changes: all of them have seen a change after") for line in lines)


def test_the_benchmark_of_agents_brings_all_of_them_back() -> None:
    command = [sys.executable, "-m", "hack.bench.agents", "--simulated", "10", "--real", "1", "--seconds", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "all 11 are back" in ran.stdout
