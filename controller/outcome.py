"""How a command's end is written into its status, wherever it is decided."""

from datetime import datetime

from controller.resources.command import COMPLETE, FAILED, SUCCEEDED, Certainty, CommandPhase, CommandStatus
from controller.resources.conditions import ConditionStatus, with_condition


def ended(
    status: CommandStatus, *, phase: CommandPhase, reason: str, message: str, certainty: Certainty, now: datetime
) -> CommandStatus:
    """The status of a command that ends here and now, with the conditions of contract G-2."""
    conditions = with_condition(status.conditions, COMPLETE, "True", reason, message, now)
    succeeded: ConditionStatus = "True" if phase == "success" else "False"
    failed: ConditionStatus = "False" if phase == "success" else "True"
    conditions = with_condition(conditions, SUCCEEDED, succeeded, reason, message, now)
    conditions = with_condition(conditions, FAILED, failed, reason, message, now)
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
