"""The status of a command as it moves: one function a move, and the one place where a status is written."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from controller.decide import Step
from controller.dispatch import Opened
from controller.outcome import ended
from controller.output import excerpt
from controller.resources.command import COMMAND_CONDITIONS, Command, CommandStatus, Delivery, Mark
from controller.resources.conditions import shared
from controller.store.base import Append, Conflict, Store, Update
from controller.timeline import Phase, marked
from transports.base import RunState, RunStatus

SENTENCES = {
    "Queued": "waiting for its turn",
    "NodeCordoned": "the node is cordoned: nothing new is delivered to it",
    "Frozen": "deliveries are frozen: too many nodes became unreachable at once",
    "DeliveryTimeout": "the command could not be delivered in time; it was not run",
    "DeliveryUnconfirmed": "the command was sent, but the node never confirmed it: it may have run",
    "NodeUnreachable": "the node has not been reachable since the command was started",
    "NodeRebooted": "the node was restarted while the command was under way",
    "SupervisorLost": "the process that watched the command on the node was killed: how it ended is not known",
    "RunLost": "the node no longer knows the command: its files are gone",
    "KillUnconfirmed": "the command was stopped, but some of its processes could not be seen to end",
    "ExecTimeout": "the command ran longer than its timeout and was stopped",
    "Cancelled": "the command was cancelled",
}
NOT_REPORTED = "the command was handed to the node's agent, which has not reported its end: it may have run"

_WHILE_RUNNING = {"Cancelling": Phase.CANCELLING}


class CommandStatusWriter:
    """Writes a status onto the newest version of a command, whatever happened to its spec meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, command: Command, status: CommandStatus, *appends: Append) -> Command:
        """The command as stored; somebody else's verdict if they were first, or as handed out if its agent was.

        Raises Conflict when it is gone.
        """
        if status == command.status and not appends:
            return command
        for attempt in range(10):
            newest = self._store.get("Command", command.name)
            if not isinstance(newest, Command) or newest.uid != command.uid:
                raise Conflict(f"command {command.name} is gone")
            if newest.status.phase != command.status.phase and newest.ended:
                return newest
            if newest.handed_out and not command.handed_out:
                return newest
            try:
                *_, written = await self._store.write(*appends, Update(obj=_with_status(newest, status)))
            except Conflict:
                await asyncio.sleep(0.001 * attempt)
            else:
                assert isinstance(written, Command)
                return written
        raise Conflict(f"command {command.name} changes too fast")


def _with_status(newest: Command, status: CommandStatus) -> Command:
    """The command in that status; what others have said in conditions of their own meanwhile stays."""
    conditions = shared(COMMAND_CONDITIONS, status.conditions, newest.status.conditions)
    if conditions != status.conditions:
        status = status.model_copy(update={"conditions": conditions})
    return newest.model_copy(update={"status": status})


def held(command: Command, step: Step, message: str, now: datetime) -> CommandStatus:
    """Waiting, and why."""
    message = message or SENTENCES.get(step.reason, "")
    phase = Phase.WAITING if step.phase == "pending" else _WHILE_RUNNING.get(step.reason, Phase.REATTACHING)
    return command.status.model_copy(
        update={
            "phase": step.phase,
            "reason": step.reason,
            "message": message,
            "marks": _marked_if_new(command.status, phase, step.reason, message, now),
            "observed_generation": command.metadata.generation,
        }
    )


def sending(command: Command, node_uid: str, way: Opened, boot_id: str, now: datetime) -> CommandStatus:
    """About to be sent: written first. Boot id and place stay those of the first time."""
    delivery, marks = command.status.delivery, _marks_of(command.status, way)
    if delivery is None or delivery.boot_id is None:
        delivery = Delivery(node_uid=node_uid, transport=way.transport, place=way.place, boot_id=boot_id, sent_at=now)
    else:
        marks = marked(command.status.model_copy(update={"marks": marks}), Phase.SENT, now, "SentAgain")
    return command.status.model_copy(
        update={
            "phase": "pending",
            "reason": "Queued",
            "message": "",
            "delivery": delivery,
            "marks": marks,
            "transport": way.transport,
            "attempts": command.status.attempts + 1,
            "observed_generation": command.metadata.generation,
        }
    )


def running(command: Command, reason: str, now: datetime, *, claimed: datetime | None = None) -> CommandStatus:
    """Claimed on the node; `claimed` is when, if that is known better than from having just heard of it."""
    status, phase = command.status, Phase.CANCELLING if reason == "Cancelling" else Phase.CLAIMED
    again = status.started is not None or phase is Phase.CANCELLING
    return command.status.model_copy(
        update={
            "phase": "running",
            "reason": reason,
            "message": "",
            "marks": _marked_if_new(status, phase, reason, "", now) if again else status.marks,
            "started": status.started or _not_before_sent(status, claimed or now),
            "delivery": _acked(command.status.delivery),
            "observed_generation": command.metadata.generation,
        }
    )


