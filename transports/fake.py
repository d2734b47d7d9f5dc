"""A fleet in memory: nodes that keep the run protocol's promises without any machine.

For trying things out and for tests: nodes can be switched off, refuse, reboot, lose connections at chosen moments,
and count what they really executed. It passes the same suite as the real transports.
"""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from transports.base import (
    FLEETING,
    Endpoint,
    Output,
    Probe,
    RunId,
    RunState,
    RunStatus,
    SessionInfo,
    StartRequest,
    StopReason,
    StreamState,
)
from transports.errors import Conflict, ConnectionLost, CredentialRebindRequired, TransportError, Unreachable

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a script does: how long it takes (seconds), what it writes, how it ends."""

    seconds: float = 0.0
    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


Behaviour = Callable[[StartRequest], Outcome]


def succeed(request: StartRequest) -> Outcome:
    """Every script succeeds at once and echoes itself."""
    return Outcome(stdout=request.script)


@dataclass(slots=True)
class FakeRun:
    """One run on a fake node."""

    digest: str
    outcome: Outcome
    began: float
    limit: float
    boot_id: str
    stopped: StopReason = StopReason.NONE
    ended: float | None = None
    tombstone: bool = False
    supervised: bool = True


@dataclass(slots=True, eq=False)
class FakeNode:
    """A machine that exists in memory only. `executed` is the ground truth: how often each run really ran."""

    behaviour: Behaviour = succeed
    up: bool = True
    refusal: TransportError | None = None
    host_key: str | None = None
    checks_bound_key: bool = True
    """Whether the transport looks at the key that the credential is bound to, as it should."""
    latency: float = 0.0
    inline: int = 0
    """Output up to so many bytes comes with the answer, as from a real runner."""
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    runs: dict[RunId, FakeRun] = field(default_factory=dict)
    executed: Counter[RunId] = field(default_factory=Counter)
    sessions: set["FakeSession"] = field(default_factory=set)
    trouble: Callable[[str], None] | None = None
    """Called with what is about to happen (connect, start, claimed, status, read, cancel, gc, probe); may raise."""
    lose_before_claim: int = 0
    lose_after_claim: int = 0

    def meet(self, what: str) -> None:
        """Let trouble happen."""
        if self.trouble is not None:
            self.trouble(what)

    def drop_connections(self) -> None:
        """Cut every connection; runs go on."""
        for session in tuple(self.sessions):
            session.drop()

    def power_off(self) -> None:
        """Go silent; runs go on behind the wall."""
        self.up = False
        self.drop_connections()

    def reboot(self, *, forget: Sequence[RunId] = ()) -> None:
        """Start anew: what ran is lost, and claims named in `forget` never reached the disk."""
        self.drop_connections()
        self.boot_id = str(uuid.uuid4())
        for run in self.runs.values():
            run.supervised = run.supervised and run.ended is not None
        for run_id in forget:
            self.runs.pop(run_id, None)

    def kill_supervisor(self, run: RunId) -> None:
        """End the process that watches a run: how the run ends will not be known."""
        self.runs[run].supervised = False


class FakeSession:
    """A session to a fake node."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self._closed = False
        self.info = SessionInfo(boot_id=node.boot_id, runner="fake", host_key=node.host_key)
        self.on_end: Callable[[RunStatus], None] | None = None
        self.on_close: Callable[[], None] | None = None
        node.sessions.add(self)

    @property
    def closed(self) -> bool:
        """Whether this session is over."""
        return self._closed

    async def start(self, request: StartRequest, *, wait: float = 0.0) -> RunStatus:
        """Claim and run, at most once."""
        await self._travel("start")
        if self._node.lose_before_claim > 0:
            self._node.lose_before_claim -= 1
            self._lose()
        known = self._node.runs.get(request.run)
        if known is None:
            known = self._claim(request)
        elif not known.tombstone and known.digest != request.digest:
            raise Conflict(f"run {request.run} was claimed with another digest")
        self._node.meet("claimed")
        if self._node.lose_after_claim > 0:
            self._node.lose_after_claim -= 1
            self._lose()
        left = min(wait, self._left(known))
        if left > 0:
            await asyncio.sleep(left)
            self._check()
        return self._status(request.run)

    async def status(self, run: RunId) -> RunStatus:
        """What the node knows about a run."""
        await self._travel("status")
        return self._status(run)

    async def read(self, run: RunId, *, stdout: int, stderr: int, limit: int) -> Output:
        """Output from those offsets on."""
        await self._travel("read")
        outcome = self._node.runs[run].outcome
        if self._status(run).state is not RunState.DONE:
            return Output()
        out = outcome.stdout[stdout : stdout + limit]
        return Output(stdout=out, stderr=outcome.stderr[stderr : stderr + max(0, limit - len(out))])

    async def cancel(self, run: RunId) -> RunStatus:
        """Stop a run, or make sure that it never starts."""
        await self._travel("cancel")
        known = self._node.runs.get(run)
        if known is None:
            self._node.runs[run] = FakeRun("", Outcome(), 0, 0, self._node.boot_id, tombstone=True)
        elif self._left(known) > 0:
            known.stopped, known.ended = StopReason.CANCEL, asyncio.get_running_loop().time()
        return self._status(run)

    async def gc(self, runs: Sequence[RunId]) -> None:
        """Keep the claims, drop the output; of fleeting runs keep nothing."""
        await self._travel("gc")
        for run in runs:
            if run.startswith(FLEETING):
                self._node.runs.pop(run, None)
            elif run in self._node.runs:
                self._node.runs[run].outcome = Outcome()

    async def probe(self) -> Probe:
        """Answer."""
        await self._travel("probe")
        uptime = asyncio.get_running_loop().time()
        return Probe(boot_id=self._node.boot_id, uptime=uptime, facts={"os": "fake", "load": f"{uptime % 7:.2f}"})

    async def aclose(self) -> None:
        """Close."""
        self.drop()

    def drop(self) -> None:
        """End this session from the node's side."""
        if self._closed:
            return
        self._closed = True
        self._node.sessions.discard(self)
        if self.on_close is not None:
            self.on_close()

    def _claim(self, request: StartRequest) -> FakeRun:
        loop = asyncio.get_running_loop()
        self._node.executed[request.run] += 1
        outcome = self._node.behaviour(request)
        run = FakeRun(request.digest, outcome, loop.time(), request.timeout, self._node.boot_id)
        self._node.runs[request.run] = run
        loop.call_later(min(outcome.seconds, request.timeout), self._tell_end, request.run)
        return run

    def _tell_end(self, run: RunId) -> None:
        if not self._closed and self.on_end is not None and run in self._node.runs:
            self.on_end(self._status(run))

    def _status(self, run: RunId) -> RunStatus:
        known = self._node.runs.get(run)
        boot_id = self._node.boot_id
        if known is None:
            return RunStatus(run=run, state=RunState.ABSENT, boot_id=boot_id)
        if known.tombstone:
            return RunStatus(run=run, state=RunState.TOMBSTONE, boot_id=boot_id)
        if not known.supervised:
            return RunStatus(run=run, state=RunState.LOST, boot_id=boot_id)
        if self._left(known) > 0:
            return RunStatus(run=run, state=RunState.RUNNING, boot_id=boot_id)
        return self._done(run, known)

    def _done(self, run: RunId, known: FakeRun) -> RunStatus:
        outcome, stop = known.outcome, known.stopped
        if stop is StopReason.NONE and outcome.seconds > known.limit:
            stop = StopReason.TIMEOUT
        known.ended = known.ended or known.began + min(outcome.seconds, known.limit)
        code = outcome.exit_code if stop is StopReason.NONE else 143
        small = len(outcome.stdout) + len(outcome.stderr) <= self._node.inline
        return RunStatus(
            run=run,
            state=RunState.DONE,
            boot_id=self._node.boot_id,
            stop=stop,
            exit_code=code,
            signal=code - 128 if 128 < code < 160 else None,
            duration=round((known.ended - known.began) * NANOSECONDS),
            stdout=StreamState(kept=len(outcome.stdout), total=len(outcome.stdout)),
            stderr=StreamState(kept=len(outcome.stderr), total=len(outcome.stderr)),
            inline=(outcome.stdout, outcome.stderr) if small else None,
        )

    def _left(self, run: FakeRun) -> float:
        if run.ended is not None or run.tombstone:
            return 0.0
        return run.began + min(run.outcome.seconds, run.limit) - asyncio.get_running_loop().time()

    async def _travel(self, what: str) -> None:
        self._check()
        await asyncio.sleep(self._node.latency)
        self._check()
        try:
            self._node.meet(what)
        except ConnectionLost:
            self.drop()
            raise

    def _check(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection to the fake node was lost")

    def _lose(self) -> None:
        self.drop()
        self._check()


class FakeTransport:
    """Opens sessions to the nodes of a fleet, found by address."""

    def __init__(
        self, nodes: dict[str, FakeNode] | None = None, *, everywhere: Callable[[], FakeNode] | None = None
    ) -> None:
        self.nodes = nodes if nodes is not None else {}
        self._everywhere = everywhere
        self.connects = itertools.count()

    async def connect(self, endpoint: Endpoint) -> FakeSession:
        """Connect to the node at that address; `everywhere` makes one at every address."""
        next(self.connects)
        node = self.nodes.get(endpoint.address)
        if node is None and self._everywhere is not None:
            node = self.nodes[endpoint.address] = self._everywhere()
        if node is None:
            raise Unreachable(f"no node at {endpoint.address}")
        await asyncio.sleep(node.latency)
        node.meet("connect")
        if node.refusal is not None:
            raise node.refusal
        if (
            node.checks_bound_key
            and node.host_key is not None
            and endpoint.bound_host_key not in {None, node.host_key}
        ):
            raise CredentialRebindRequired(
                node=endpoint.node,
                credential=endpoint.credential_ref,
                bound_to=[endpoint.place],
                place=endpoint.place,
                presented=node.host_key,
            )
        if not node.up:
            raise Unreachable(f"the node at {endpoint.address} does not answer")
        return FakeSession(node)

    async def aclose(self) -> None:
        """Nothing to release."""
