# ruff: noqa: ASYNC220, PLW1510, T201
"""Something dies, the disk is full, the node was restarted: never twice, never a false result."""

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runner.conftest import SOME
from tests.support import processes
from transports.base import RunId, RunState, RunStatus, StartRequest, StopReason
from transports.errors import ConnectionLost, NodeStorageFull, StartRefused, TransportError
from transports.runner import frames
from transports.runner.client import Runner

NewRun = Callable[..., StartRequest]
Launch = Callable[[], Awaitable[Runner]]
Ended = Callable[..., Awaitable[RunStatus]]
Until = Callable[..., Awaitable[None]]


@pytest.fixture(params=SOME)
def node(request: pytest.FixtureRequest, make_node: Callable[[str], Any]) -> Any:
    """A node, once for some shells: these tests wait long."""
    return make_node(request.param)


def claim(node: Any, run: RunId) -> list[str]:
    """The claim's fields: nonce digest boot pid start supervisor start …"""
    text: str = (node.directory / f"{run}.l").read_text()
    for line in text.splitlines():
        if line.startswith("c "):
            return line.split()[1:]
    raise AssertionError("no claim")


def reapers(node: Any) -> list[int]:
    return [pid for pid, args in node.processes().items() if args.strip().endswith(" reap")]


def after_its_runner(node: Any, code: int) -> tuple[RunState, int | None]:
    """How a run ends whose runner was killed. A shell's supervisors outlive it; in perl it is the supervisor."""
    return (RunState.LOST, None) if node.flavour == "perl" else (RunState.DONE, code)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def test_a_killed_runner_costs_nothing(node: Any, launch: Launch, new_run: NewRun, until: Until) -> None:
    first = await launch()
    request = new_run("echo x >>$HOME/witness; sleep 2; cat $HOME/witness; exit 9")
    task = asyncio.create_task(first.start(request, wait=20))
    await until((node.home / "witness").exists)
    kill(node.channels[0].process.pid)
    # The supervisor still holds the channel: it may even answer over it. A session over SSH ends here.
    await first.aclose()
    with pytest.raises(ConnectionLost):
        await task
    second = await launch()
    s = await second.start(request, wait=20)
    assert (s.state, s.exit_code) == after_its_runner(node, 9)
    assert (await second.read(request.run, stdout=0, stderr=0, limit=9)).stdout == b"x\n"


async def test_a_run_is_not_lost_before_its_output_is_read(
    make_node: Callable[[str], Any], tmp_path: Path, new_run: NewRun, ended: Ended, until: Until
) -> None:
    """In perl the supervisor is gone, and so is the command; what it wrote last is still on its way to the file."""
    node = make_node("perl")
    slow = tmp_path / "slow"
    slow.mkdir()
    node.env["PATH"] = f"{slow}:{node.env['PATH']}"
    first, second = await node.launch(), await node.launch()
    waiting = ": >$HOME/reading; until [ -e $HOME/on ]; do sleep 0.05; done"
    (slow / "dd").write_text(f'#!/bin/sh\n{waiting}; exec {shutil.which("dd")} "$@"\n')
    (slow / "dd").chmod(0o755)
    request = new_run(": >$HOME/begun; until [ -e $HOME/go ]; do sleep 0.05; done; echo out")
    await first.start(request, wait=0)
    await until((node.home / "begun").exists)
    kill(node.channels[0].process.pid)
    await until((node.home / "reading").exists)
    (node.home / "go").touch()
    pid = int(claim(node, request.run)[3])
    await until(lambda: pid not in node.processes())
    assert (await second.status(request.run)).state is RunState.ORPHAN
    (node.home / "on").touch()
    assert (await ended(second, request.run)).state is RunState.LOST
    assert (await second.read(request.run, stdout=0, stderr=0, limit=9)).stdout == b"out\n"
    await first.aclose()
    await second.aclose()


async def test_a_killed_supervisor_makes_an_orphan_and_then_lost(
    node: Any, runner: Runner, launch: Launch, new_run: NewRun, ended: Ended
) -> None:
    request = new_run("echo x >>$HOME/witness; echo out; sleep 3; echo more")
    await runner.start(request, wait=0.3)
    kill(int(claim(node, request.run)[5]))
    runner = await launch()
    async with asyncio.timeout(5):
        while (s := await runner.status(request.run)).state is RunState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert s.state is RunState.ORPHAN
    assert s.stdout.kept == 4
    s = await ended(runner, request.run)
    assert (s.state, s.exit_code) == (RunState.LOST, None)
    assert (await runner.read(request.run, stdout=0, stderr=0, limit=99)).stdout == b"out\nmore\n"
    assert (await runner.start(request, wait=1)).state is RunState.LOST
    assert (node.home / "witness").read_text() == "x\n"


