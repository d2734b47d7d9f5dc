"""From the results of checks to a service's status, purely.

    unknown ──rise good ones──► running ──a bad one──► degraded ──fall bad ones──► failed
       └──────fall bad ones──► failed ──rise good ones──► running

A result counts for so long as the next ones could be expected; then nothing is known any more. Time is monotonic, so
that nobody who sets a clock makes an old result look new.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from controller.resources.service import Check
from transports.checks import Outcome

Phase = Literal["running", "degraded", "failed", "unknown"]

MISSED: Final = 2
"""So many checks may be missed before what the last one said is no longer known to hold."""
SLACK: Final = 1.0
"""Seconds by which a check may be late."""


@dataclass(slots=True, kw_only=True)
class Health:
    """How one service is, as its checks say."""

    phase: Phase = "unknown"
    message: str = "not checked yet"
    good: int = 0
    bad: int = 0
    checked_at: datetime | None = None
    latency: float | None = None
    valid_until: float = 0.0

    @property
    def news(self) -> tuple[str, str]:
        """What is worth telling when it changes: the status, and why nothing is known."""
        return self.phase, self.message if self.phase == "unknown" else ""

    def note(self, outcome: Outcome, check: Check, at: datetime, now: float) -> None:
        """A check has ended; `now` is monotonic. One that could not be made proves nothing."""
        self.message = outcome.message
        if outcome.good is None:
            if outcome.lasting:
                self.phase, self.good, self.bad = "unknown", 0, 0
            return
        self.checked_at, self.latency = at, outcome.latency
        if now >= self.valid_until:
            self.phase, self.good, self.bad = "unknown", 0, 0
        self.valid_until = now + (1 + MISSED) * check.period + check.limit + SLACK
        self.good, self.bad = (self.good + 1, 0) if outcome.good else (0, self.bad + 1)
        self.phase = self._next(check)

    def _next(self, check: Check) -> Phase:
        if self.good >= check.rise:
            return "running"
        if self.bad >= check.fall:
            return "failed"
        if self.bad and self.phase == "running":
            return "degraded"
        return self.phase
