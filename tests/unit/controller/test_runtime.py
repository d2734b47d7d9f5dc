"""The work queue, the worker pool, the loops and failpoints, in virtual time."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping

import pytest

from controller.runtime.loops import Supervisor
from controller.runtime.queue import WorkQueue
from controller.runtime.reconcile import Result, TerminalError
from controller.runtime.worker import PATIENCE, WorkerPool
from tests.support.virtualtime import VirtualClock, run


async def get(queue: WorkQueue, timeout: float) -> str | None:
    """The next key, within that time."""
    return queue.take() if await queue.wait(timeout) else None


def test_a_key_waits_once_however_often_it_is_added() -> None:
    """Adding is idempotent until the key is taken."""

    async def scenario() -> None:
        queue = WorkQueue()
        for _ in range(5):
            queue.add("a")
        queue.add("b")
        assert (await get(queue, 1), await get(queue, 1), await get(queue, 1)) == ("a", "b", None)

    run(scenario())


def test_a_key_added_during_its_work_runs_once_more_and_never_twice_at_a_time() -> None:
    """The second round comes after `done`, not before."""

    async def scenario() -> None:
        queue = WorkQueue()
        queue.add("a")
        assert await get(queue, 1) == "a"
        queue.add("a")
        queue.add("a")
        assert await get(queue, 1) is None
        queue.done("a")
        assert await get(queue, 1) == "a"
        queue.done("a")
        assert await get(queue, 1) is None

    run(scenario())


def test_the_earliest_of_several_times_counts() -> None:
    """add_after keeps the earliest time; add is at once and drops the timer."""

    async def scenario() -> None:
        loop, queue = asyncio.get_running_loop(), WorkQueue()
        queue.add_after("a", 10)
        queue.add_after("a", 3)
        queue.add_after("a", 20)
        assert await get(queue, 60) == "a"
        assert loop.time() == pytest.approx(3)
        queue.done("a")
        assert await get(queue, 60) is None

    run(scenario())


def test_failures_wait_longer_each_time_and_no_longer_than_the_limit() -> None:
    """Exponential back-off for each key; forget starts anew."""

    async def scenario() -> None:
        queue = WorkQueue()
        delays = [queue.retry("a") for _ in range(12)]
        assert delays[0] < 0.5 < delays[3] < delays[6]
        assert max(delays) <= 30.2
        queue.forget("a")
        assert queue.retry("a") < 0.5
        queue.close()

    run(scenario())


class Recorder:
    """A reconciler that fails as told and counts."""

    def __init__(
        self, failures: int = 0, error: type[Exception] = RuntimeError, seconds: Mapping[str, float] | None = None
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most = 0
        self.failures, self.error = failures, error
        self.seconds = seconds or {}

    async def reconcile(self, name: str) -> Result:
        """Take a quarter of a second, or what was asked for."""
        self.calls[name] += 1
        self.under_way[name] += 1
        assert self.under_way[name] == 1
        self.most = max(self.most, self.under_way.total())
        await asyncio.sleep(self.seconds.get(name, 0.25))
        self.under_way[name] -= 1
        if self.calls[name] <= self.failures:
            raise self.error("not yet")
        return Result()


async def work(recorder: Recorder, keys: list[str], seconds: float, workers: int = 4) -> Counter[str]:
    """Let a pool work for a while; how its reconciles ended."""
    ended: Counter[str] = Counter()
    queue = WorkQueue()
    pool = WorkerPool("Thing", queue, recorder, workers, lambda outcome, _: ended.update([outcome]))
    supervisor = Supervisor(VirtualClock())
    for key in keys:
        queue.add(key)
    supervisor.start("pool", pool.round)
    await asyncio.sleep(seconds)
    await supervisor.aclose()
    await pool.drain(1)
    return ended


def test_so_many_workers_and_no_more() -> None:
    """The pool's size bounds the reconciles under way."""

    async def scenario() -> None:
        recorder = Recorder()
        ended = await work(recorder, [f"k{i}" for i in range(20)], 30)
        assert ended == Counter(success=20)
        assert recorder.most == 4

    run(scenario())


def test_those_that_only_wait_keep_no_other_from_its_turn() -> None:
    """More hanging keys than workers delay the rest by the pool's patience, and are still finished and counted."""

    async def scenario() -> None:
        hanging = {f"hanging-{i}": 30.0 for i in range(12)}
        recorder = Recorder(seconds=hanging)
        task = asyncio.create_task(work(recorder, [*hanging, "live"], 60))
        await asyncio.sleep(3 * PATIENCE + 0.3)
        assert (recorder.calls["live"], recorder.under_way["live"]) == (1, 0)
        assert recorder.under_way.total() == len(hanging)
        assert await task == Counter(success=13)

    run(scenario())


def test_the_busy_get_the_places_of_those_that_hang() -> None:
    """Also while somebody is done all the time: three of four places are not lost to those that wait."""

    async def scenario() -> None:
        keys = [f"k{i}" for i in range(64)]
        recorder = Recorder(seconds={"a": 1e4, "b": 1e4, "c": 1e4})
        await work(recorder, ["a", "b", "c", *keys], PATIENCE + 64 * 0.25 / 4 + 0.5)
        assert sum(recorder.calls[key] - recorder.under_way[key] for key in keys) == 64

    run(scenario())


def test_what_was_set_aside_is_cancelled_with_the_rest_at_the_end() -> None:
    """Nothing outlives the pool."""

    async def scenario() -> None:
        before = asyncio.all_tasks()
        await work(Recorder(seconds={f"k{i}": 1e4 for i in range(9)}), [f"k{i}" for i in range(9)], 5)
        assert asyncio.all_tasks() == before

    run(scenario())


def test_errors_are_tried_again_and_terminal_ones_are_not() -> None:
    """Any exception backs off; TerminalError waits for a change."""

    async def scenario() -> None:
        assert await work(Recorder(failures=3), ["a"], 60) == Counter(error=3, success=1)
        assert await work(Recorder(failures=3, error=TerminalError), ["a"], 60) == Counter(terminal=1)

    run(scenario())


def test_a_broken_loop_is_started_again_and_a_hanging_one_is_named() -> None:
    """Loops publish progress; `stuck` names those without it."""

    async def scenario() -> None:
        rounds: Counter[str] = Counter()

        async def breaks() -> None:
            rounds["breaks"] += 1
            if rounds["breaks"] < 4:
                raise RuntimeError("broken")
            await asyncio.sleep(5)

        async def hangs() -> None:
            await asyncio.Event().wait()

        supervisor = Supervisor(VirtualClock(), lambda name: rounds.update([f"{name} progressed"]))
        supervisor.start("breaks", breaks)
        supervisor.start("hangs", hangs)
        await asyncio.sleep(50)
        assert supervisor.stuck() == []
        await asyncio.sleep(50)
        assert supervisor.stuck() == ["hangs"]
        assert rounds["breaks progressed"] > 10
        await supervisor.aclose()

    run(scenario())


def test_a_failpoint_ends_the_process_at_its_nth_passage() -> None:
    """VENDETTA_FAILPOINT=name:3 passes twice and then ends the process as SIGKILL does."""
    script = (
        "import os\n"
        "from controller.runtime.failpoint import from_environment\n"
        "here = from_environment(os.environ)\n"
        "for i in range(5): print(i, flush=True); here('other'); here('there')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "VENDETTA_FAILPOINT": "there:3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]