async def test_a_limit_holds_without_a_supervisor(
    node: Any, runner: Runner, launch: Launch, new_run: NewRun, ended: Ended
) -> None:
    request = new_run("trap '' TERM; while :; do sleep 0.1; done", timeout=1, grace=1)
    await runner.start(request, wait=0.3)
    pid = int(claim(node, request.run)[3])
    kill(int(claim(node, request.run)[5]))
    s = await ended(await launch(), request.run)
    assert (s.state, s.stop, s.exit_code) == (RunState.LOST, StopReason.TIMEOUT, None)
    assert pid not in node.processes()


async def test_a_killed_reaper_is_replaced_at_the_next_request(
    node: Any, runner: Runner, new_run: NewRun, ended: Ended
) -> None:
    request = new_run("trap '' TERM; while :; do sleep 0.1; done", timeout=1, grace=1)
    await runner.start(request, wait=0.2)
    for pid in reapers(node):
        kill(pid)
    await asyncio.sleep(0.1)
    assert (await runner.start(new_run("true"), wait=5)).exit_code == 0
    s = await ended(runner, request.run)
    assert (s.state, s.stop, s.exit_code) == (RunState.DONE, StopReason.TIMEOUT, 137)
    assert reapers(node)


async def test_a_killed_ticker_is_replaced_at_the_next_request(
    node: Any, runner: Runner, new_run: NewRun, ended: Ended
) -> None:
    """Without its clock a reaper would enforce no limit any more."""
    request = new_run("trap '' TERM; while :; do sleep 0.1; done", timeout=2, grace=1)
    await runner.start(request, wait=0.3)
    tickers = [pid for pid in reapers(node) if processes.parent(pid) in reapers(node)]
    assert tickers
    for pid in tickers:
        kill(pid)
    s = await asyncio.wait_for(ended(runner, request.run), 15)
    assert (s.state, s.stop, s.exit_code) == (RunState.DONE, StopReason.TIMEOUT, 137)


async def test_a_killed_ticker_is_missed_by_none_when_its_runner_is_gone_too(
    node: Any, runner: Runner, launch: Launch, new_run: NewRun, ended: Ended
) -> None:
    """Nobody sends that reaper a request any more, and the next runner's sees that it lives."""
    request = new_run("trap '' TERM; while :; do sleep 0.1; done", timeout=2, grace=1)
    await runner.start(request, wait=0.3)
    kill(node.channels[0].process.pid)
    await runner.aclose()
    for pid in reapers(node):
        if processes.parent(pid) in reapers(node):
            kill(pid)
            break
    s = await asyncio.wait_for(ended(await launch(), request.run), 15)
    assert (s.stop, (s.state, s.exit_code)) == (StopReason.TIMEOUT, after_its_runner(node, 137))


async def test_a_run_that_is_journaled_but_not_yet_claimed_is_adopted(
    until: Until, node: Any, launch: Launch, new_run: NewRun
) -> None:
    """Its runner may die between the two; whoever adopts the journal removes it."""
    request = new_run("echo never delivered")
    first = await launch()
    (node.directory / "J.0123456789abcdef.0").write_text(f"r {request.run}\n")
    await (await launch()).probe()
    await until(lambda: not (node.directory / "J.0123456789abcdef.0").exists())
    victim = subprocess.Popen(["sleep", "60"], start_new_session=True)
    now = round(time.clock_gettime(time.CLOCK_BOOTTIME) * 100)
    identity = f"{victim.pid} {processes.started(victim.pid)} 0 0"
    line = f"c 0123456789abcdef {request.digest} {first.info.boot_id} {identity} {now} 100 100 ."
    (node.directory / f"{request.run}.l").write_text(f"\n{line}\n")
    await until(lambda: victim.poll() is not None, 8)
    victim.kill()
    victim.wait()


async def test_the_next_runner_adopts_runs_that_nobody_watches(
    node: Any, launch: Launch, new_run: NewRun, ended: Ended
) -> None:
    first = await launch()
    request = new_run("trap '' TERM; while :; do sleep 0.1; done", timeout=2, grace=1)
    await first.start(request)
    await asyncio.sleep(0.2)
    for pid in [node.channels[0].process.pid, *reapers(node)]:
        kill(pid)
    await first.aclose()
    s = await ended(await launch(), request.run)
    assert s.stop is StopReason.TIMEOUT
    assert (s.state, s.exit_code) == after_its_runner(node, 137)


