# ruff: noqa: PLW1510
"""The text for nodes is clean: POSIX sh, and perl of the old school."""

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from controller.services import node as services
from transports.runner import node

EXCLUDED = "SC2015,SC2016,SC2034,SC2046,SC2086,SC2154,SC2209,SC3040,SC1091"
"""Wanted: A && B || C chains, text for perl, words to be split, variables that the loader's first line sets."""
KNOWN = ("(jobs)", "($BASH_SOMETHING)", 'VAR="${VAR}foo"')
"""Not in every sh: bash's own version variable is only read, and `jobs` is POSIX."""


@pytest.fixture(params=["runner", "bulk", "check", "discover"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param in {"check", "discover"}:
        path = tmp_path / "program.sh"
        path.write_text("#!/bin/sh\n" + services.script(request.param))
        return path
    names = {"runner": node.RUNNER, "bulk": node.BULK}[request.param]
    path = tmp_path / "program.sh"
    path.write_text("#!/bin/sh\n" + "\n".join(files(node).joinpath(n).read_text() for n in names))
    return path


def test_shellcheck_finds_nothing(program: Path) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-s", "sh", "-e", EXCLUDED, program], capture_output=True, text=True)
    assert done.stdout == ""


def test_checkbashisms_finds_nothing(program: Path) -> None:
    if not shutil.which("checkbashisms"):
        pytest.skip("checkbashisms is not installed")
    done = subprocess.run(["checkbashisms", "-x", program], capture_output=True, text=True)
    found = [line for line in done.stderr.splitlines() if line.startswith("possible bashism")]
    assert [line for line in found if not any(k in line for k in KNOWN)] == []


@pytest.mark.parametrize("shell", ["dash", "busybox ash", "bash --posix", "mksh", "yash"])
def test_every_shell_can_parse_it(program: Path, shell: str) -> None:
    if not shutil.which(shell.split(maxsplit=1)[0]):
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([*shell.split(), "-n", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_perl_finds_nothing_to_warn_of(tmp_path: Path) -> None:
    if not shutil.which("perl"):
        pytest.skip("perl is not installed")
    path = tmp_path / "program.pl"
    path.write_text("\n".join(files(node).joinpath(n).read_text() for n in node.PERL))
    done = subprocess.run(["perl", "-wc", path], capture_output=True, text=True)
    assert done.stderr == f"{path} syntax OK\n"


def test_perl_is_sent_without_what_its_one_line_would_change() -> None:
    """Comments and indentation are dropped line by line, line breaks become US: no text may depend on them."""
    text = node.perl().text
    assert "\x1f" not in text
    assert not re.search(r"<<['\"A-Z]|^=\w|^__(END|DATA)__", text, re.MULTILINE)
