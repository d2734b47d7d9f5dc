"""`POST /api/v1/execute`: one command, answered when it has ended, for callers that know only this.

    {"cmd", "env"?, "working_dir"?, "timeout"?, "user"?, "capture_output"?}
        -> {"exit_code", "output", "error", "duration", "start", "end"}

`cmd` is a shell line or a list of arguments, `timeout` and `duration` are seconds. `error` is what the command wrote
to its standard error, or why it has no exit code. It goes through the run protocol like any other: an
`Idempotency-Key` makes a repeated request answer with the first one's result.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from transports.agent.local import LocalNode
from transports.base import Output, RunId, RunState, RunStatus, StartRequest, StopReason
from transports.script import Script, ScriptInvalid, compose
from transports.verbs import READ_LIMIT, Read, Start
from transports.wire import Malformed, load

TIMEOUT = 300.0
OUTPUT_LIMIT = 4 * 1024 * 1024
"""Bytes of output that an answer holds."""
_ROUND = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What may be given besides `cmd`."""

    env: dict[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    timeout: float = TIMEOUT
    user: str | None = None
    capture_output: bool = True


async def execute(node: LocalNode, body: object, *, key: str | None = None) -> dict[str, Any]:
    """Run it. Raises Malformed, and TransportError when nothing is known of the run."""
    rest = load(_Rest, body)
    script = _script(body, rest)
    uid = uuid.uuid4().hex if key is None else hashlib.sha256(f"execute {key}".encode()).hexdigest()[:32]
    run = RunId(f"{uid}.1")
    request = StartRequest(run=run, script=script.script, stdin=script.stdin, timeout=rest.timeout)
    began = datetime.now(UTC)
    while True:  # the same start again only waits on
        answer = await node.perform(Start(request=request, wait=_ROUND))
        assert isinstance(answer, RunStatus)
        if answer.state not in {RunState.RUNNING, RunState.ORPHAN}:
            break
    output = await _output(node, answer) if rest.capture_output else Output()
    return _result(answer, output, began)


def _script(body: object, rest: _Rest) -> Script:
    cmd = body.get("cmd") if isinstance(body, Mapping) else None
    asked: dict[str, Any] = {}
    if isinstance(cmd, str) and cmd.strip():
        asked["action"] = cmd
    elif isinstance(cmd, list) and cmd and all(isinstance(word, str) for word in cmd):
        asked["argv"] = cmd
    else:
        raise Malformed("cmd: a shell line or a list of arguments expected")
    try:
        return compose(**asked, env=rest.env, cwd=rest.working_dir, run_as=rest.user)
    except ScriptInvalid as error:
        raise Malformed(str(error)) from error


async def _output(node: LocalNode, status: RunStatus) -> Output:
    if status.inline is not None:
        return Output(stdout=status.inline[0], stderr=status.inline[1])
    out = err = b""
    while len(out) + len(err) < OUTPUT_LIMIT:
        more = await node.perform(Read(run=status.run, stdout=len(out), stderr=len(err), limit=READ_LIMIT))
        assert isinstance(more, Output)
        if not more.stdout and not more.stderr:
            break
        out, err = out + more.stdout, err + more.stderr
    return Output(stdout=out, stderr=err)


def _result(status: RunStatus, output: Output, began: datetime) -> dict[str, Any]:
    seconds = (status.duration or 0) / 1e9
    code, why = status.exit_code, ""
    if code is None:
        code, why = -1, "how the command ended is not known\n"
    elif status.stop is StopReason.TIMEOUT:
        why = "the command was ended at its time limit\n"
    elif status.stop is StopReason.CANCEL:
        why = "the command was cancelled\n"
    return {
        "exit_code": code,
        "output": output.stdout.decode(errors="replace"),
        "error": output.stderr.decode(errors="replace") + why,
        "duration": seconds,
        "start": began.isoformat(),
        "end": datetime.now(UTC).isoformat(),
    }