async def test_a_killed_pump_is_told_and_never_kills_the_command(
    node: Any, runner: Runner, new_run: NewRun, ended: Ended
) -> None:
    request = new_run("echo a; sleep 1; echo b; sleep 0.2; exit 4")
    await runner.start(request, wait=0.3)
    pumps = [pid for pid, args in node.processes().items() if re.search(r"dd bs=\d", args)]
    if not pumps:  # busybox runs its own dd without exec, which leaves nothing to find it by; perl copies by itself
        assert node.flavour in ("busybox", "perl")
        return
    for pid in pumps:
        kill(pid)
    s = await ended(runner, request.run)
    assert (s.state, s.exit_code) == (RunState.DONE, 4)
    assert s.stdout.truncated
    assert (await runner.read(request.run, stdout=0, stderr=0, limit=99)).stdout == b"a\nb\n"


async def test_another_boot_is_lost(node: Any, runner: Runner, launch: Launch, new_run: NewRun) -> None:
    request = new_run("sleep 20")
    await runner.start(request, wait=0.2)
    path = node.directory / f"{request.run}.l"
    pid = int(claim(node, request.run)[3])
    path.write_text(path.read_text().replace(runner.info.boot_id, "00000000-0000-0000-0000-000000000000"))
    s = await (await launch()).start(request, wait=1)
    assert s.state is RunState.LOST
    assert s.boot_id == runner.info.boot_id
    kill(pid)


@pytest.mark.parametrize("state", [RunState.LOST])
async def test_a_reused_pid_is_not_the_command(node: Any, runner: Runner, new_run: NewRun, state: RunState) -> None:
    request = new_run("exit 0")
    await runner.start(request, wait=5)
    path = node.directory / f"{request.run}.l"
    fields = claim(node, request.run)
    await asyncio.sleep(0.05)  # start times have a resolution of 10 ms
    innocent = subprocess.Popen(["sleep", "30"])
    fields[3] = fields[5] = str(innocent.pid)
    path.write_text("\nc " + " ".join(fields) + "\n")
    assert (await runner.status(request.run)).state is state
    await runner.cancel(request.run)
    await asyncio.sleep(1.5)
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()


async def test_a_torn_claim_counts_as_none(node: Any, runner: Runner, new_run: NewRun) -> None:
    request = new_run("echo ran")
    (node.directory / f"{request.run}.l").write_bytes(b"\nc 0123456789abcdef 00")
    assert (await runner.status(request.run)).state is RunState.ABSENT
    assert (await runner.start(request, wait=5)).inline == (b"ran\n", b"")


async def test_a_cut_request_never_runs(until: Until, node: Any, launch: Launch, new_run: NewRun) -> None:
    request = new_run("echo x >>$HOME/witness")
    line = frames.start(1, request, nonce="0123456789abcdef", ack=False, staged=False)
    for cut in (line[:-1], line[:40], line[:-9] + b"\n", line.replace(b"echo", b"ech"), b"garbage\n"):
        r = await launch()
        await r._channel.write(cut)
        await r._channel.write_eof()
        await until(lambda r=r: r.closed, 5)
    assert not (node.home / "witness").exists()
    assert (await (await launch()).status(request.run)).state is RunState.ABSENT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]).returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.parametrize("flavour", ["dash", "busybox", "bash", "perl"])
async def test_a_full_disk(
    make_node: Callable[[str], Any], small_disk: Path, new_run: NewRun, flavour: str, ended: Ended
) -> None:
    node = make_node(flavour)
    r = await node.launch(base_dir=str(small_disk / "base"))
    running = new_run("sleep 1.5; exit 3")
    cancelled = new_run("sleep 30")
    await r.start(running, wait=0.2)
    await r.start(cancelled, wait=0.2)
    filler = new_run("head -c 3000000 /dev/zero; exit 4")
    s = await r.start(filler, wait=10)
    assert (s.exit_code, s.stdout.truncated) == (4, True)
    refused = new_run("echo x >>$HOME/witness")
    for request in (refused, new_run("#" * 40_000 + "\necho x >>$HOME/witness")):
        with pytest.raises(NodeStorageFull):
            await r.start(request, wait=5)
        assert (await r.status(request.run)).state is RunState.ABSENT
    await r.cancel(cancelled.run)
    assert (await ended(r, cancelled.run)).stop is StopReason.CANCEL
    assert (await ended(r, running.run)).exit_code == 3
    await r.gc([filler.run])
    assert (await r.start(refused, wait=5)).exit_code == 0
    assert (node.home / "witness").read_text() == "x\n"
    await r.aclose()
    node.end_processes()


def logs_below(place: Path, run: RunId) -> list[Path]:
    return list(place.glob(f"base/*/v1/{run}.l"))


