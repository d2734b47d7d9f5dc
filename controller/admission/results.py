"""Results that an agent reports by itself (contract C-13).

Only a command that nothing of ours observes can be reported. Either it was handed out to its node's agent, with a
nonce that the report must carry (see `claims`): then the report is `confirmed`. Or its node was registered without a
transport of ours, and no delivery of it has begun: such an agent knows the document alone, so its word is `presumed`.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from controller.admission.caller import Caller
from controller.admission.errors import Denied, Invalid, NotReportable, Problem, Refused
from controller.outcome import ended
from controller.resources.command import INLINE_HEAD, INLINE_TAIL, Certainty, Command, CommandPhase, CommandStatus
from controller.resources.node import Node, names_transport, transports_of
from controller.timeline import Phase, marked

REPORTED: Final[dict[str, tuple[CommandPhase, str]]] = {
    "success": ("success", "Completed"),
    "error": ("error", "NonZeroExit"),
    "failed": ("error", "NonZeroExit"),
    "timeout": ("timeout", "ExecTimeout"),
    "cancelled": ("cancelled", "Cancelled"),
}
"""What a report may say, and what it means here."""

FOREIGN = "report"
"""What such a command counts as delivered over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The document's result, as far as it was given. `duration` in nanoseconds."""

    id: str
    node_id: str
    status: str
    output: str = ""
    duration: int | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    nonce: str | None = None


def reported(command: Command, node: Node | None, report: Report, caller: Caller, now: datetime) -> Command:
    """The command with that result in it; the very same object for a repeat of what is known already."""
    _check_ids(command, report)
    if not caller.trusted_local and (node is None or caller.node_uid != node.uid):
        raise Denied("only the command's own node may report its result")
    if node is None or not _is_reportable(command, node):
        raise NotReportable(f'the result of command "{command.name}" is observed by the server, not reported')
    _check_nonce(command, report)
    result = _result(command, report, now)
    if not command.ended:
        return command.model_copy(update={"status": result})
    if _same(command.status, result, report):
        return command
    if command.handed_out and command.status.phase == "unknown":
        return command.model_copy(update={"status": _corrected(command.status, result)})
    raise Refused(f'command "{command.name}" has another result already')


def digest_of_nonce(nonce: str) -> str:
    """What is stored of a nonce."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def _is_reportable(command: Command, node: Node) -> bool:
    delivery = command.status.delivery
    if delivery is None:
        return reports_by_itself(node)
    return command.handed_out and delivery.node_uid == node.uid


def _check_nonce(command: Command, report: Report) -> None:
    """Raises Denied for a report that does not carry the nonce handed out, or carries one where none was."""
    delivery = command.status.delivery
    expected = delivery.nonce_digest if delivery is not None else ""
    if not expected and report.nonce is None:
        return
    if not hmac.compare_digest(expected, digest_of_nonce(report.nonce or "")):
        raise Denied("the report does not carry the nonce that was handed out with the command")


def _corrected(known: CommandStatus, result: CommandStatus) -> CommandStatus:
    """A result that came after its time was over: the outcome was unknown until now (C-9)."""
    at = known.finished or known.started
    marks = known.marks if at is None else marked(known, Phase.UNKNOWN, at, known.reason, known.message)
    return result.model_copy(update={"late": True, "marks": marks})


def reports_by_itself(node: Node) -> bool:
    """Whether the node was registered without a transport of ours, so that an agent there must do the work."""
    return not names_transport(node) and transports_of(node)[0].type == "http"


def _check_ids(command: Command, report: Report) -> None:
    problems = []
    if report.id != command.name:
        problems.append(Problem(field="id", message="is not the command's"))
    if report.node_id != command.spec.node:
        problems.append(Problem(field="node_id", message="is not the command's node"))
    if problems:
        raise Invalid("the result is for something else", *problems)


def _result(command: Command, report: Report, now: datetime) -> CommandStatus:
    status, (phase, reason) = command.status, REPORTED[report.status]
    certainty: Certainty = "confirmed" if command.handed_out else "presumed"
    message = f"reported by the node's agent as {report.status}"
    new = ended(status, phase=phase, reason=reason, message=message, certainty=certainty, now=report.finished or now)
    output = report.output.encode()
    return new.model_copy(
        update={
            "output": _inline(output),
            "output_bytes": len(output),
            "truncated": len(output) > INLINE_HEAD + INLINE_TAIL,
            "duration": report.duration,
            "exit_code": 0 if phase == "success" and report.exit_code is None else report.exit_code,
            "transport": FOREIGN,
            "attempts": 1,
        }
    )


def _inline(output: bytes) -> str:
    if len(output) <= INLINE_HEAD + INLINE_TAIL:
        return output.decode(errors="replace")
    return output[:INLINE_HEAD].decode(errors="replace") + output[-INLINE_TAIL:].decode(errors="replace")


def _same(known: CommandStatus, told: CommandStatus, report: Report) -> bool:
    """Whether a report repeats what is stored; a finish time left out is the server's own and differs every time."""
    facts = ("phase", "output", "output_bytes", "duration", "exit_code", "transport")
    if any(getattr(known, name) != getattr(told, name) for name in facts):
        return False
    return report.finished is None or known.finished == told.finished
