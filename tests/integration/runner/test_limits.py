"""Time limits, cancels and output caps: enforced on the node, whatever the command does."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runner.conftest import SOME
from transports.base import RunId, RunState, RunStatus, StartRequest, StopReason
from transports.runner.client import Runner

NewRun = Callable[..., StartRequest]
Launch = Callable[[], Awaitable[Runner]]
Ended = Callable[..., Awaitable[RunStatus]]
Until = Callable[..., Awaitable[None]]
TAIL = 64 * 1024


@pytest.fixture(params=SOME)
def node(request: pytest.FixtureRequest, make_node: Callable[[str], Any]) -> Any:
    """A node, once for some shells: these tests wait long."""
    return make_node(request.param)


def carriers(run: RunId) -> list[int]:
    """Processes of this run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text().rsplit(") ", 1)[1][0]
            if f"VENDETTA_RUN={run}".encode() in (entry / "environ").read_bytes().split(b"\0") and state not in "ZX":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


STUBBORN = """
trap '' TERM
( trap '' TERM; while :; do sleep 0.2; done ) &
setsid sh -c "trap '' TERM; while :; do sleep 0.2; done" &
setsid sleep 100 &
echo started
while :; do sleep 0.2; done
"""


@pytest.mark.parametrize("stop", [StopReason.TIMEOUT, StopReason.CANCEL])
async def test_a_stubborn_tree_is_gone(runner: Runner, new_run: NewRun, stop: StopReason, ended: Ended) -> None:
    request = new_run(STUBBORN, timeout=1 if stop is StopReason.TIMEOUT else 100, grace=1)
    began = time.monotonic()
    await runner.start(request, wait=0.6)
    if stop is StopReason.CANCEL:
        assert len(carriers(request.run)) >= 4
        assert (await runner.cancel(request.run)).state is RunState.RUNNING
    s = await ended(runner, request.run)
    assert (s.state, s.stop, s.exit_code, s.signal) == (RunState.DONE, stop, 137, 9)
    assert s.kill_confirmed
    assert carriers(request.run) == []
    assert s.stdout.kept == 8
    assert time.monotonic() - began < 10


async def test_a_polite_command_ends_at_once_on_cancel(runner: Runner, new_run: NewRun, ended: Ended) -> None:
    request = new_run("trap 'echo bye; exit 0' TERM; sleep 30 & wait", grace=30)
    await runner.start(request, wait=0.4)
    began = time.monotonic()
    await runner.cancel(request.run)
    s = await ended(runner, request.run)
    assert (s.state, s.stop, s.exit_code, s.inline) == (RunState.DONE, StopReason.CANCEL, 0, (b"bye\n", b""))
    assert s.kill_confirmed
    assert time.monotonic() - began < 3
    assert carriers(request.run) == []


async def test_a_plain_sleep_times_out(runner: Runner, new_run: NewRun) -> None:
    request = new_run("echo x; exec sleep 60", timeout=1, grace=5)
    s = await runner.start(request, wait=10)
    assert (s.state, s.stop, s.exit_code, s.inline) == (RunState.DONE, StopReason.TIMEOUT, 143, (b"x\n", b""))
    assert s.duration is not None
    assert 1_000_000_000 <= s.duration < 4_000_000_000


async def test_the_limit_holds_for_a_run_that_was_delivered_twice_at_once(
    runner: Runner, new_run: NewRun, ended: Ended
) -> None:
    """One of the two deliveries claims the run; what the other one does must not make the node forget it."""
    requests = [new_run("sleep 10", timeout=1, grace=1) for _ in range(8)]
    await asyncio.gather(*(runner.start(request) for request in requests for _ in range(2)))
    ends = [await ended(runner, request.run) for request in requests]
    assert {s.stop for s in ends} == {StopReason.TIMEOUT}


async def test_a_second_connection_can_cancel(runner: Runner, launch: Launch, new_run: NewRun, ended: Ended) -> None:
    request = new_run("trap '' TERM; while :; do sleep 0.1; done", grace=1)
    await runner.start(request, wait=0.3)
    other = await launch()
    await other.cancel(request.run)
    await other.cancel(request.run)
    s = await ended(other, request.run)
    assert (s.state, s.stop, s.exit_code) == (RunState.DONE, StopReason.CANCEL, 137)


