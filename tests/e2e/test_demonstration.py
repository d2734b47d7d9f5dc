"""What `hack/run.sh --once` does, with and without an sshd on the machine."""

import subprocess
import sys

import pytest

from tests.support.nodes import find_program
from tests.support.server import ROOT


@pytest.mark.parametrize("options", [[], ["--without-sshd"]], ids=["sshd", "asyncssh"])
def test_the_demonstration_works(options: list[str]) -> None:
    """Exit 0 only if the command's output was right; the event and both counters are shown."""
    if not options and not find_program("sshd"):
        pytest.skip("sshd is not installed")
    done = subprocess.run(
        [sys.executable, str(ROOT / "hack/demo.py"), "--once", "--port", "0", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello from an SSH-only node" in done.stdout
    assert '"type":"command_result"' in done.stdout
    assert 'vendetta_commands_finished_total{reason="Completed",status="success"} 1.0' in done.stdout