@pytest.mark.parametrize("flavour", ["dash", "busybox", "bash", "mksh", "yash"])
async def test_an_end_that_fits_nowhere_is_told_by_the_name_of_a_file(
    make_node: Callable[[str], Any], small_disk: Path, new_run: NewRun, flavour: str, ended: Ended
) -> None:
    node = make_node(flavour)
    r = await node.launch(base_dir=str(small_disk / "base"))
    request = new_run("echo out; sleep 1; exit 3")
    await r.start(request, wait=0.3)
    (log,) = logs_below(small_disk, request.run)
    with log.open("ab") as file:  # a torn line up to the end of the block: the next append needs another one
        file.write(b"\n" + b"x" * (os.sysconf("SC_PAGESIZE") - 1 - file.tell()))
    (log.parent / "I").unlink()
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    nameless = await node.launch(base_dir=str(small_disk / "base"))
    assert nameless.info.install_id == ""
    await nameless.aclose()
    s = await ended(r, request.run)
    assert (s.state, s.exit_code, s.inline) == (RunState.DONE, 3, (b"out\n", b""))
    assert b"\ne 3" not in log.read_bytes()
    assert len(list(log.parent.glob(f"{request.run}.E.3.*"))) == 1
    await r.aclose()
    (small_disk / "filler").unlink()
    again = await node.launch(base_dir=str(small_disk / "base"))
    s = await again.start(request, wait=5)
    assert (s.state, s.exit_code, s.inline) == (RunState.DONE, 3, (b"out\n", b""))
    await again.gc([request.run])
    assert (await again.status(request.run)).exit_code == 3
    await again.aclose()
    node.end_processes()


async def test_old_runs_expire(until: Until, node: Any, launch: Launch, new_run: NewRun) -> None:
    r = await launch()
    old, recent = new_run("echo old"), new_run("echo recent")
    await r.start(old, wait=5)
    await r.start(recent, wait=5)
    await r.probe()
    await until((node.directory / "X").exists)
    await r.aclose()
    for path in node.directory.glob(f"{old.run}*"):
        if path.suffix == ".l":
            text = path.read_text().replace(r.info.boot_id, "00000000-0000-0000-0000-000000000000")
            path.write_text(text)
        os.utime(path, (1, 1))
    os.utime(node.directory / "X", (1, 1))
    for path in node.directory.glob(f"{recent.run}*"):
        os.utime(path, (1, 1))  # the clock jumped; by this boot's own clock the run is young
    (node.directory / "P").unlink()  # a minute has passed: somebody looks around again
    r = await launch()
    await r.probe()
    await until(lambda: not list(node.directory.glob(f"{old.run}*")))
    assert (await r.status(recent.run)).inline == (b"recent\n", b"")
    assert (await r.status(old.run)).state is RunState.ABSENT
    await r.aclose()


async def _one_round(node: Any, make_request: NewRun, rng: random.Random) -> str:
    request = make_request(f"echo x >>$HOME/w.{rng.random()}; sleep 0.{rng.randrange(3)}; exit 5")
    witness = node.home / request.script.decode().split("$HOME/")[1].split(";")[0]
    before = len(node.channels)
    runner = await node.launch()
    task = asyncio.create_task(runner.start(request, wait=5 if rng.random() < 0.5 else 0))
    await asyncio.sleep(rng.random() * rng.choice((0.006, 0.03)))
    main = node.channels[before].process.pid
    candidates = [main, *node.processes()]
    kill(rng.choice(candidates) if rng.random() < 0.7 else main)
    if rng.random() < 0.3:
        await runner.aclose()
    await asyncio.wait((task,), timeout=0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await runner.aclose()
    for _ in range(20):
        second = await node.launch()
        try:
            status = await second.start(request, wait=5)
        except StartRefused:
            continue
        finally:
            await second.aclose()
        if status.state in (RunState.DONE, RunState.LOST):
            break
    count = len(witness.read_text().splitlines()) if witness.exists() else 0
    assert count <= 1, "executed twice"
    if status.state is RunState.DONE:
        assert status.exit_code == 5 or (status.exit_code == 137 and status.signal == 9), status
        assert count == 1 or status.exit_code == 137
    return f"{status.state} {status.exit_code} ran {count}"


async def test_random_kills_never_run_a_command_twice(make_node: Callable[[str], Any], new_run: NewRun) -> None:
    seconds = float(os.environ.get("VENDETTA_FUZZ_SECONDS", "15"))
    rng = random.Random(os.environ.get("VENDETTA_FUZZ_SEED"))
    nodes = [make_node(f) for f in os.environ.get("VENDETTA_FUZZ_SHELLS", "dash bash busybox perl perl+sh").split()]
    tally: dict[str, int] = {}
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        node = rng.choice(nodes)
        try:
            result = f"{node.flavour}: " + await _one_round(node, new_run, rng)
        except TransportError as e:  # the kill hit a launch
            result = f"{node.flavour}: {type(e).__name__}"
        tally[result] = tally.get(result, 0) + 1
        node.channels.clear()
    for line, count in sorted(tally.items()):
        print(count, line)
    assert sum(tally.values()) > 10
