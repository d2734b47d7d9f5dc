"""The access log: one line a request at level info, and not more lines than somebody can read.

A probe that went well is noted at level debug: they come all the time, from every kubelet and load balancer.
Never the query: it may hold a ticket. Above a rate, lines are left out and counted; failures have one of their own.
"""

import time
from typing import Final

import structlog
from starlette.types import Scope

from api.auth.door import OPEN_PATHS, plain_path

log = structlog.get_logger(__name__)

LINES_A_SECOND: Final = 20


class _Budget:
    """So many lines in each second."""

    def __init__(self) -> None:
        self._second = 0
        self._left = 0
        self._suppressed = 0

    def spend(self, now: float) -> int | None:
        """Return how many were left out before this line; None to leave this one out, too."""
        if int(now) != self._second:
            self._second, self._left = int(now), LINES_A_SECOND
        if self._left <= 0:
            self._suppressed += 1
            return None
        self._left -= 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed


class AccessLog:
    """Notes requests."""

    def __init__(self) -> None:
        self._fine = _Budget()
        self._failed = _Budget()
        self._probes = _Budget()

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """Write the line of one request, if there is room for it."""
        failed = status >= 500
        probe = status < 400 and plain_path(scope) in OPEN_PATHS
        budget = self._failed if failed else self._probes if probe else self._fine
        suppressed = budget.spend(time.monotonic())
        if suppressed is None:
            return
        facts = _facts(scope, status, seconds)
        if suppressed:
            facts["suppressed"] = suppressed
        if failed:
            log.warning("request failed", **facts)
        elif probe:
            log.debug("request", **facts)
        else:
            log.info("request", **facts)


def _facts(scope: Scope, status: int, seconds: float) -> dict[str, object]:
    principal = scope.get("vendetta.principal")
    client = scope.get("client")
    return {
        "method": scope["method"],
        "path": scope.get("raw_path", b"").decode("latin-1")[:256],
        "status": status,
        "milliseconds": round(seconds * 1000, 1),
        "client": client[0] if client else "",
        "principal": principal.name if principal is not None else "",
    }
