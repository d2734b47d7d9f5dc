"""The throw-away nodes themselves: what other tests take for granted about them."""

import asyncio
from pathlib import Path

import asyncssh
import pytest

from tests.support.nodes import DropbearFactory, Node, SshdFactory


async def _open(node: Node) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        node.address,
        node.port,
        username=node.user,
        config=None,
        agent_path=None,
        client_keys=[str(node.key_path)],
        known_hosts=asyncssh.import_known_hosts(f"* {node.host_key}\n"),
    )


async def _output(node: Node, command: str) -> str:
    async with await _open(node) as connection:
        done = await connection.run(command, check=True)
    return str(done.stdout).strip()


@pytest.mark.sshd
async def test_an_sshd_node_has_a_home_of_its_own(sshd: SshdFactory) -> None:
    one, other = await asyncio.gather(sshd(), sshd())
    assert await _output(one, 'echo "$HOME"') == str(one.home)
    assert await _output(other, 'echo "$HOME"') == str(other.home)


@pytest.mark.dropbear
async def test_a_dropbear_node_has_a_home_of_its_own(dropbear: DropbearFactory) -> None:
    node = await dropbear()
    assert await _output(node, 'cd; pwd; echo "$HOME"') == f"{node.home}\n{node.home}"


@pytest.mark.sshd
async def test_a_restarted_node_is_the_same_node(sshd: SshdFactory) -> None:
    node = await sshd()
    before = (node.port, node.host_key)
    await _output(node, 'echo kept >"$HOME/file"')
    await node.restart()
    assert (node.port, node.host_key) == before
    assert await _output(node, 'cat "$HOME/file"') == "kept"


@pytest.mark.sshd
async def test_killed_sessions_leave_detached_processes_alone(sshd: SshdFactory) -> None:
    node = await sshd()
    connection = await _open(node)
    await connection.run("setsid sleep 60 >/dev/null 2>&1 </dev/null & exit 0")
    assert node.kill_sessions() >= 1
    await asyncio.wait_for(connection.wait_closed(), 5)
    assert node.leftovers()
    node.close()
    assert not node.leftovers()


@pytest.mark.sshd
@pytest.mark.parametrize("shell", [str(Path(name).resolve()) for name in ("/bin/sh", "/bin/bash")])
async def test_the_login_shell_can_be_chosen(sshd: SshdFactory, shell: str) -> None:
    node = await sshd(login_shell=shell)
    first, second = (await _output(node, "readlink /proc/$$/exe; echo \"a  b\" 'c'")).splitlines()
    assert first == shell
    assert second == "a  b c"


@pytest.mark.sshd
async def test_a_node_with_nologin_runs_nothing(sshd: SshdFactory) -> None:
    node = await sshd(login_shell="/usr/sbin/nologin")
    async with await _open(node) as connection:
        assert (await connection.run("echo here")).exit_status == 1
