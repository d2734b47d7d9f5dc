"""The verbs of the run protocol as messages, for transports whose node has an agent on it.

Each verb is a dataclass with the arguments that `transports.base.Session` documents; together they are a union that
`verb` tells apart:

    {"verb": "start", "request": {…}, "wait": 5}     answered by a RunStatus
    {"verb": "read", "run": "…", …}                  answered by an Output
    …

An answer is `{"answer": …}`, or `{"error": {"reason", "message"}}` where the verb raised a TransportError, which
is raised again on this side.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

from transports import errors
from transports.base import Output, Probe, RunId, RunStatus, Session, SessionInfo, StartRequest
from transports.errors import ConnectionLost, TransportError, printable
from transports.runner.frames import check_run
from transports.wire import Malformed, dump, load

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of one message: a command with its input is at most 4 MiB, and base64 takes a third more."""
READ_LIMIT = 1024 * 1024
"""Bytes of output that one answer may hold, whatever was asked for."""
_MOST, _LONGEST, _FACTS = 1 << 63, 128, 4096
_LONGEST_LOGIN, _LONGEST_MESSAGE = 86_400, 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Deliver a run."""

    verb: ClassVar[str] = "start"
    answer: ClassVar[type] = RunStatus
    request: StartRequest
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the node knows about a run."""

    verb: ClassVar[str] = "status"
    answer: ClassVar[type] = RunStatus
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Output by offset."""

    verb: ClassVar[str] = "read"
    answer: ClassVar[type] = Output
    run: RunId
    stdout: int
    stderr: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End a run, or make sure that it never starts."""

    verb: ClassVar[str] = "cancel"
    answer: ClassVar[type] = RunStatus
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class GC:
    """Forget runs."""

    verb: ClassVar[str] = "gc"
    answer: ClassVar[type | None] = None
    runs: tuple[RunId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Ask the node what it is."""

    verb: ClassVar[str] = "probe"
    answer: ClassVar[type] = Probe


Verb = Start | Status | Read | Cancel | GC | Ask
Answer = RunStatus | Output | Probe | None

_VERBS: dict[str, Any] = {kind.verb: kind for kind in (Start, Status, Read, Cancel, GC, Ask)}
_REASONS: dict[str, type[TransportError]] = {
    kind.reason: kind
    for kind in (
        errors.Busy,
        errors.ConnectionLost,
        errors.Conflict,
        errors.NodeStorageFull,
        errors.Rejected,
        errors.StartRefused,
        errors.Unreachable,
        errors.UnsupportedShell,
    )
}


def dump_verb(verb: Verb) -> dict[str, Any]:
    """A verb as a message."""
    return {"verb": verb.verb, **dump(verb)}


def load_verb(value: object) -> Verb:
    """The verb that a message holds. Raises Malformed."""
    name = value.get("verb") if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in _VERBS:
        raise Malformed(f"no verb: one of {', '.join(_VERBS)} expected")
    return cast("Verb", load(_VERBS[name], value))


def dump_answer(answer: Answer) -> dict[str, Any]:
    """What a verb answered, as a message."""
    return {"answer": dump(answer)}


def dump_error(error: TransportError) -> dict[str, Any]:
    """What a verb raised, as a message."""
    return {"error": {"reason": error.reason, "message": str(error)}}


def load_answer(verb: Verb, value: object) -> Any:
    """What the verb answered. Raises what it raised there, and ConnectionLost for what is no answer to it."""
    if isinstance(value, dict) and isinstance(error := value.get("error"), dict):
        kind = _REASONS.get(str(error.get("reason")), TransportError)
        raise kind(f"the agent answered: {printable(str(error.get('message')), limit=_LONGEST_MESSAGE)}")
    if verb.answer is None:
        return None
    try:
        return checked(load(verb.answer, value.get("answer") if isinstance(value, dict) else None))
    except Malformed as exc:
        raise ConnectionLost(f"the agent's answer to {verb.verb} makes no sense: {exc}") from exc


def checked(said: T) -> T:
    """What an agent said, unless no agent of ours could have: it goes into the store. Raises Malformed."""
    match said:
        case RunStatus():
            sizes = (said.stdout.kept, said.stdout.total, said.stderr.kept, said.stderr.total, said.duration)
            _check(all(n is None or 0 <= n < _MOST for n in sizes), "a size or a duration")
            _check(said.exit_code is None or 0 <= said.exit_code <= 255, "the exit code")
            _check(said.signal is None or 0 < said.signal <= 127, "the signal")
            _check(len(said.boot_id) <= _LONGEST, "the boot id")
        case Probe():
            _check(len(said.boot_id) <= _LONGEST and 0 <= said.uptime < _MOST, "the boot id or the uptime")
            _check(sum(len(k) + len(v) for k, v in said.facts.items()) <= _FACTS, "the facts")
        case SessionInfo():
            words = (said.boot_id, said.runner, said.install_id, said.host_key or "")
            _check(all(len(word) <= _LONGEST for word in words), "who it is")
            _check(0 <= said.login_seconds <= _LONGEST_LOGIN, "how long the login took")
    return said


def _check(holds: bool, what: str) -> None:  # noqa: FBT001 - an assertion's argument
    if not holds:
        raise Malformed(f"{what} cannot be what a runner said")


async def perform(session: Session, verb: Verb) -> Answer:
    """Do on that session what the verb says. Raises TransportError, and ValueError for a run that has no run id."""
    match verb:
        case Start():
            return await session.start(verb.request, wait=verb.wait)
        case Status():
            return await session.status(verb.run)
        case Read():
            limit = max(0, min(verb.limit, READ_LIMIT))
            return await session.read(verb.run, stdout=verb.stdout, stderr=verb.stderr, limit=limit)
        case Cancel():
            return await session.cancel(verb.run)
        case GC():
            await session.gc(verb.runs)
            return None
        case Ask():
            return await session.probe()


class RemoteSession(ABC):
    """A `transports.base.Session` whose verbs an agent performs: `_ask` brings them there, each at most once."""

    info: SessionInfo

    def __init__(self) -> None:
        self.on_end: Callable[[RunStatus], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether this session is over."""
        return self._closed

    @abstractmethod
    async def _ask(self, verb: Verb) -> Any:
        """What the agent answers. Raises what it raised, and ConnectionLost when it is not known whether it heard."""

    async def start(self, request: StartRequest, *, wait: float = 0.0) -> RunStatus:
        """See `transports.base.Session.start`."""
        return await self._status(Start(request=request, wait=wait))

    async def status(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.status`."""
        return await self._status(Status(run=run))

    async def read(self, run: RunId, *, stdout: int, stderr: int, limit: int) -> Output:
        """See `transports.base.Session.read`."""
        check_run(run)
        output: Output = await self._live(Read(run=run, stdout=stdout, stderr=stderr, limit=limit))
        if len(output.stdout) + len(output.stderr) > limit:
            raise ConnectionLost(f"the agent answered with more of run {run} than was asked for")
        return output

    async def cancel(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.cancel`."""
        return await self._status(Cancel(run=run))

    async def gc(self, runs: Sequence[RunId]) -> None:
        """See `transports.base.Session.gc`."""
        await self._live(GC(runs=tuple(map(check_run, runs))))

    async def probe(self) -> Probe:
        """See `transports.base.Session.probe`."""
        probe: Probe = await self._live(Ask())
        return probe

    async def _status(self, verb: Start | Status | Cancel) -> RunStatus:
        asked = check_run(verb.request.run if isinstance(verb, Start) else verb.run)
        status: RunStatus = await self._live(verb)
        if status.run != asked:
            raise ConnectionLost(f"the agent answered about run {status.run[:60]!r}, which was not asked for")
        return status

    async def _live(self, verb: Verb) -> Any:
        if self._closed:
            raise ConnectionLost("the connection to the agent has ended")
        return await self._ask(verb)

    def _over(self) -> None:
        """This session has ended, once."""
        if not self._closed:
            self._closed = True
            if self.on_close:
                self.on_close()

    def _ended(self, status: RunStatus) -> None:
        if self.on_end:
            self.on_end(status)
