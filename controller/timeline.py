"""A command's timeline: which phase it was in from when on, and why (contract C-11).

Nothing is written for it alone. What the status holds anyway says most of it, and the few things that it does not
(connections, waits, retries) are *marks*, which go into writes that happen for another reason. So a timeline costs
a command no write, and it survives whatever the command survives.

Times are this server's clock. What happens on the node is known by the answer that told of it, and by how long the
command took by the node's own clock.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

from controller.resources.command import Command, CommandStatus, Mark

MOST_MARKS: Final = 16


class Phase(StrEnum):
    """What a command is in, from the moment that the entry names until the next entry's."""

    QUEUED = "queued"
    WAITING = "waiting"
    CONNECT = "connect"
    AUTH = "auth"
    SENT = "sent"
    CLAIMED = "claimed"
    FIRST_BYTE = "first_byte"
    REATTACHING = "reattaching"
    CANCELLING = "cancelling"
    EXIT = "exit"
    UNKNOWN = "unknown"
    COLLECTED = "collected"
    ENDED = "ended"


LAST: Final = frozenset({Phase.COLLECTED, Phase.ENDED})
"""With these it is over; no time is spent in them."""

SENTENCES: Final[dict[Phase, str]] = {
    Phase.QUEUED: "accepted and stored",
    Phase.CONNECT: "connecting to the node",
    Phase.AUTH: "connected; logging in",
    Phase.SENT: "sent to the node",
    Phase.CLAIMED: "claimed on the node; it runs",
    Phase.FIRST_BYTE: "its first output was collected",
    Phase.REATTACHING: "the node does not answer; the command goes on",
    Phase.CANCELLING: "it is being stopped",
    Phase.EXIT: "it has ended on the node",
    Phase.UNKNOWN: "its outcome was not known",
    Phase.COLLECTED: "result and output are stored",
}


class Moment(NamedTuple):
    """A phase began. `message` may be empty. A tuple, since every command makes half a dozen."""

    phase: Phase
    at: datetime
    reason: str
    message: str = ""


_at = attrgetter("at")


def marked(status: CommandStatus, phase: Phase, at: datetime, reason: str, message: str = "") -> tuple[Mark, ...]:
    """The status's marks and one more. When there are too many, those in the middle go."""
    marks = (*status.marks, Mark(phase=phase.value, at=at, reason=reason, message=message))
    half = MOST_MARKS // 2
    return marks if len(marks) <= MOST_MARKS else (*marks[:half], *marks[-half:])


def timeline(command: Command, first_output: datetime | None = None) -> list[Moment]:
    """What happened so far, in order. `first_output`: when the log's first bytes came, while the status has no word.

    Clocks jump, and what was seen late is dated by what is known: no moment lies before the first or after the last.
    """
    status = command.status
    begin = status.queued or command.metadata.creation_timestamp
    assert begin is not None, "the store stamps every object"
    end = max(begin, status.finished) if command.ended and status.finished is not None else None
    moments = [Moment(Phase.QUEUED, begin, "Queued", _queued(status))]
    for moment in sorted(_between(status, status.first_output or first_output), key=_at):
        at = max(begin, moment.at) if end is None else min(max(begin, moment.at), end)
        moments.append(moment if at is moment.at else moment._replace(at=at))
    if end is not None:
        last = Phase.ENDED if exited(status) is None else Phase.COLLECTED
        moments.append(Moment(last, end, status.reason, status.message))
    return moments


def seconds(moments: list[Moment]) -> dict[str, float]:
    """How long the command was in each phase, in all."""
    spent: dict[str, float] = {}
    for moment, after in pairwise(moments):
        spent[moment.phase] = spent.get(moment.phase, 0.0) + (after.at - moment.at).total_seconds()
    return spent


def exited(status: CommandStatus) -> datetime | None:
    """When the command ended on its node: it took that long, from its claim on."""
    if status.started is None or status.duration is None:
        return None
    return status.started + timedelta(microseconds=status.duration // 1000)


def _between(status: CommandStatus, first_output: datetime | None) -> Iterator[Moment]:
    """What lies between the first moment and the last. Output that came with the exit was written before it."""
    for mark in status.marks:
        yield Moment(Phase(mark.phase), mark.at, mark.reason, mark.message)
    delivery = status.delivery
    if delivery is not None and delivery.sent_at is not None:
        yield Moment(Phase.SENT, delivery.sent_at, "Sent")
    if status.started is not None:
        yield Moment(Phase.CLAIMED, status.started, "Claimed")
    exit_at = exited(status)
    if first_output is not None:
        yield Moment(Phase.FIRST_BYTE, first_output if exit_at is None else min(first_output, exit_at), "Output")
    if exit_at is not None:
        yield Moment(Phase.EXIT, exit_at, "Exited")


def _queued(status: CommandStatus) -> str:
    """Why it is not sent yet, if its turn is all that it waits for."""
    return status.message if (status.phase, status.reason) == ("pending", "Queued") else ""
