"""Agents that know only `POST /api/v1/execute`: at most one POST for each run, and its answer is all there is.

Nothing on such a node keeps the run protocol's promises: no claim, no time limit of ours, no cancel. What is promised
is what can be: a run is posted once, and what is not known is LOST, never posted again. Results are `presumed`.
"""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from transports.base import (
    FLEETING,
    Output,
    Probe,
    RunId,
    RunState,
    RunStatus,
    SessionInfo,
    StartRequest,
    StreamState,
)
from transports.errors import Conflict, ConnectionLost, Rejected, TransportError, Unreachable, described
from transports.http.session import read_json
from transports.wire import Malformed

BOOT_ID = "not-told"
_GRACE = 30.0
"""Seconds beyond a command's own time limit and grace for its answer to arrive."""
_REFUSAL_PATIENCE = 1.0
_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(slots=True)
class _Posted:
    """One run as far as this side knows it."""

    digest: str
    status: RunStatus
    output: Output = field(default_factory=Output)
    task: "asyncio.Task[None] | None" = None
    refusal: TransportError | None = None
    """Why it did not run, where that is known."""


class ForeignSession:
    """Implements `transports.base.Session` with what such an agent offers. It knows its own runs only."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self.info = SessionInfo(boot_id=BOOT_ID, runner="execute/1")
        self.on_end: Callable[[RunStatus], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self._client = client
        self._runs: dict[RunId, _Posted] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether this session is over."""
        return self._closed

    async def start(self, request: StartRequest, *, wait: float = 0.0) -> RunStatus:
        """POST it, unless that was done before. Refusals come soon: they are waited for."""
        self._check_open()
        if request.stdin:
            raise Rejected("the node's agent takes no input for a command: leave stdin, shell and run_as out")
        run = self._runs.get(request.run)
        if run is None or run.status.state is RunState.ABSENT:
            run = self._runs[request.run] = _Posted(request.digest, self._state(request.run, RunState.RUNNING))
            run.task = asyncio.create_task(self._post(run, request), name=f"execute:{request.run}")
        elif run.digest != request.digest:
            raise Conflict(f"run {request.run} was posted with other contents")
        if run.task is not None:
            await asyncio.wait((run.task,), timeout=max(wait, _REFUSAL_PATIENCE))
        if run.refusal is not None:
            raise run.refusal
        return run.status

    async def status(self, run: RunId) -> RunStatus:
        """What is known: a run of an earlier session may have been posted, and what became of it nobody can tell."""
        self._check_open()
        known = self._runs.get(run)
        return known.status if known is not None else self._state(run, RunState.LOST)

    async def read(self, run: RunId, *, stdout: int, stderr: int, limit: int) -> Output:
        """From what the answer held."""
        self._check_open()
        known = self._runs.get(run)
        if known is None:
            return Output()
        out = known.output.stdout[stdout : stdout + limit]
        return Output(stdout=out, stderr=known.output.stderr[stderr : stderr + max(0, limit - len(out))])

    async def cancel(self, run: RunId) -> RunStatus:
        """Such an agent cannot be told to stop: a command runs to its end, unless it was never sent."""
        known = self._runs.get(run)
        if known is not None and known.status.state is RunState.ABSENT:
            known.status, known.refusal = self._state(run, RunState.TOMBSTONE), None
        return await self.status(run)

    async def gc(self, runs: Sequence[RunId]) -> None:
        """Forget the output; that they were posted is remembered."""
        for run in runs:
            if run.startswith(FLEETING):
                self._runs.pop(run, None)
            elif (known := self._runs.get(run)) is not None:
                known.output = Output()

    async def probe(self) -> Probe:
        """Whether its `/health` answers, or anything does."""
        self._check_open()
        try:
            async with asyncio.timeout(10), self._client.get("/health", allow_redirects=False) as response:
                if response.status >= 500:
                    raise Unreachable(f"the node's agent says that it is not well: status {response.status}")
        except (aiohttp.ClientError, OSError) as exc:
            self._over()
            raise ConnectionLost(f"asking the node's agent for its health: {described(exc)}") from exc
        return Probe(boot_id=BOOT_ID, uptime=0.0, facts={"agent": "execute/1"})

    async def aclose(self) -> None:
        """Close. Answers that are still awaited are given up, and their runs are LOST to whoever asks next."""
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._over()
        await self._client.close()

    async def _post(self, run: _Posted, request: StartRequest) -> None:
        limit = request.timeout + request.grace + _GRACE
        body = {
            "cmd": request.script.decode(errors="surrogateescape"),
            "env": {},
            "timeout": math.ceil(request.timeout),
            "capture_output": True,
        }
        headers = {"Idempotency-Key": request.run}
        try:
            async with (
                asyncio.timeout(limit),
                self._client.post("/api/v1/execute", json=body, headers=headers, allow_redirects=False) as response,
            ):
                self._judge(run, response.status, await read_json(response))
        except _UNSENT as exc:  # it never left, and may go out later
            run.status = self._state(request.run, RunState.ABSENT)
            run.refusal = ConnectionLost(f"posting a command: {exc}")
        except (aiohttp.ClientError, OSError, Malformed):
            run.status = self._state(request.run, RunState.LOST)
        finally:
            run.task = None
        if self.on_end is not None:
            self.on_end(run.status)

    def _judge(self, run: _Posted, status: int, answer: Any) -> None:
        if status in {400, 401, 403, 404, 405, 413, 415, 422}:
            run.status = replace(run.status, state=RunState.LOST)
            run.refusal = Rejected(f"the node's agent refused the command with status {status}: {_excerpt(answer)}")
            return
        if status != 200 or not isinstance(answer, dict):
            raise Malformed(f"status {status}")
        code = answer.get("exit_code")
        if not isinstance(code, int) or isinstance(code, bool):
            raise Malformed("no exit code")
        out, err = (_bytes(answer.get(key)) for key in ("output", "error"))
        run.output = Output(stdout=out, stderr=err)
        run.status = replace(
            run.status,
            state=RunState.DONE,
            exit_code=code & 255,
            duration=_nanoseconds(answer.get("duration")),
            stdout=StreamState(kept=len(out), total=len(out)),
            stderr=StreamState(kept=len(err), total=len(err)),
        )

    def _state(self, run: RunId, state: RunState) -> RunStatus:
        return RunStatus(run=run, state=state, boot_id=BOOT_ID, presumed=True)

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection to the node's agent has ended")

    def _over(self) -> None:
        if not self._closed:
            self._closed = True
            if self.on_close:
                self.on_close()


def _bytes(output: object) -> bytes:
    """Output as it was before an agent made text of it; what was no text may have become surrogates (PEP 383)."""
    text = str(output or "")
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _nanoseconds(duration: object) -> int | None:
    """Of a number of seconds; whatever else it says is not relied on."""
    if isinstance(duration, (int, float)) and not isinstance(duration, bool) and 0 <= duration < 1e9:
        return round(duration * 1e9)
    return None


def _excerpt(answer: object) -> str:
    return json.dumps(answer)[:200]
