"""Two languages, one run protocol: what a runner of one kind began, a runner of the other kind knows and ends.

On a node of these tests the runners alternate, see `LANGUAGES` in conftest.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from transports.base import Output, RunState, RunStatus, StartRequest, StopReason
from transports.errors import Conflict, UnsupportedShell
from transports.runner.client import Runner

NewRun = Callable[..., StartRequest]
Launch = Callable[[], Awaitable[Runner]]
Ended = Callable[..., Awaitable[RunStatus]]
Until = Callable[..., Awaitable[None]]

PERL = shutil.which("perl")


@pytest.fixture(params=["perl+sh", "sh+perl"])
def node(request: pytest.FixtureRequest, make_node: Callable[[str], Any]) -> Any:
    """A node whose runners take turns."""
    if PERL is None:
        pytest.skip("perl is not installed")
    return make_node(request.param)


def language(runner: Runner) -> str:
    return "perl" if runner.info.runner == "sh/1 (perl)" else "sh"


def commands(node: Any, request: StartRequest) -> list[int]:
    """Processes that are the command by now."""
    name = f"{node.shell} {node.directory}/{request.run}."
    return [pid for pid, args in node.processes().items() if args.startswith(name)]


async def test_each_runner_speaks_the_language_it_was_asked_for(node: Any, launch: Launch) -> None:
    first, second = await launch(), await launch()
    assert f"{language(first)}+{language(second)}" == node.flavour


async def test_the_other_kind_follows_and_collects(launch: Launch, new_run: NewRun, ended: Ended) -> None:
    one, other = await launch(), await launch()
    request = new_run("echo begun; sleep 1; echo 'and ended'; head -c 5000 /dev/zero >&2; exit 6")
    await one.start(request)
    await asyncio.sleep(0.4)
    s = await other.status(request.run)
    assert (s.state, s.stdout.kept, s.stderr.kept) == (RunState.RUNNING, 6, 0)
    assert (await other.read(request.run, stdout=2, stderr=0, limit=9)).stdout == b"gun\n"
    assert await ended(other, request.run) == await one.status(request.run)
    s = await other.start(request, wait=5)
    assert (s.state, s.exit_code, s.stdout.kept, s.stderr.total) == (RunState.DONE, 6, 16, 5000)
    got = await other.read(request.run, stdout=0, stderr=0, limit=9999)
    assert got == Output(stdout=b"begun\nand ended\n", stderr=bytes(5000))
    with pytest.raises(Conflict):
        await other.start(new_run("true", run=request.run), wait=5)


async def test_the_other_kind_cancels(launch: Launch, new_run: NewRun, ended: Ended) -> None:
    one, other = await launch(), await launch()
    stubborn = new_run("trap '' TERM; setsid sleep 50 & while :; do sleep 0.1; done", grace=1)
    polite = new_run("trap 'echo bye; exit 0' TERM; sleep 30 & wait", grace=30)
    for request in (stubborn, polite):
        await one.start(request, wait=0.3)
        assert (await other.cancel(request.run)).state is RunState.RUNNING
    s = await ended(one, stubborn.run)
    assert (s.state, s.stop, s.exit_code, s.kill_confirmed) == (RunState.DONE, StopReason.CANCEL, 137, True)
    s = await ended(other, polite.run)
    assert (s.stop, s.exit_code, s.inline) == (StopReason.CANCEL, 0, (b"bye\n", b""))


async def test_a_tombstone_of_the_other_kind_is_final(node: Any, launch: Launch, new_run: NewRun) -> None:
    one, other = await launch(), await launch()
    request = new_run("echo x >>$HOME/witness")
    assert (await one.cancel(request.run)).state is RunState.TOMBSTONE
    assert (await other.start(request, wait=5)).state is RunState.TOMBSTONE
    assert not (node.home / "witness").exists()


async def test_a_cancel_of_the_other_kind_that_races_a_start(launch: Launch, new_run: NewRun, ended: Ended) -> None:
    """C-12: whoever is told `tombstone` may rely on it; else the run is stopped like any other."""
    one, other = await launch(), await launch()
    for i in range(24):
        request = new_run("sleep 5", timeout=30, grace=0.2)
        start = asyncio.create_task(one.start(request, wait=0.0))
        await asyncio.sleep(0.0005 * (i % 8))
        seen, told = await other.cancel(request.run), await start
        if seen.state is RunState.TOMBSTONE:
            assert told.state is RunState.TOMBSTONE
        else:
            assert (await ended(other, request.run)).stop is StopReason.CANCEL


async def test_forty_starts_of_one_id_over_runners_of_both_kinds_execute_once(
    launch: Launch, new_run: NewRun
) -> None:
    runners = [await launch() for _ in range(4)]
    for _ in range(5):
        request = new_run("echo x >>$HOME/$VENDETTA_RUN; sleep 0.2; wc -l <$HOME/$VENDETTA_RUN")
        got = await asyncio.gather(*(r.start(request, wait=20) for r in runners for _ in range(10)))
        assert {s.exit_code for s in got} == {0}
        assert {s.inline[0].strip() for s in got if s.inline} == {b"1"}


async def test_gc_of_the_other_kind(node: Any, launch: Launch, new_run: NewRun) -> None:
    one, other = await launch(), await launch()
    done, running = new_run("echo done"), new_run("echo here; sleep 30")
    await one.start(done, wait=5)
    await one.start(running, wait=0.4)
    await other.gc([done.run, running.run])
    assert (await one.status(done.run)).inline is None
    assert [path.suffix for path in node.directory.glob(f"{done.run}*")] == [".l"]
    assert (await one.read(running.run, stdout=0, stderr=0, limit=9)).stdout == b"here\n"
    await one.cancel(running.run)


async def test_the_other_kind_stops_what_a_killed_runner_left(
    node: Any, launch: Launch, new_run: NewRun, ended: Ended, until: Until
) -> None:
    """Also when the reaper was killed with it: whoever comes next adopts."""
    one = await launch()
    request = new_run("echo here; trap '' TERM; while :; do sleep 0.1; done", timeout=4, grace=1)
    await one.start(request, wait=0.3)
    await until(lambda: any(path.stat().st_size for path in node.directory.glob(f"{request.run}.*.o")))
    for pid in set(node.processes()) - set(commands(node, request)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await one.aclose()
    other = await launch()
    assert language(other) != language(one)
    assert (await other.status(request.run)).state is RunState.ORPHAN
    s = await ended(other, request.run)
    assert (s.state, s.stop, s.exit_code) == (RunState.LOST, StopReason.TIMEOUT, None)
    await until(lambda: not commands(node, request))


async def test_output_after_the_death_of_perl_is_kept_to_the_cap(
    make_node: Callable[[str], Any], new_run: NewRun, ended: Ended
) -> None:
    """The reaper reads on: nothing is lost in between, and head and tail are kept as ever."""
    node = make_node("perl")
    one, other = await node.launch(), await node.launch()
    head, tail = 300_000, 65_536
    small = new_run("echo a; sleep 3; echo b; echo c >&2")
    large = new_run("echo a; sleep 3; seq 1000000; sleep 1", output_cap=head)
    unread = new_run("echo a; sleep 0.5; exec >$HOME/elsewhere; echo b; sleep 3; echo c")
    for request in (small, large, unread):
        await one.start(request, wait=0.1)
    os.kill(node.channels[0].process.pid, signal.SIGKILL)
    await one.aclose()
    for request in (small, large, unread):
        assert (await ended(other, request.run)).state is RunState.LOST
    assert await other.read(small.run, stdout=0, stderr=0, limit=9) == Output(stdout=b"a\nb\n", stderr=b"c\n")
    assert (await other.read(unread.run, stdout=0, stderr=0, limit=9)).stdout == b"a\n"
    assert (node.home / "elsewhere").read_bytes() == b"b\nc\n"
    whole = b"a\n" + b"".join(b"%d\n" % n for n in range(1, 1_000_001))
    got = (await other.read(large.run, stdout=0, stderr=0, limit=1 << 22)).stdout
    assert got == whole[:head] + whole[-tail:]
    await other.aclose()


@pytest.mark.parametrize("again", ["", "while :; do kill -STOP $PPID; done & "])
async def test_a_command_that_stops_the_runner_in_perl_is_ended_by_its_limit(
    make_node: Callable[[str], Any], new_run: NewRun, ended: Ended, again: str
) -> None:
    """The reaper continues the runner, and enforces limits itself where that does not help for long."""
    node = make_node("perl")
    runner, other = await node.launch(), await node.launch()
    request = new_run(f"kill -STOP $PPID; {again}while :; do sleep 0.2; done", timeout=1, grace=0.5)
    await runner.start(request, wait=0.2)
    s = await ended(other, request.run, 15)
    assert (s.state, s.stop, s.exit_code) == (RunState.DONE, StopReason.TIMEOUT, 143)
    assert (await runner.start(new_run("exit 3"), wait=15)).exit_code == 3
    await runner.aclose()
    await other.aclose()


async def test_perl_stays_as_long_as_its_runs_and_no_longer(
    make_node: Callable[[str], Any], new_run: NewRun, until: Until
) -> None:
    node = make_node("perl")
    runner = await node.launch()
    request = new_run("sleep 3; exit 3")
    await runner.start(request)
    await runner.aclose()
    assert node.processes()
    await until(lambda: not node.processes())
    assert [path.name for path in node.directory.glob("J.*")] == []


async def test_a_reader_that_does_not_read_holds_up_no_run(make_node: Callable[[str], Any], new_run: NewRun) -> None:
    """Answers wait for the channel; limits and output do not."""
    node = make_node("perl")
    runner = await node.launch()
    node.channels[0].process.stdout._transport.pause_reading()
    node.channels[0].process.stdout._paused = True
    requests = [new_run(f"head -c 1500 /dev/zero | tr '\\0' x; echo x >$HOME/ran-{n}") for n in range(120)]
    for request in requests:
        await runner.start(request, wait=0.001)
    async with asyncio.timeout(20):
        while len(list(node.home.glob("ran-*"))) < 120:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    node.channels[0].process.stdout._transport.resume_reading()
    assert (await runner.start(requests[-1], wait=5)).exit_code == 0
    await runner.aclose()


# --- which perl


def with_perl(node: Any, where: Path, script: str) -> Any:
    """The node's `perl` is this shell script."""
    where.mkdir()
    (where / "perl").write_text(f"#!/bin/sh\n{script}\n")
    (where / "perl").chmod(0o755)
    node.env["PATH"] = f"{where}:{node.env['PATH']}"
    return node