async def finished(
    store: Store,
    command: Command,
    step: Step,
    now: datetime,
    *,
    status: RunStatus | None = None,
    appends: Sequence[Append] = (),
    message: str = "",
    heard: datetime | None = None,
) -> CommandStatus:
    """The final status, with the excerpt of the output and what the node said about the end, when it was heard."""
    seen = await excerpt(store, command.uid, appends)
    first_output = command.status.first_output or await _first_output(store, command, appends)
    ran = status is not None and status.state is RunState.DONE
    end = ended(
        command.status,
        phase=step.phase,
        reason=step.reason,
        message=message or SENTENCES.get(step.reason, ""),
        certainty=step.certainty,
        now=now,
    )
    return end.model_copy(
        update={
            "started": _started(command.status, status, heard or now, first_output)
            if ran
            else command.status.started,
            "first_output": first_output,
            "marks": _marks_at_end(command.status),
            "delivery": _acked(command.status.delivery) if ran else command.status.delivery,
            "late": command.ended,
            "output": seen.output,
            "stdout": seen.stdout,
            "stderr": seen.stderr,
            "observed_generation": command.metadata.generation,
            **_measured(store, command, status, appends, cut=seen.cut),
        }
    )


def _measured(
    store: Store, command: Command, status: RunStatus | None, appends: Sequence[Append], *, cut: bool
) -> dict[str, object]:
    kept = sum(store.output_sizes(command.uid)) + sum(len(a.data) for a in appends)
    if status is None or status.state is not RunState.DONE:
        return {"output_bytes": kept, "output_bytes_exact": _never_sent(command), "truncated": cut}
    streams = (status.stdout, status.stderr)
    exact = all(s.total is not None for s in streams)
    total = sum(s.total if s.total is not None else s.kept for s in streams)
    return {
        "exit_code": status.exit_code,
        "signal": status.signal,
        "duration": status.duration,
        "output_bytes": max(total, kept),
        "output_bytes_exact": exact,
        "truncated": cut or any(s.truncated for s in streams),
    }


def _started(known: CommandStatus, run: RunStatus | None, heard: datetime, first_output: datetime | None) -> datetime:
    """When it was claimed, if that was not seen: before its end, and so before any output came, by what it took."""
    if known.started is not None:
        return known.started
    end = min(heard, first_output or heard)
    return _not_before_sent(known, end - timedelta(microseconds=((run and run.duration) or 0) // 1000))


def _not_before_sent(status: CommandStatus, at: datetime) -> datetime:
    sent_at = status.delivery.sent_at if status.delivery is not None else None
    return at if sent_at is None else max(at, sent_at)


async def _first_output(store: Store, command: Command, appends: Sequence[Append]) -> datetime | None:
    """When the first output came: with the result, or before it."""
    if any(store.output_sizes(command.uid)):
        chunks = await store.read_output(command.uid, limit=1)
        return chunks[0].at if chunks else None
    return appends[0].at if appends else None


def _marks_of(status: CommandStatus, way: Opened) -> tuple[Mark, ...]:
    """The marks, and those of a connection that was opened while the command waited."""
    if status.queued is None or way.ready_at < status.queued or any(mark.at == way.login_at for mark in status.marks):
        return status.marks
    marks = marked(status, Phase.CONNECT, way.connect_at, "Connecting")
    return marked(status.model_copy(update={"marks": marks}), Phase.AUTH, way.login_at, "Connected")


def _marks_at_end(status: CommandStatus) -> tuple[Mark, ...]:
    """The marks; a verdict that is corrected now leaves one of when it was given."""
    if status.finished is None:
        return status.marks
    return marked(status, Phase.UNKNOWN, status.finished, status.reason, status.message)


def _marked_if_new(status: CommandStatus, phase: Phase, reason: str, message: str, now: datetime) -> tuple[Mark, ...]:
    """The marks, and a new one where the reason is another than it was: what only goes on is no news."""
    return status.marks if status.reason == reason else marked(status, phase, now, reason, message)


def _never_sent(command: Command) -> bool:
    """Whether nothing was ever sent, so that there can be no more output than is stored."""
    return command.status.delivery is None or command.status.delivery.boot_id is None


def _acked(delivery: Delivery | None) -> Delivery | None:
    return None if delivery is None else delivery.model_copy(update={"acked": True})
