"""How a command's end is written into its status, wherever it is decided."""

from datetime import datetime
from typing import Final

from controller.resources.command import COMPLETE, FAILED, SUCCEEDED, Certainty, CommandPhase, CommandStatus
from controller.resources.conditions import ConditionStatus, with_condition

_SUCCEEDED: Final[dict[str, ConditionStatus]] = {"success": "True", "unknown": "Unknown"}
_FAILED: Final[dict[str, ConditionStatus]] = {"success": "False", "unknown": "Unknown"}


def ended(
    status: CommandStatus, *, phase: CommandPhase, reason: str, message: str, certainty: Certainty, now: datetime
) -> CommandStatus:
    """The status of a command that ends here and now, with the conditions of contract G-2."""
    conditions = with_condition(status.conditions, COMPLETE, "True", reason, message, now)
    conditions = with_condition(conditions, SUCCEEDED, _SUCCEEDED.get(phase, "False"), reason, message, now)
    conditions = with_condition(conditions, FAILED, _FAILED.get(phase, "True"), reason, message, now)
    return status.model_copy(
        update={
            "phase": phase,
            "reason": reason,
            "message": message,
            "certainty": certainty,
            "finished": now,
            "conditions": conditions,
        }
    )
