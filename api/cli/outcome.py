"""What a command's end means for the exit code of `exec` (contract F-4), as pure functions of its status."""

import signal
from collections.abc import Iterable
from typing import Any, Final, Literal

Verdict = Literal["succeeded", "failed", "unreachable"]

ENDED: Final = frozenset({"success", "error", "timeout", "cancelled", "unknown"})
TIMEOUT, INTERRUPTED, ANYTHING_ELSE = 124, 130, 255
ALL_SUCCEEDED, SOME_FAILED, SOME_UNREACHABLE = 0, 1, 4
_NO_WAY_THERE: Final = frozenset(
    {"DeliveryTimeout", "DeliveryUnconfirmed", "NodeUnreachable", "TransportUnavailable", "NodeDeleted"}
)


def has_ended(command: dict[str, Any]) -> bool:
    """Whether the status is final."""
    return command.get("status", {}).get("phase") in ENDED


def exit_code(status: dict[str, Any]) -> int:
    """The command's own code; 124 timeout; 128 + n for signal n; 255 for everything else."""
    phase, code, number = status.get("phase"), status.get("exitCode"), status.get("signal")
    if phase == "timeout":
        return TIMEOUT
    if phase in {"success", "error"} and isinstance(number, int) and number > 0:
        return min(128 + number, ANYTHING_ELSE)
    if phase in {"success", "error"} and isinstance(code, int) and 0 <= code <= ANYTHING_ELSE:
        return code
    return ANYTHING_ELSE


def verdict(status: dict[str, Any]) -> Verdict:
    """How it counts among many."""
    if status.get("phase") == "success":
        return "succeeded"
    return "unreachable" if status.get("reason") in _NO_WAY_THERE else "failed"


def exit_code_of_many(verdicts: Iterable[Verdict]) -> int:
    """0 all succeeded, 1 some failed, 4 some unreachable, which weighs more: nobody knows what is true there."""
    found = set(verdicts)
    if "unreachable" in found:
        return SOME_UNREACHABLE
    return SOME_FAILED if "failed" in found else ALL_SUCCEEDED


def sentence(status: dict[str, Any]) -> str | None:
    """Why it ended, where its own exit code does not say; None where it does."""
    if status.get("phase") == "success" or status.get("reason") == "NonZeroExit":
        return None
    reason = str(status.get("reason") or status.get("phase") or "no status")
    number = status.get("signal")
    by = _signal_name(number) if reason == "Signalled" and isinstance(number, int) else ""
    return ": ".join(part for part in (reason, by, str(status.get("message") or "")) if part)


def _signal_name(number: int) -> str:
    """`SIGTERM (15)`."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"
