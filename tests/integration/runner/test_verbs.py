"""Every verb, in every shell."""

from collections.abc import Awaitable, Callable

from transports.base import RunState, StartRequest, StopReason
from transports.runner.client import Runner

NewRun = Callable[..., StartRequest]


async def test_a_short_command_answers_whole_in_one_round_trip(runner: Runner, new_run: NewRun) -> None:
    s = await runner.start(new_run("echo out; echo err >&2; exit 3"), wait=10)
    assert (s.state, s.stop, s.exit_code, s.signal) == (RunState.DONE, StopReason.NONE, 3, None)
    assert s.inline == (b"out\n", b"err\n")
    assert (s.stdout.kept, s.stdout.total, s.stdout.truncated) == (4, 4, False)
    assert s.duration is not None
    assert 0 <= s.duration < 5_000_000_000