@pytest.mark.parametrize("script", ["exit 1", "exit 0", "echo 'perl: not found'", "kill -9 $$"])
async def test_a_perl_that_does_not_work_is_left_alone(
    dash_node: Any, tmp_path: Path, new_run: NewRun, script: str
) -> None:
    node = with_perl(dash_node, tmp_path / "perl", script)
    runner = await node.launch(flavour="auto")
    assert language(runner) == "sh"
    assert (await runner.start(new_run("exit 3"), wait=5)).exit_code == 3
    await runner.aclose()
    with pytest.raises(UnsupportedShell, match="perl"):
        await node.launch(flavour="perl")


async def test_a_perl_that_does_not_take_the_program_is_told_and_sh_serves(
    dash_node: Any, tmp_path: Path, new_run: NewRun
) -> None:
    node = with_perl(dash_node, tmp_path / "perl", f'exec {PERL} -I {tmp_path / "lib"} "$@"')
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "Fcntl.pm").write_text("package Fcntl; 1;\n")
    with pytest.raises(UnsupportedShell, match="O_RDONLY"):
        await node.launch(flavour="perl")
    runner = await node.launch(flavour="auto")
    assert language(runner) == "sh"
    assert (await runner.start(new_run("exit 3"), wait=5)).exit_code == 3
    await runner.aclose()


