"""The status of a command as it moves: one function a move, and the one place where a status is written."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from controller.decide import Step
from controller.outcome import ended
from controller.output import excerpt
from controller.resources.command import Command, CommandStatus, Delivery
from controller.store.base import Append, Conflict, Store, Update
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


class CommandStatusWriter:
    """Writes a status onto the newest version of a command, whatever happened to its spec meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, command: Command, status: CommandStatus, *appends: Append) -> Command:
        """The command as stored; somebody else's verdict if they were first. Raises Conflict when it is gone."""
        if status == command.status and not appends:
            return command
        for attempt in range(10):
            newest = self._store.get("Command", command.name)
            if not isinstance(newest, Command) or newest.uid != command.uid:
                raise Conflict(f"command {command.name} is gone")
            if newest.status.phase != command.status.phase and newest.ended:
                return newest
            try:
                *_, written = await self._store.write(
                    *appends, Update(obj=newest.model_copy(update={"status": status}))
                )
            except Conflict:
                await asyncio.sleep(0.001 * attempt)
            else:
                assert isinstance(written, Command)
                return written
        raise Conflict(f"command {command.name} changes too fast")


def held(command: Command, step: Step, message: str) -> CommandStatus:
    """Waiting, and why."""
    return command.status.model_copy(
        update={
            "phase": step.phase,
            "reason": step.reason,
            "message": message or SENTENCES.get(step.reason, ""),
            "observed_generation": command.metadata.generation,
        }
    )


def sending(
    command: Command, node_uid: str, transport: str, place: str, boot_id: str, now: datetime
) -> CommandStatus:
    """About to be sent: written first. Boot id and place stay those of the first time."""
    delivery = command.status.delivery
    if delivery is None or delivery.boot_id is None:
        delivery = Delivery(node_uid=node_uid, transport=transport, place=place, boot_id=boot_id, sent_at=now)
    return command.status.model_copy(
        update={
            "phase": "pending",
            "reason": "Queued",
            "message": "",
            "delivery": delivery,
            "transport": transport,
            "attempts": command.status.attempts + 1,
            "observed_generation": command.metadata.generation,
        }
    )


def running(command: Command, reason: str, now: datetime) -> CommandStatus:
    """Claimed on the node."""
    return command.status.model_copy(
        update={
            "phase": "running",
            "reason": reason,
            "message": "",
            "started": command.status.started or now,
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
) -> CommandStatus:
    """The final status, with the excerpt of the output and what the node said about the end."""
    seen = await excerpt(store, command.uid, appends)
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
            "started": (command.status.started or now) if ran else command.status.started,
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


def _never_sent(command: Command) -> bool:
    """Whether nothing was ever sent, so that there can be no more output than is stored."""
    return command.status.delivery is None or command.status.delivery.boot_id is None


def _acked(delivery: Delivery | None) -> Delivery | None:
    return None if delivery is None else delivery.model_copy(update={"acked": True})
