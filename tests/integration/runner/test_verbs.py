"""Every verb, in every shell."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transports.base import FLEETING, Output, RunId, RunState, RunStatus, StartRequest, StopReason, StreamState
from transports.errors import Conflict, ConnectionLost
from transports.runner.client import Runner

NewRun = Callable[..., StartRequest]
Launch = Callable[[], Awaitable[Runner]]
Ended = Callable[..., Awaitable[RunStatus]]
Until = Callable[..., Awaitable[None]]


async def whole(runner: Runner, status: RunStatus) -> Output:
    """Both streams, read in pieces."""
    out, err = b"", b""
    while len(out) < status.stdout.kept or len(err) < status.stderr.kept:
        o = await runner.read(status.run, stdout=len(out), stderr=len(err), limit=8 << 20)
        assert o.stdout or o.stderr
        out, err = out + o.stdout, err + o.stderr
    return Output(stdout=out, stderr=err)


async def test_a_short_command_answers_whole_in_one_round_trip(runner: Runner, new_run: NewRun) -> None:
    s = await runner.start(new_run("echo out; echo err >&2; exit 3"), wait=10)
    assert (s.state, s.stop, s.exit_code, s.signal) == (RunState.DONE, StopReason.NONE, 3, None)
    assert s.inline == (b"out\n", b"err\n")
    assert s.stdout == StreamState(kept=4, total=4)
    assert s.duration is not None
    assert 0 <= s.duration < 5_000_000_000
    again = await runner.status(s.run)
    assert again == s


async def test_a_long_command_is_acknowledged_and_its_end_is_pushed(runner: Runner, new_run: NewRun) -> None:
    ends: asyncio.Queue[RunStatus] = asyncio.Queue()
    runner.on_end = ends.put_nowait
    request = new_run("sleep 0.5; echo late; exit 4")
    s = await runner.start(request)
    assert s.state is RunState.RUNNING
    end = await asyncio.wait_for(ends.get(), 10)
    assert (end.run, end.state, end.exit_code, end.inline) == (request.run, RunState.DONE, 4, (b"late\n", b""))
    assert end.duration is not None
    assert end.duration >= 400_000_000


async def test_start_returns_running_after_its_wait(runner: Runner, new_run: NewRun) -> None:
    request = new_run("echo first; sleep 30")
    s = await runner.start(request, wait=0.3)
    assert s.state is RunState.RUNNING
    assert s.stdout.kept == 6
    assert (await runner.read(request.run, stdout=2, stderr=0, limit=100)).stdout == b"rst\n"
    await runner.cancel(request.run)


async def test_an_unknown_run_is_absent(runner: Runner, new_run: NewRun) -> None:
    assert (await runner.status(new_run("").run)).state is RunState.ABSENT
    assert await runner.read(new_run("").run, stdout=0, stderr=0, limit=10) == Output()


@pytest.mark.parametrize("number", [1, 2, 9, 15])
async def test_death_by_signal_is_told(runner: Runner, new_run: NewRun, number: int) -> None:
    script = f"trap - {number}; kill -{number} $$; sleep 1"
    s = await runner.start(new_run(script), wait=10)
    if number == 2:  # ignored in background commands, and a shell cannot undo it
        assert s.exit_code in (0, 130)
    else:
        assert (s.exit_code, s.signal) == (128 + number, number)


async def test_binary_output_is_exact_to_20_megabytes(runner: Runner, new_run: NewRun, tmp_path: Path) -> None:
    size = 20 << 20
    data = os.urandom(size)
    path = tmp_path / "data"
    path.write_bytes(data)
    s = await runner.start(new_run(f"cat '{path}'; head -c 3000000 '{path}' >&2"), wait=30)
    assert (s.exit_code, s.stdout.kept, s.stderr.kept) == (0, size, 3000000)
    began = asyncio.get_running_loop().time()
    got = await whole(runner, s)
    assert hashlib.sha256(got.stdout).digest() == hashlib.sha256(data).digest()
    assert got.stderr == data[:3000000]
    assert asyncio.get_running_loop().time() - began < 20


@pytest.mark.parametrize(
    "text",
    [
        b"no newline at the end",
        b"\n",
        b"\n\n\n",
        b" lead and trail \n ",
        b"back\\slash\\n %s %d \\0101",
        b"tab\there",
    ],
)
async def test_small_text_is_inline_and_exact(runner: Runner, new_run: NewRun, text: bytes) -> None:
    s = await runner.start(new_run("cat; cat /dev/null >&2", stdin=text), wait=10)
    assert s.inline == (text, b"")


@pytest.mark.parametrize("text", [b"\0", b"a\0b\n", b"\x1f", bytes(range(256)), b"\xff\xfe\n", "grün\n".encode()])
async def test_small_binary_is_exact(runner: Runner, new_run: NewRun, text: bytes) -> None:
    s = await runner.start(new_run("cat", stdin=text), wait=10)
    assert s.stdout.kept == len(text)
    assert s.inline in (None, (text, b""))
    assert (await whole(runner, s)).stdout == text


async def test_a_script_may_hold_any_byte(runner: Runner, new_run: NewRun) -> None:
    script = b'cat "$0"; exit 9\n' + bytes(range(256)) * 3 + b"\\0101 \\ %s * ~ $HOME `x`"
    s = await runner.start(new_run(script), wait=10)
    assert s.exit_code == 9
    assert (await whole(runner, s)).stdout == script


async def test_a_large_script_and_input_are_staged(runner: Runner, new_run: NewRun) -> None:
    data = os.urandom(4 << 20)
    script = b"# " + b"x" * 200_000 + b"\ncat\n"
    s = await runner.start(new_run(script, stdin=data), wait=30)
    assert s.exit_code == 0
    assert hashlib.sha256((await whole(runner, s)).stdout).digest() == hashlib.sha256(data).digest()


async def test_the_other_end_of_the_inline_limit(runner: Runner, new_run: NewRun) -> None:
    for n in (4000, 15_000, 16_370, 16_390, 70_000):
        s = await runner.start(new_run("cat", stdin=b"y" * n), wait=20)
        assert s.stdout.kept == n


async def test_writing_to_dev_stderr_loses_nothing(runner: Runner, new_run: NewRun) -> None:
    s = await runner.start(new_run("echo a >/dev/stderr; echo b >/dev/stderr; echo c >>/dev/stdout"), wait=10)
    assert s.inline == (b"c\n", b"a\nb\n")


async def test_the_same_delivery_again_attaches(runner: Runner, launch: Launch, new_run: NewRun) -> None:
    request = new_run("echo x >>$HOME/witness; sleep 0.7; cat $HOME/witness; exit 5")
    assert (await runner.start(request)).state is RunState.RUNNING
    other = await launch()
    first, second = await asyncio.gather(runner.start(request, wait=10), other.start(request, wait=10))
    assert first.exit_code == second.exit_code == 5
    third = await other.start(request, wait=10)
    assert third.inline == (b"x\n", b"")


async def test_another_delivery_of_the_same_id_conflicts(runner: Runner, new_run: NewRun) -> None:
    request = new_run("true")
    await runner.start(request, wait=10)
    with pytest.raises(Conflict):
        await runner.start(new_run("false", run=request.run), wait=10)
    with pytest.raises(Conflict):
        await runner.start(new_run("#" * 50_000, run=request.run), wait=10)


async def test_a_cancel_before_the_start_leaves_a_tombstone(runner: Runner, launch: Launch, new_run: NewRun) -> None:
    request = new_run("echo x >>$HOME/witness")
    assert (await runner.cancel(request.run)).state is RunState.TOMBSTONE
    assert (await (await launch()).start(request, wait=5)).state is RunState.TOMBSTONE
    assert (await runner.start(request, wait=5)).state is RunState.TOMBSTONE
    assert (await runner.status(request.run)).state is RunState.TOMBSTONE
    assert (await runner.start(new_run("cat $HOME/witness"), wait=5)).exit_code != 0


async def test_a_cancel_that_races_a_start_is_believed_only_if_nothing_ran(
    runner: Runner, launch: Launch, new_run: NewRun, ended: Ended
) -> None:
    """C-12: whoever is told `tombstone` may rely on it; else the run is stopped like any other."""
    other, tombstones = await launch(), 0
    for i in range(24):
        request = new_run('touch "$HOME/$VENDETTA_RUN"; sleep 5', timeout=30, grace=0.2)
        start = asyncio.create_task(runner.start(request, wait=0.0))
        await asyncio.sleep(0.0005 * (i % 8))
        seen = await other.cancel(request.run)
        told = await start
        if seen.state is RunState.TOMBSTONE:
            tombstones += 1
            assert told.state is RunState.TOMBSTONE
        else:
            assert (await ended(other, request.run)).stop is StopReason.CANCEL
    probe = await runner.start(new_run('ls "$HOME" | grep -c "[.]1$"'), wait=10)
    assert probe.inline is not None
    assert int(probe.inline[0]) <= 24 - tombstones


async def test_a_cancel_after_the_end_changes_nothing(runner: Runner, new_run: NewRun) -> None:
    s = await runner.start(new_run("exit 7"), wait=10)
    assert await runner.cancel(s.run) == s
    assert await runner.status(s.run) == s


async def test_forty_starts_of_one_id_over_several_runners_execute_once(launch: Launch, new_run: NewRun) -> None:
    runners = [await launch() for _ in range(4)]
    request = new_run("echo x >>$HOME/witness; sleep 0.2; wc -l <$HOME/witness")
    got = await asyncio.gather(*(r.start(request, wait=20) for r in runners for _ in range(10)))
    assert {s.exit_code for s in got} == {0}
    assert {s.inline[0].strip() for s in got if s.inline} == {b"1"}


async def test_many_in_flight_do_not_mix(runner: Runner, new_run: NewRun) -> None:
    requests = [new_run(f"echo 'out {n} {'x' * n}'; echo err {n} >&2; exit {n}") for n in range(60)]
    got = await asyncio.gather(*(runner.start(r, wait=60) for r in requests))
    for n, s in enumerate(got):
        assert s.exit_code == n
        assert s.inline == (b"out %d %s\n" % (n, b"x" * n), b"err %d\n" % n)


async def test_a_long_run_holds_nobody_up(runner: Runner, new_run: NewRun) -> None:
    slow = new_run("sleep 20")
    await runner.start(slow)
    async with asyncio.timeout(5):
        assert (await runner.start(new_run("true"), wait=5)).exit_code == 0
        assert await runner.ping() < 5
        assert (await runner.probe()).boot_id == runner.info.boot_id
    await runner.cancel(slow.run)


async def test_gc_drops_output_and_keeps_the_claim(runner: Runner, new_run: NewRun) -> None:
    requests = [new_run(f"echo {n}; echo x >>$HOME/witness") for n in range(12)]
    for r in requests:
        await runner.start(r, wait=10)
    running = new_run("echo here; sleep 30")
    await runner.start(running, wait=0.5)
    fleeting = replace(new_run("true"), run=RunId(f"{FLEETING}{'a' * 20}.1"))
    await runner.start(fleeting, wait=10)
    await runner.gc([r.run for r in requests] + [running.run, new_run("").run, fleeting.run])
    assert (await runner.status(fleeting.run)).state is RunState.ABSENT
    s = await runner.start(requests[0], wait=5)
    assert (s.state, s.exit_code, s.inline) == (RunState.DONE, 0, None)
    assert await runner.read(s.run, stdout=0, stderr=0, limit=100) == Output()
    assert (await runner.start(new_run("wc -l <$HOME/witness"), wait=5)).inline[0].strip() == b"12"  # type: ignore[index]
    assert (await runner.read(running.run, stdout=0, stderr=0, limit=100)).stdout == b"here\n"
    await runner.cancel(running.run)


async def test_probe_says_what_the_node_is(runner: Runner) -> None:
    p = await runner.probe()
    assert p.uptime > 1
    assert p.facts["kernel"].startswith("Linux")
    assert int(p.facts["cpus"]) > 0
    assert {"arch", "hostname", "os", "memory_kib", "disk_free_kib"} <= set(p.facts)


async def test_runners_share_what_they_found_out_for_a_minute(node: Any, runner: Runner, launch: Launch) -> None:
    first = await runner.probe()
    found = node.directory / "P"
    boot, at, facts = found.read_text().split(" ", 2)
    found.write_text(f"{boot} {at} {facts.replace('os=', 'os=plan9 or ')}")
    second = await (await launch()).probe()
    assert second.facts["os"] == f"plan9 or {first.facts['os']}"
    assert second.facts.keys() == first.facts.keys()
    for outdated in (
        f"{boot} {int(at) - 6000} \x1fos=plan9 .\n",
        f"another {at} \x1fos=plan9 .\n",
        f"{boot} {at} \x1fos=",
    ):
        found.write_text(outdated)
        assert (await runner.probe()).facts["os"] == first.facts["os"]
        assert found.read_text().startswith(f"{boot} ")


async def test_after_close_every_verb_says_lost(runner: Runner, new_run: NewRun) -> None:
    closed: list[int] = []
    runner.on_close = lambda: closed.append(1)
    waiting = asyncio.create_task(runner.start(new_run("sleep 5"), wait=30))
    await asyncio.sleep(0.3)
    await runner.aclose()
    await runner.aclose()
    assert runner.closed
    assert closed == [1]
    with pytest.raises(ConnectionLost):
        await waiting
    for verb in (runner.start(new_run("true")), runner.status(new_run("").run), runner.probe(), runner.ping()):
        with pytest.raises(ConnectionLost):
            await verb


async def test_a_run_outlives_its_connection(launch: Launch, new_run: NewRun, ended: Ended) -> None:
    first = await launch()
    request = new_run("echo a; sleep 1; echo b; exit 6")
    await first.start(request)
    await first.aclose()
    second = await launch()
    s = await ended(second, request.run)
    assert (s.state, s.exit_code, s.inline) == (RunState.DONE, 6, (b"a\nb\n", b""))
