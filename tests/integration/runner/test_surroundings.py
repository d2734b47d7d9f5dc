# ruff: noqa: ASYNC221
"""What the user's command finds around it: nothing of the runner."""

import asyncio
import re
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from transports.base import StartRequest
from transports.runner.client import Runner

NewRun = Callable[..., StartRequest]


async def said(runner: Runner, request: StartRequest) -> str:
    status = await runner.start(request, wait=20)
    output = await runner.read(request.run, stdout=0, stderr=0, limit=100_000)
    assert status.exit_code == 0, output
    return output.stdout.decode()


def login(node: Any, script: str) -> str:
    """What the same script says in a plain login of the node."""
    return subprocess.run(
        [node.shell, "-c", script], cwd=node.home, env=node.env, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"LC_ALL": "C.UTF-8"},
        {"v_run": "mine", "d": "1", "B": "2", "st": "3"},
        {
            "PERL5OPT": "-Mno::such",
            "PERL5LIB": "/no/such",
            "PERL_UNICODE": "SDA",
            "PERLIO": ":utf8",
            "PERL_SIGNALS": "unsafe",
        },
    ],
)
async def test_the_environment_is_the_login_and_the_cookie(node: Any, new_run: NewRun, extra: dict[str, str]) -> None:
    node.env |= extra
    runner = await node.launch()
    request = new_run("env -0 | tr '\\000' '\\n'" if node.flavour != "busybox" else "env")
    shell_made = {"PWD", "OLDPWD", "SHLVL", "_"}
    got = dict(line.split("=", 1) for line in (await said(runner, request)).splitlines())
    assert got.pop("VENDETTA_RUN") == request.run
    expected = dict(line.split("=", 1) for line in login(node, "env").splitlines())
    if "v_run" in extra:
        got.pop("v_run"), expected.pop("v_run")  # documented: names that begin with v_ are the runner's
    assert {k: v for k, v in got.items() if k not in shell_made} == {
        k: v for k, v in expected.items() if k not in shell_made
    }
    assert got.get("PWD", str(node.home)) == str(node.home)
    assert set(got) - set(expected) <= {"_"} | set()
    await runner.aclose()


async def test_umask_directory_session_and_input(node: Any, runner: Runner, new_run: NewRun) -> None:
    assert await said(runner, new_run("umask")) == login(node, "umask")
    assert await said(runner, new_run("pwd")) == f"{node.home}\n"
    script = "read -r s </proc/self/stat; s=${s##*) }; set -- $s; echo $$ $3 $4\n"
    script += "for f in /proc/$$/fd/*; do readlink $f; done; :"
    ids, stdin, *fds = (await said(runner, new_run(script))).splitlines()
    assert len(set(ids.split())) == 1
    assert stdin == "/dev/null"
    own = [fd for fd in fds if fd.startswith("pipe:") or re.search(r"\.[pq] \(deleted\)$", fd)]
    assert len(own) == 2
    assert all(fd.endswith(".c") for fd in fds if fd and fd not in own), fds  # the script itself


async def test_signals_are_as_in_a_login(node: Any, runner: Runner, new_run: NewRun) -> None:
    script = "while read -r k v; do case $k in Sig[BI]*) echo $k $v ;; esac; done </proc/self/status; :"
    got = (await said(runner, new_run(script))).split()
    expected = login(node, script).split()
    assert int(got[3], 16) & ~0x6 == int(expected[3], 16) & ~0x6  # INT and QUIT are ignored in the background
    assert got[1] == expected[1]
    assert await said(runner, new_run("yes | head -n 1; ulimit -f")) == "y\nunlimited\n"


async def test_secrets_are_not_in_any_command_line(node: Any, runner: Runner, new_run: NewRun) -> None:
    secret = "hunter" + "2secret"
    request = new_run(f"x={secret}; sleep 1; echo done", stdin=secret.encode())
    task = asyncio.create_task(runner.start(request, wait=10))
    for _ in range(40):
        out = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert secret not in out
        await asyncio.sleep(0.02)
    assert (await task).exit_code == 0


async def test_the_script_and_input_are_gone_after_the_end(node: Any, runner: Runner, new_run: NewRun) -> None:
    await runner.start(new_run("cat >/dev/null; : s3cr3t", stdin=b"s3cr3t"), wait=10)
    await asyncio.sleep(0.2)
    for path in node.directory.iterdir():
        assert b"s3cr3t" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


async def test_an_idle_runner_has_no_processes_but_itself_and_its_reaper(
    node: Any, launch: Callable[[], Awaitable[Runner]], new_run: NewRun, until: Callable[..., Awaitable[None]]
) -> None:
    runner = await launch()
    for _ in range(5):
        await runner.start(new_run("true"), wait=10)
    await until(lambda: len(node.processes()) <= 2)
    await runner.aclose()
    await until(lambda: not node.processes())
