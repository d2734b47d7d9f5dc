"""The decision about one command: what is known, what is seen, what to do next. Pure, and tested exhaustively.

    decide(known, seen, now) -> Step

`known` is what the store says about the delivery, written before anything is sent. `seen` is what the node said
just now, or why it said nothing. The rules, from the run protocol (docs/reference/run-protocol.md):

* Before the *start point* (the claim on the node) everything may be tried again; after it, nothing is ever started.
* A start that was sent and not answered may have arrived. Absent on the same boot: send it again, the claim admits
  one. Absent on another boot: the claim may have died with the page cache, so the outcome is unknown.
* A start that was not answered is made to lose, by a cancel, once its time is over: it must not run an hour late.
* What cannot be known is `unknown`, never success and never a second run.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controller.resources.command import Certainty, CommandPhase
from transports.base import RunState, StopReason


class Sent(StrEnum):
    """How far delivery got, as the store knows it."""

    NEVER = "never"
    UNANSWERED = "unanswered"
    CLAIMED = "claimed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store says. Times are wall time; `deliver_by` is when nothing is sent any more, and `lost_by` ends
    waiting for a node that was sent something.
    """

    sent: Sent
    boot_id: str | None
    deliver_by: datetime
    lost_by: datetime | None
    cancel: bool
    admitted: bool = True
    """Cordon, freeze and the node's concurrency permit sending it now."""
    held_by: str = "Queued"
    """Why it is not admitted."""
    moved: bool = False
    """It is not at the place where it was sent something, or has another host key, or other files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The node answered: the run's state, on the boot that it has now."""

    state: RunState
    boot_id: str
    stop: StopReason = StopReason.NONE
    exit_code: int | None = None
    signal: int | None = None
    kill_confirmed: bool = True
    presumed: bool = False
    """The node says so without having kept the run protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The node did not answer. `permanent`: it will not before somebody changes something."""

    reason: str
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nobody has asked the node yet."""


Seen = Answer | Silence | Nothing


class Do(StrEnum):
    """What to do."""

    HOLD = "hold"
    ASK = "ask"
    SEND = "send"
    OBSERVE = "observe"
    CANCEL = "cancel"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The next step, and the phase and reason that go with it. FINISH makes them final."""

    do: Do
    phase: CommandPhase
    reason: str
    certainty: Certainty = "unknown"


def decide(known: Known, seen: Seen, now: datetime) -> Step:
    """The next step for a command that has not ended. Total: every combination has an answer."""
    if known.sent is Sent.NEVER:
        return _before_sending(known, seen, now)
    if isinstance(seen, Answer):
        return _answered(known, seen, now)
    if isinstance(seen, Silence):
        return _silent(known, seen, now)
    return Step(do=Do.ASK, phase="running" if known.sent is Sent.CLAIMED else "pending", reason="Reattaching")


def _before_sending(known: Known, seen: Seen, now: datetime) -> Step:
    if known.cancel:
        return Step(do=Do.FINISH, phase="cancelled", reason="Cancelled", certainty="confirmed")
    if now >= known.deliver_by:
        return Step(do=Do.FINISH, phase="timeout", reason="DeliveryTimeout", certainty="confirmed")
    if not known.admitted:
        return Step(do=Do.HOLD, phase="pending", reason=known.held_by)
    if isinstance(seen, Silence) and seen.permanent:
        return Step(do=Do.FINISH, phase="error", reason=seen.reason, certainty="confirmed")
    if isinstance(seen, Silence):
        return Step(do=Do.HOLD, phase="pending", reason=seen.reason)
    return Step(do=Do.SEND, phase="pending", reason="Queued")


def _answered(known: Known, seen: Answer, now: datetime) -> Step:
    match seen.state:
        case RunState.DONE if seen.presumed:
            return replace(_finished(seen), certainty="presumed")
        case RunState.DONE:
            return _finished(seen)
        case RunState.TOMBSTONE if not known.cancel:
            return Step(do=Do.FINISH, phase="timeout", reason="DeliveryTimeout", certainty="confirmed")
        case RunState.TOMBSTONE:
            return Step(do=Do.FINISH, phase="cancelled", reason="Cancelled", certainty="confirmed")
        case RunState.RUNNING | RunState.ORPHAN if known.cancel:
            return Step(do=Do.CANCEL, phase="running", reason="Cancelling")
        case RunState.RUNNING | RunState.ORPHAN:
            return Step(do=Do.OBSERVE, phase="running", reason="Claimed")
        case RunState.LOST:
            reason = "NodeRebooted" if _rebooted(known, seen) else "SupervisorLost"
            return Step(do=Do.FINISH, phase="unknown", reason=reason)
        case RunState.ABSENT:
            return _absent(known, seen, now)


def _absent(known: Known, seen: Answer, now: datetime) -> Step:
    if known.sent is Sent.CLAIMED:
        reason = "NodeRebooted" if _rebooted(known, seen) else "RunLost"
        return Step(do=Do.FINISH, phase="unknown", reason=reason)
    if _rebooted(known, seen):
        return Step(do=Do.FINISH, phase="unknown", reason="NodeRebooted")
    if known.moved:
        return Step(do=Do.FINISH, phase="unknown", reason="DeliveryUnconfirmed")
    if known.cancel or now >= known.deliver_by:
        return Step(do=Do.CANCEL, phase="pending", reason="Queued")
    return Step(do=Do.SEND, phase="pending", reason="Queued")


def _finished(seen: Answer) -> Step:
    if seen.stop is not StopReason.NONE and not seen.kill_confirmed:
        return Step(do=Do.FINISH, phase="unknown", reason="KillUnconfirmed")
    if seen.stop is StopReason.CANCEL:
        return Step(do=Do.FINISH, phase="cancelled", reason="Cancelled", certainty="confirmed")
    if seen.stop is StopReason.TIMEOUT:
        return Step(do=Do.FINISH, phase="timeout", reason="ExecTimeout", certainty="confirmed")
    if seen.exit_code == 0:
        return Step(do=Do.FINISH, phase="success", reason="Completed", certainty="confirmed")
    if seen.exit_code is None and seen.signal is None:
        return Step(do=Do.FINISH, phase="unknown", reason="SupervisorLost")
    reason = "Signalled" if seen.signal is not None else "NonZeroExit"
    return Step(do=Do.FINISH, phase="error", reason=reason, certainty="confirmed")


def _silent(known: Known, seen: Silence, now: datetime) -> Step:
    """No answer after something was sent: a permanent refusal proves nothing about the run, so it only waits."""
    lost = known.lost_by is not None and now >= known.lost_by
    if known.sent is Sent.CLAIMED:
        if lost:
            return Step(do=Do.FINISH, phase="unknown", reason="NodeUnreachable")
        return Step(do=Do.HOLD, phase="running", reason="Cancelling" if known.cancel else "Reattaching")
    if lost:
        return Step(do=Do.FINISH, phase="unknown", reason="DeliveryUnconfirmed")
    return Step(do=Do.HOLD, phase="pending", reason="NodeUnreachable")


def _rebooted(known: Known, seen: Answer) -> bool:
    return known.boot_id is not None and known.boot_id != seen.boot_id
