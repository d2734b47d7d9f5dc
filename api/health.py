"""Health and probes, for everybody and without a token (contract D-3).

`/health` is the document's. `/livez` fails when the process should be restarted: a loop is stuck. `/readyz` fails
when it should get no requests: the store takes no writes from this server, or it stops. Nodes that are dead are not
its fault.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from api.census import Counted
from api.context import Context
from api.routing import Operation, Path
from controller.resources.types import rfc3339

_JSON: Final = "application/json"
_HEALTH: Final = {
    "type": "object",
    "required": ["status", "timestamp", "total_nodes", "active_nodes", "version", "auth"],
    "properties": {
        "status": {"type": "string", "enum": ["healthy", "unhealthy"]},
        "timestamp": {"type": "string", "format": "date-time"},
        "total_nodes": {"type": "integer"},
        "active_nodes": {"type": "integer"},
        "version": {"type": "string"},
        "auth": {"type": "string", "enum": ["enabled", "disabled"]},
        "problems": {"type": "array", "items": {"type": "string"}},
    },
}


def paths(context: Context) -> tuple[Path, ...]:
    """Return the routes of this module."""
    doctor = _Doctor(context)
    told = {
        200: ("All is well.", _HEALTH, _JSON),
        503: ("The store or a loop is stuck.", _HEALTH, _JSON),
    }
    probe = {200: ("ok", None, "text/plain"), 503: ("What is wrong.", None, "text/plain")}
    table = (
        ("/health", doctor.health, "Health for people and programs", told),
        ("/livez", doctor.livez, "Whether the process works", probe),
        ("/readyz", doctor.readyz, "Whether it can take requests", probe),
    )
    return tuple(
        Path(
            template=template,
            tag="monitoring",
            operations={
                "GET": Operation(handler=handler, summary=summary, role=None, responses=responses, open=True)
            },
        )
        for template, handler, summary, responses in table
    )


class _Doctor:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._counted = Counted(context.store)

    async def health(self, request: Request) -> Response:
        """The document's health."""
        del request
        census, problems = self._counted.census(), [*self._stuck(), *self._store()]
        content: dict[str, object] = {
            "status": "unhealthy" if problems else "healthy",
            "timestamp": rfc3339(self._context.clock.now()),
            "total_nodes": census.nodes,
            "active_nodes": census.active,
            "version": self._context.version,
            "auth": "enabled" if self._context.settings.auth.enabled else "disabled",
        }
        if problems:
            content["problems"] = problems
        return JSONResponse(content, 503 if problems else 200)

    async def livez(self, request: Request) -> Response:
        """Whether the process works."""
        del request
        return _answer(self._stuck())

    async def readyz(self, request: Request) -> Response:
        """Whether it can take requests."""
        del request
        stopping = ["the server stops"] if self._context.stopping.is_set() else []
        return _answer([*stopping, *self._stuck(), *self._place(), *self._store()])

    def _stuck(self) -> list[str]:
        return [f"the loop {name} makes no progress" for name in self._context.controllers.stuck()]

    def _place(self) -> list[str]:
        """Whether it has a place among the servers on the store: without one it can change nothing."""
        return [] if self._context.controllers.has_place else ["the server has no place among those on its store"]

    def _store(self) -> list[str]:
        """Whether the last write failed, or nothing new is seen: no write is made for a probe. Why is in the log."""
        store = self._context.store
        age = store.staleness()
        old = [f"what it shows is {age:.0f} s old"] if age is not None else []
        return [*(["the store takes no writes"] if store.failure() else []), *old]


def _answer(problems: list[str]) -> Response:
    return PlainTextResponse("\n".join(problems) or "ok", 503 if problems else 200)