async def test_a_limit_holds_after_the_connection_is_gone(
    until: Until, node: Any, launch: Launch, new_run: NewRun, ended: Ended
) -> None:
    first = await launch()
    request = new_run(STUBBORN, timeout=2, grace=1)
    await first.start(request)
    if node.flavour != "perl":  # there it is the supervisor: see test_faults
        os.kill(node.channels[0].process.pid, signal.SIGKILL)
    await first.aclose()
    await until(lambda: not carriers(request.run))
    s = await ended(await launch(), request.run)
    assert (s.state, s.stop, s.exit_code) == (RunState.DONE, StopReason.TIMEOUT, 137)


async def test_a_process_that_cleaned_its_environment_and_left_the_session_is_the_documented_limit(
    runner: Runner, new_run: NewRun
) -> None:
    request = new_run("env -i /usr/bin/setsid sleep 6 & sleep 60", timeout=1, grace=1)
    s = await runner.start(request, wait=20)
    assert (s.state, s.stop) == (RunState.DONE, StopReason.TIMEOUT)


async def test_a_daemon_that_holds_the_output_does_not_hold_the_end(runner: Runner, new_run: NewRun) -> None:
    request = new_run("echo early; sleep 8 & exit 3", timeout=60)
    began = time.monotonic()
    s = await runner.start(request, wait=20)
    assert (s.state, s.stop, s.exit_code, s.stray, s.inline) == (
        RunState.DONE,
        StopReason.NONE,
        3,
        True,
        (b"early\n", b""),
    )
    assert time.monotonic() - began < 4
    assert s.duration is not None
    assert s.duration < 1_000_000_000
    assert carriers(request.run)
    for pid in carriers(request.run):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("size", "cap"), [(300_000, 102_400), (102_400, 102_400), (110_000, 102_400), (5_000_000, 0), (100_000, 65_536)]
)
async def test_over_the_cap_head_and_tail_are_kept(runner: Runner, new_run: NewRun, size: int, cap: int) -> None:
    data = os.urandom(size)
    request = new_run("cat; cat >&2 </dev/null; echo end >&2; exit 2", stdin=data, output_cap=cap)
    s = await runner.start(request, wait=20)
    assert s.exit_code == 2
    out = (await runner.read(request.run, stdout=0, stderr=0, limit=1 << 24)).stdout
    assert len(out) == s.stdout.kept
    if size - cap < TAIL:
        assert out == data
        assert s.stdout.total == size
        assert not s.stdout.truncated
    else:
        assert out == data[:cap] + data[-TAIL:]
        assert (s.stdout.truncated, s.stdout.total) == (True, None)
    if cap >= 4:
        assert not s.stderr.truncated


@pytest.mark.parametrize(("size", "cap"), [(20_000, 1 << 16), (8191, 1 << 26), (8192, 1 << 26), (8193, 1 << 26)])
async def test_output_in_single_bytes_is_whole(runner: Runner, new_run: NewRun, size: int, cap: int) -> None:
    """A pump's dd ends after so many reads, however little each brought: another must go on where it stopped."""
    data = os.urandom(size)
    request = new_run("exec dd bs=1 2>/dev/null", stdin=data, output_cap=cap)
    s = await runner.start(request, wait=20)
    assert (s.exit_code, s.stdout.total, s.stdout.truncated) == (0, size, False)
    assert (await runner.read(request.run, stdout=0, stderr=0, limit=1 << 24)).stdout == data


async def test_full_speed_into_a_cap_does_not_stall(runner: Runner, new_run: NewRun) -> None:
    request = new_run("yes | head -c 60000000; yes | head -c 60000000 >&2; exit 5", output_cap=1 << 20)
    began = time.monotonic()
    s = await runner.start(request, wait=30)
    assert s.exit_code == 5
    assert (s.stdout.kept, s.stderr.kept) == ((1 << 20) + TAIL, (1 << 20) + TAIL)
    assert s.stdout.truncated
    assert s.stderr.truncated
    assert time.monotonic() - began < 10


async def test_an_endless_writer_is_stopped_by_its_time_limit(runner: Runner, new_run: NewRun) -> None:
    request = new_run("exec yes", output_cap=1 << 16, timeout=1, grace=1)
    s = await runner.start(request, wait=20)
    assert (s.state, s.stop, s.exit_code, s.stdout.kept) == (RunState.DONE, StopReason.TIMEOUT, 143, 2 << 16)
