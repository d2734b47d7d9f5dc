# ruff: noqa: ASYNC221, PLW1510
"""How the runner comes up: on noisy logins, in shells of every kind, with tools missing; and where it refuses."""

import asyncio
import re
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from transports.base import StartRequest
from transports.errors import UnsupportedShell
from transports.runner.client import Runner

NewRun = Callable[..., StartRequest]
Launch = Callable[[], Awaitable[Runner]]


async def test_the_files_have_an_id_that_stays_until_they_are_gone(node: Any, launch: Launch) -> None:
    first, other = await asyncio.gather(launch(), launch())
    drawn = first.info.install_id
    assert re.fullmatch(r"[0-9a-f-]{36}", drawn)
    assert drawn == other.info.install_id == (await launch()).info.install_id
    (node.directory / "I").write_bytes(b"")  # a power cut may leave a name without contents
    again = (await launch()).info.install_id
    assert len(again) == 36
    assert again == (await launch()).info.install_id != drawn
    assert not list(node.directory.glob("I.*"))
    (node.directory / "I").unlink()
    assert (await launch()).info.install_id not in {drawn, again}


@pytest.mark.parametrize("script", ["exit 1", "echo This account is not available; exit 1", "sleep 60", "cat", "yes"])
async def test_a_login_without_a_shell_is_told(dash_node: Any, script: str) -> None:
    async def strange(command: str) -> Any:
        return await dash_node.open_channel(script)

    with pytest.raises(UnsupportedShell) as e:
        await Runner.launch(strange, timeout=1.5)
    assert "not available" in str(e.value) or "account" not in script


@pytest.mark.parametrize("noise", ["echo Welcome", "printf 'no newline'", "printf '\\nVND1 hello\\n'", "seq 2000"])
async def test_noise_before_the_greeting_is_skipped(dash_node: Any, new_run: NewRun, noise: str) -> None:
    async def noisy(command: str) -> Any:
        return await dash_node.open_channel(f"{noise}; {command}")

    r = await Runner.launch(noisy)
    big = new_run("head -c 100000 /dev/zero")
    await r.start(big, wait=5)
    assert len((await r.read(big.run, stdout=0, stderr=0, limit=1 << 20)).stdout) == 100_000
    await r.aclose()


@pytest.mark.parametrize("program", ["bash", "zsh", "fish", "tcsh", "mksh", "yash", "busybox sh", "dash"])
async def test_any_login_shell_will_do(dash_node: Any, new_run: NewRun, program: str) -> None:
    if subprocess.run(["which", program.split(maxsplit=1)[0]], capture_output=True).returncode:
        pytest.skip(f"{program} is not installed")

    async def through(command: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            *program.split(), "-c", command, stdin=-1, stdout=-1, cwd=dash_node.home, env=dash_node.env
        )
        return type(await dash_node.open_channel("exit"))(process)

    r = await Runner.launch(through)
    assert (await r.start(new_run("echo hi"), wait=5)).inline == (b"hi\n", b"")
    await r.aclose()


async def test_a_node_without_setsid_uses_perl_or_says_so(
    make_node: Callable[[str], Any], new_run: NewRun, tmp_path: Path
) -> None:
    node = make_node("dash")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in [
        "cat",
        "dd",
        "grep",
        "head",
        "mkdir",
        "mv",
        "rm",
        "sleep",
        "tail",
        "tr",
        "wc",
        "uname",
        "id",
        "ls",
        "chmod",
    ]:
        (tools / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    node.env["PATH"] = str(tools)
    with pytest.raises(UnsupportedShell, match="setsid"):
        await node.launch()
    for name in ("python3", "perl"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
        r = await node.launch()
        s = await r.start(new_run("read -r s </proc/self/stat; s=${s##*) }; set -- $s; echo $(($$ - $4))"), wait=5)
        assert s.inline == (b"0\n", b"")
        await r.aclose()
