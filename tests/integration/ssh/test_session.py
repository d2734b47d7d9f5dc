"""Sessions over real servers: commands run, output is exact, and nothing that breaks is taken for success."""

import asyncio
import gc
import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

from tests.integration.ssh.conftest import Connect, both
from tests.support.nodes import Node, SshdFactory
from tests.support.oddservers import OddServerFactory
from tests.support.proxy import Proxy
from tests.support.runs import collect, ended, new_run, request, run
from transports.base import Credential, Endpoint, RunState, RunStatus, StartRequest
from transports.errors import Busy, ConnectionLost, TransportError, Unreachable
from transports.ssh.transport import SSHTransport

PutProxy = Callable[[int], Awaitable[Proxy]]


@pytest.fixture(
    params=[pytest.param("sshd", marks=pytest.mark.sshd), pytest.param("dropbear", marks=pytest.mark.dropbear)]
)
async def node(request: pytest.FixtureRequest) -> Node:
    """A node with either server."""
    start = request.getfixturevalue(request.param)
    made: Node = await start()
    return made


@both
async def test_a_session_knows_what_it_is_connected_to(connect: Connect, node: Node, flavour: str) -> None:
    session = await connect(node.endpoint())
    assert (session.info.runner == "sh/1 (perl)") == (flavour == "perl")
    assert session.info.host_key == node.host_key
    boot_id = await asyncio.to_thread(Path("/proc/sys/kernel/random/boot_id").read_text)
    assert session.info.boot_id == boot_id.strip()
    assert (await session.probe()).boot_id == session.info.boot_id
    assert not session.closed


@both
async def test_a_command_runs_and_its_exit_code_comes_back(connect: Connect, node: Node) -> None:
    session = await connect(node.endpoint())
    status, out, err = await run(session, "echo out; echo err >&2; exit 3")
    assert (status.state, status.exit_code, out, err) == (RunState.DONE, 3, b"out\n", b"err\n")


@both
async def test_twenty_megabytes_of_any_bytes_arrive_exactly(connect: Connect, node: Node) -> None:
    session = await connect(node.endpoint())
    status, out, err = await run(session, "head -c 20000000 /dev/urandom | tee \"$HOME/copy\"; printf '\\377\\0' >&2")
    assert status.exit_code == 0
    assert err == b"\xff\0"
    copy = await asyncio.to_thread((node.home / "copy").read_bytes)
    assert (len(out), hashlib.sha256(out).digest()) == (20_000_000, hashlib.sha256(copy).digest())


@both
async def test_a_large_script_and_its_input_arrive_exactly(connect: Connect, node: Node) -> None:
    session = await connect(node.endpoint())
    stdin = bytes(range(256)) * 4000
    script = b"#" + b"x" * 300_000 + b"\ncat\n"
    _, out, _ = await run(session, script, stdin=stdin)
    assert out == stdin


@both
async def test_killed_server_processes_lose_nothing(connect: Connect, node: Node) -> None:
    asked = request("i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.005; done; exit 4")
    first = await connect(node.endpoint())
    lost = asyncio.Event()
    first.on_close = lost.set
    await first.start(asked)
    await asyncio.sleep(0.3)
    head, _ = await collect(first, await first.status(asked.run))
    node.kill_sessions()
    async with asyncio.timeout(5):
        await lost.wait()
    assert first.closed
    with pytest.raises(ConnectionLost):
        await first.status(asked.run)
    second = await connect(node.endpoint())
    status = await ended(second, asked.run)
    tail, _ = await collect(second, status, stdout=len(head))
    assert (status.state, status.exit_code) == (RunState.DONE, 4)
    assert head + tail == b"".join(b"line %d\n" % i for i in range(400))


@both
async def test_forty_runs_at_once_on_one_connection(connect: Connect, node: Node) -> None:
    session = await connect(node.endpoint())

    async def one(number: int) -> bytes:
        _, out, _ = await run(session, f"head -c {number * 1000} /dev/zero; echo {number}")
        return out

    outputs = await asyncio.gather(*(one(number) for number in range(40)))
    assert outputs == [b"\0" * (number * 1000) + f"{number}\n".encode() for number in range(40)]
    assert session.gate.open <= 8