async def test_a_perl_without_a_precise_clock_will_do(dash_node: Any, tmp_path: Path, new_run: NewRun) -> None:
    """Debian's perl-base has no Time::HiRes."""
    node = with_perl(dash_node, tmp_path / "perl", f'exec {PERL} -I {tmp_path / "lib"} "$@"')
    (tmp_path / "lib" / "Time").mkdir(parents=True)
    (tmp_path / "lib" / "Time" / "HiRes.pm").write_text("die;\n")
    runner = await node.launch(flavour="perl")
    s = await runner.start(new_run("sleep 0.3; echo hi"), wait=5)
    assert s.inline == (b"hi\n", b"")
    assert s.duration is not None
    assert s.duration % 10_000_000 == 0
    assert s.duration >= 290_000_000
    s = await runner.start(new_run("exec sleep 20", timeout=0.5), wait=5)
    assert (s.stop, s.exit_code) == (StopReason.TIMEOUT, 143)
    await runner.aclose()


async def test_a_precise_clock_shows_in_the_duration(make_node: Callable[[str], Any], new_run: NewRun) -> None:
    node = make_node("perl")
    runner = await node.launch()
    s = await runner.start(new_run("true"), wait=5)
    assert s.duration is not None
    assert s.duration % 10_000_000 != 0
    await runner.aclose()
