"""Every command in the documentation works as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kubectl import find_kubectl
from tests.support.nodes import SshdNode
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.sshd

PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines that begin with `$ ` in the page's console blocks."""
    lines = "".join(BLOCK.findall(page.read_text())).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if commands(p)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_of_a_page_works(page: Path, server: Server, ssh_node: SshdNode, tmp_path: Path) -> None:
    """Line after line in one folder, beside a server that has the example's credential."""
    work = tmp_path / "work"
    shutil.copytree(ROOT / "examples", work / "examples")
    manifest = work / "examples" / "node.yaml"
    manifest.write_text(manifest.read_text().replace("port: 2222", f"port: {ssh_node.port}"))
    server.credential("demo-key", ssh_node)
    programs = tmp_path / "bin"
    programs.mkdir()
    if any("kubectl" in line for line in commands(page)):
        (programs / "kubectl").symlink_to(find_kubectl())
    (programs / "vendetta").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m api.cli.main "$@"\n')
    (programs / "vendetta").chmod(0o755)
    environment = {
        **os.environ,
        "HOME": str(work),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "VENDETTA_SERVER": server.url,
        "KUBECONFIG": str(work / "kubeconfig"),
        "KUBECACHEDIR": str(tmp_path / "cache"),
    }
    for line in commands(page):
        done = subprocess.run(
            ["sh", "-c", line.replace("localhost:3001", f"127.0.0.1:{server.port}")],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_every_program_in_a_page_is_part_of_an_example() -> None:
    """What is shown is what the tests run."""
    examples = [path.read_text() for path in (ROOT / "examples").glob("*.py")]
    shown = [code for page in (ROOT / "docs").rglob("*.md") for code in PROGRAM.findall(page.read_text())]
    assert shown
    assert [code for code in shown if not any(code in example for example in examples)] == []