@both
async def test_a_session_leaves_no_task_and_no_channel_behind(connect: Connect, node: Node) -> None:
    before = asyncio.all_tasks()
    session = await SSHTransport().connect(node.endpoint())
    for _ in range(30):
        await run(session, "echo x; exit 1")
    assert session.gate.open == 1
    closed: list[bool] = []
    session.on_close = lambda: closed.append(session.closed)
    await asyncio.gather(session.aclose(), session.aclose())
    await session.aclose()
    await asyncio.sleep(0.05)
    assert closed == [True]
    assert session.gate.open == 0
    assert asyncio.all_tasks() - before == set()
    assert await node.is_deserted()


@both
@pytest.mark.sshd
async def test_cancelled_verbs_leave_no_channel_behind(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    session = await connect(node.endpoint())
    status, _, _ = await run(session, "head -c 3000000 /dev/zero")
    for delay in (0, 0.001, 0.002, 0.004, 0.008):
        for _ in range(4):
            task = asyncio.create_task(session.read(status.run, stdout=0, stderr=0, limit=1 << 21))
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(10):
        while session.gate.open > 1:  # noqa: ASYNC110 - there is nobody to tell us
            await asyncio.sleep(0.02)
    assert len((await collect(session, status))[0]) == 3_000_000


@pytest.mark.sshd
@both
@pytest.mark.parametrize("sessions", [2, 3])
async def test_a_servers_own_limit_is_learned(connect: Connect, sshd: SshdFactory, sessions: int) -> None:
    node = await sshd(config=[f"MaxSessions {sessions}"])
    session = await connect(node.endpoint())

    async def one(number: int) -> bytes:
        _, out, _ = await run(session, f"head -c 100000 /dev/zero; echo {number}")
        return out[-3:]

    outputs = await asyncio.gather(*(one(number) for number in range(10, 30)))
    assert outputs == [f"{number}\n".encode() for number in range(10, 30)]
    assert 2 <= session.gate.limit <= sessions


@both
@pytest.mark.sshd
async def test_one_channel_is_enough_for_small_commands_and_large_ones_are_told_why(
    connect: Connect, sshd: SshdFactory
) -> None:
    node = await sshd(config=["MaxSessions 1"])
    session = await connect(node.endpoint())
    assert (await run(session, "echo small"))[1] == b"small\n"
    with pytest.raises(Busy, match=r"MaxSessions|no further channel"):
        await run(session, "head -c 100000 /dev/zero")
    assert (await run(session, "echo small"))[1] == b"small\n"


@pytest.mark.sshd
async def test_a_black_hole_is_noticed_by_keepalive(connect: Connect, sshd: SshdFactory, proxy: PutProxy) -> None:
    node = await sshd()
    between = await proxy(node.port)
    session = await connect(node.endpoint(port=between.port), keepalive_interval=0.1)
    lost = asyncio.Event()
    session.on_close = lost.set
    pending = asyncio.create_task(session.start(request("sleep 30"), wait=30))
    await asyncio.sleep(0.2)
    between.stall()
    began = time.monotonic()
    async with asyncio.timeout(5):
        await lost.wait()
        with pytest.raises(ConnectionLost):
            await pending
    assert time.monotonic() - began < 2


@pytest.mark.sshd
async def test_closing_into_a_black_hole_takes_seconds_at_most(
    connect: Connect, sshd: SshdFactory, proxy: PutProxy
) -> None:
    node = await sshd()
    between = await proxy(node.port)
    session = await connect(node.endpoint(port=between.port))
    between.stall()
    async with asyncio.timeout(5):
        await session.aclose()
    assert session.closed


@pytest.mark.sshd
async def test_cancelled_connects_leave_nothing_behind(sshd: SshdFactory) -> None:
    gate, node = await sshd(), await sshd()
    before = asyncio.all_tasks()
    for endpoint in (node.endpoint(), node.endpoint(jump=gate.endpoint())):
        for step in range(15):
            task = asyncio.create_task(SSHTransport().connect(endpoint))
            await asyncio.sleep(step * 0.008)
            task.cancel()
            for session in await asyncio.gather(task, return_exceptions=True):
                if not isinstance(session, BaseException):
                    await session.aclose()
    assert await gate.is_deserted()
    assert await node.is_deserted()
    assert asyncio.all_tasks() - before == set()


@both
@pytest.mark.sshd
async def test_the_end_of_a_run_is_told_without_asking(connect: Connect, sshd: SshdFactory) -> None:
    session = await connect((await sshd()).endpoint())
    told: asyncio.Queue[RunStatus] = asyncio.Queue()
    session.on_end = told.put_nowait
    asked = request("sleep 0.2; exit 5")
    assert (await session.start(asked)).state is RunState.RUNNING
    async with asyncio.timeout(5):
        status = await told.get()
    assert (status.run, status.exit_code) == (asked.run, 5)


@both
@pytest.mark.sshd
async def test_a_cut_connection_fails_what_is_pending_at_once(
    connect: Connect, sshd: SshdFactory, proxy: PutProxy
) -> None:
    node = await sshd()
    between = await proxy(node.port)
    session = await connect(node.endpoint(port=between.port))
    pending = [asyncio.create_task(session.start(request("sleep 30"), wait=30)) for _ in range(5)]
    await asyncio.sleep(0.2)
    between.cut()
    async with asyncio.timeout(2):
        results = await asyncio.gather(*pending, return_exceptions=True)
    assert {type(result) for result in results} == {ConnectionLost}
    assert session.closed


@pytest.mark.sshd
async def test_a_connection_cut_at_any_moment_of_connecting_is_a_clear_failure(
    connect: Connect, sshd: SshdFactory, proxy: PutProxy
) -> None:
    node = await sshd()
    between = await proxy(node.port)
    outcomes = set()
    for step in range(40):
        cutter = asyncio.get_running_loop().call_later(step * 0.003, between.cut)
        try:
            await (await SSHTransport().connect(node.endpoint(port=between.port))).aclose()
            outcomes.add("connected")
        except TransportError as error:
            outcomes.add(type(error).__name__)
        cutter.cancel()
    assert outcomes <= {"connected", "Unreachable"}
    assert "Unreachable" in outcomes


@pytest.mark.sshd
async def test_a_stall_while_connecting_is_bounded_and_may_pass(
    connect: Connect, sshd: SshdFactory, proxy: PutProxy
) -> None:
    node = await sshd()
    between = await proxy(node.port)
    before = asyncio.all_tasks()
    for moment in (0.0, 0.01, 0.03, 0.05, 0.07):
        staller = asyncio.get_running_loop().call_later(moment, between.stall)
        began = time.monotonic()
        with suppress(Unreachable):
            await (await SSHTransport().connect(node.endpoint(port=between.port, connect_timeout=0.5))).aclose()
        assert time.monotonic() - began < 4
        staller.cancel()
        between.resume()
        between.cut()
    await asyncio.sleep(0.1)
    assert {task for task in asyncio.all_tasks() - before if "proxy" not in task.get_name()} == set()


async def test_a_server_that_refuses_channels_is_not_a_success(
    connect: Connect, odd_server: OddServerFactory
) -> None:
    server = await odd_server(refuse_channels=True)
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh")
    with pytest.raises(Unreachable, match="not even one channel"):
        await connect(
            Endpoint(
                node="odd", address="127.0.0.1", port=server.port, user="me", credential=Credential(private_key=key)
            )
        )


@both
@pytest.mark.sshd
async def test_many_idle_sessions_are_small(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    transport = SSHTransport()
    await (await transport.connect(node.endpoint())).aclose()
    gc.collect()
    before = _resident()
    sessions = await asyncio.gather(*(transport.connect(node.endpoint()) for _ in range(40)))
    gc.collect()
    each = (_resident() - before) / len(sessions)
    await asyncio.gather(*(session.aclose() for session in sessions))
    assert each < 200_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@both
@pytest.mark.sshd
async def test_a_request_delivered_twice_runs_once_over_two_sessions(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    one, other = await asyncio.gather(connect(node.endpoint()), connect(node.endpoint()))
    asked = StartRequest(run=new_run(), script=b'echo x >>"$HOME/witness"; sleep 0.2')
    await asyncio.gather(one.start(asked, wait=5), other.start(asked, wait=5))
    assert (await ended(other, asked.run)).exit_code == 0
    assert await asyncio.to_thread((node.home / "witness").read_text) == "x\n"
