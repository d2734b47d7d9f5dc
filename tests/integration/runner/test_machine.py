"""Deliver, redeliver, kill, cancel, collect and clean up in any order: the node does what its model allows."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.integration.runner.conftest import LANGUAGES, Node, shell_path
from tests.support import processes, runs
from transports.base import RunId, RunState, RunStatus, StartRequest, StopReason
from transports.errors import Conflict, ConnectionLost, StartRefused
from transports.runner.client import Runner

T = TypeVar("T")

GOING = (RunState.RUNNING, RunState.ORPHAN)
NEXT = {
    RunState.ABSENT: set(RunState),
    RunState.RUNNING: {RunState.RUNNING, RunState.ORPHAN, RunState.DONE, RunState.LOST},
    RunState.ORPHAN: {RunState.ORPHAN, RunState.LOST, RunState.DONE},
    RunState.DONE: {RunState.DONE},
    RunState.LOST: {RunState.LOST},
    RunState.TOMBSTONE: {RunState.TOMBSTONE},
}
"""What may be seen of a run after what was seen of it before."""
SCRIPTS = {
    "quick": ("echo {run}", b"{run}\n", 0),
    "wordy": ("head -c 5000 /dev/zero", bytes(5000), 0),
    "slow": ("echo one; sleep 0.3; echo two; exit 3", b"one\ntwo\n", 3),
    "endless": ("echo begun; setsid sleep 40 & sleep 40", b"begun\n", 0),
}
RUNS = st.integers(0, 4)
SESSIONS = st.integers(0, 1)
WAITS = st.sampled_from([0.0, 0.05, 1.0])


@dataclass
class Model:
    """What is known of one run."""

    request: StartRequest
    sort: str
    output: bytes
    exit_code: int
    state: RunState = RunState.ABSENT
    last: RunStatus | None = None
    unsupervised: bool = False
    cancelled: bool = False
    cleaned: bool = False

    def saw(self, status: RunStatus) -> None:
        """Compare with what was seen before, and remember it."""
        assert status.state in NEXT[self.state], f"{self.state} became {status.state}"
        assert status.state is not RunState.LOST or self.unsupervised, "lost, though its supervisor was left alone"
        if self.state is RunState.DONE and self.last is not None:
            assert facts(status) == facts(self.last), "an end changed"
        if status.state is RunState.DONE:
            self._check_end(status)
        self.state, self.last = status.state, status

    def _check_end(self, status: RunStatus) -> None:
        if status.stop is StopReason.NONE:
            assert status.exit_code == self.exit_code
            assert self.sort != "endless"
        else:
            assert self.cancelled
            assert status.stop is StopReason.CANCEL


def facts(status: RunStatus) -> tuple[object, ...]:
    """What must stay of a status."""
    return status.exit_code, status.signal, status.stop, status.duration, status.stdout, status.stderr


class _RunnerMachine(RuleBasedStateMachine):
    """Five runs, two sessions, one node with a real shell."""

    flavour = "dash"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.root = Path(tempfile.mkdtemp(prefix="runner-"))
        (home := self.root / "home").mkdir()
        shell, path = shell_path(self.flavour, self.root / "bin")
        environment = {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "USER": "root", "LOGNAME": "root"}
        self.node = Node(home=home, shell=shell, flavour=self.flavour, env=environment)
        self.sessions: dict[int, tuple[Runner, int]] = {}
        self.models = [self._model(sort) for sort in (*SCRIPTS, "quick")]

    def _model(self, sort: str) -> Model:
        run = runs.new_run()
        script, output, code = SCRIPTS[sort]
        text = f"echo {run} >>$HOME/truth; {script.format(run=run)}"
        request = StartRequest(run=run, script=text.encode(), timeout=30, grace=1)
        return Model(request, sort, output.replace(b"{run}", run.encode()), code)

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(doing, 30))

    async def session(self, number: int) -> Runner:
        known = self.sessions.get(number)
        if known is None or known[0].closed:
            before = len(self.node.channels)
            runner = await self.node.launch()
            known = self.sessions[number] = (runner, self.node.channels[before].process.pid)
        return known[0]

    # -- rules -----------------------------------------------------------------------------------------------------

    @rule(run=RUNS, session=SESSIONS, wait=WAITS)
    def start(self, run: int, session: int, wait: float) -> None:
        self.run(self._start(self.models[run], session, wait))

    @rule(run=RUNS, wait=WAITS)
    def start_twice_at_once(self, run: int, wait: float) -> None:
        async def both() -> None:
            await asyncio.gather(*(self._start(self.models[run], session, wait) for session in (0, 0, 1)))

        self.run(both())

    async def _start(self, model: Model, session: int, wait: float) -> None:
        model.saw(await (await self.session(session)).start(model.request, wait=wait))
        assert model.state is not RunState.ABSENT

    @rule(run=RUNS, session=SESSIONS)
    def start_something_else_under_that_id(self, run: int, session: int) -> None:
        model = self.models[run]
        if model.state in {RunState.ABSENT, RunState.TOMBSTONE}:
            return
        other = StartRequest(run=model.request.run, script=b"echo other >>$HOME/truth")
        with pytest.raises(Conflict):
            self.run(self._other(session, other))

    async def _other(self, session: int, request: StartRequest) -> None:
        await (await self.session(session)).start(request, wait=1)

    @rule(run=RUNS, session=SESSIONS, after=st.floats(0, 0.03))
    def die_while_starting(self, run: int, session: int, after: float) -> None:
        """The runner is killed somewhere on the way: whether it claimed anything is for `status` to tell."""
        self.run(self._die_while_starting(self.models[run], session, after))

    async def _die_while_starting(self, model: Model, session: int, after: float) -> None:
        runner = await self.session(session)
        task = asyncio.create_task(runner.start(model.request, wait=1))
        await asyncio.sleep(after)
        self._kill(self.sessions.pop(session)[1])
        await runner.aclose()
        with contextlib.suppress(ConnectionLost, StartRefused):
            model.saw(await task)

    @rule(run=RUNS, session=SESSIONS)
    def status(self, run: int, session: int) -> None:
        self.run(self._status(self.models[run], session))

    async def _status(self, model: Model, session: int = 0) -> RunState:
        model.saw(await (await self.session(session)).status(model.request.run))
        return model.state

    @rule(run=RUNS, session=SESSIONS)
    def cancel(self, run: int, session: int) -> None:
        self.run(self._cancel(self.models[run], session))

    async def _cancel(self, model: Model, session: int = 0) -> None:
        model.cancelled = True
        model.saw(await (await self.session(session)).cancel(model.request.run))
        assert model.state is not RunState.ABSENT

    @rule(run=RUNS, session=SESSIONS)
    def collect(self, run: int, session: int) -> None:
        """What can be read is the beginning of what was written; all of it, once the run has ended by itself."""
        self.run(self._collect(self.models[run], session))

    async def _collect(self, model: Model, session: int) -> None:
        await self._status(model, session)
        if model.cleaned or model.last is None or model.state in {RunState.ABSENT, RunState.TOMBSTONE}:
            return
        runner, size = await self.session(session), model.last.stdout.kept
        output = (await runner.read(model.request.run, stdout=0, stderr=0, limit=1 << 20)).stdout
        assert len(output) >= size
        assert model.output.startswith(output)
        if model.state is RunState.DONE and model.last.stop is StopReason.NONE:
            assert output == model.output

    @rule(run=RUNS, session=SESSIONS)
    def clean_up(self, run: int, session: int) -> None:
        """Only what has ended; its claim stays, so that it still cannot start."""
        model = self.models[run]
        if self.run(self._status(model, session)) in {RunState.DONE, RunState.LOST}:
            self.run(self._gc(session, model.request.run))
            model.cleaned = True

    async def _gc(self, session: int, run: RunId) -> None:
        await (await self.session(session)).gc([run])

    @rule(session=SESSIONS)
    def kill_a_runner(self, session: int) -> None:
        known = self.sessions.pop(session, None)
        if known is not None:
            self._kill(known[1])
            self.run(known[0].aclose())

    @rule()
    def kill_the_reapers(self) -> None:
        for pid, arguments in self.node.processes().items():
            if arguments.rstrip().endswith(" reap"):
                self._kill(pid)

    @rule(run=RUNS)
    def kill_a_supervisor(self, run: int) -> None:
        model = self.models[run]
        log = next(iter((self.node.home / ".vendetta").glob(f"*/v1/{model.request.run}.l")), None)
        claims = [line.split() for line in log.read_text().splitlines()] if log is not None else []
        for claim in claims:
            if claim[:1] == ["c"] and processes.started(int(claim[6])) == claim[7]:
                model.unsupervised = True
                self._kill(int(claim[6]))
                for number, (runner, own) in [*self.sessions.items()]:
                    if own == int(claim[6]):  # a runner in perl
                        del self.sessions[number]
                        self.run(runner.aclose())
            break

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        for model in self.models:  # a runner in perl is the supervisor of all its runs
            model.unsupervised |= self.flavour in LANGUAGES

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def nothing_ran_twice(self) -> None:
        truth = self._truth()
        assert len(truth) == len(set(truth)), "executed twice"
        assert "other" not in truth
        for model in self.models:
            ran = model.request.run in truth
            assert not (model.state is RunState.TOMBSTONE and ran), "cancelled before its start, and ran"
            if model.state is RunState.DONE and model.last is not None and model.last.stop is StopReason.NONE:
                assert ran, "said to have ended by itself, and never ran"

    def _truth(self) -> list[str]:
        path = self.node.home / "truth"
        return path.read_text().split() if path.exists() else []

    def teardown(self) -> None:
        """Everything ends, killed and cancelled or not, and everything that it started is gone."""
        try:
            self.run(self._end())
            self.nothing_ran_twice()
        finally:
            self.node.end_processes()
            self.run(self._close())
            self.loop.close()
            shutil.rmtree(self.root, ignore_errors=True)  # what was just killed may still remove a file of its own

    async def _end(self) -> None:
        for model in self.models:
            if await self._status(model) in GOING and model.sort == "endless":
                await self._cancel(model)
            while await self._status(model) in GOING:  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.05)

    async def _close(self) -> None:
        for runner, _ in self.sessions.values():
            await runner.aclose()
        for channel in self.node.channels:
            await channel.aclose()


@pytest.mark.parametrize("flavour", ["dash", "busybox", "perl", "perl+sh"])
def test_a_node_behaves_as_its_model(flavour: str) -> None:
    """C-9, C-12: at most one execution, ends that stay, output that is what was written."""
    if not shutil.which(flavour.partition("+")[0]):
        pytest.skip(f"{flavour} is not installed")
    machine = type(f"{flavour}Machine", (_RunnerMachine,), {"flavour": flavour})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("VENDETTA_MACHINE_EXAMPLES", "8")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            phases=[Phase.generate],  # races do not shrink
        ),
    )
