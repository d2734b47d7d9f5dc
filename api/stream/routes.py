"""Where the stream is (contract A-8)."""

from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute, compile_path
from starlette.types import Receive, Scope, Send

from api.auth.principal import Role
from api.context import Context
from api.errors import APIError, forbidden
from api.parameters import Parameter, text
from api.refusal import refuse
from api.routing import Operation, Path, principal_of
from api.stream.events import DOCUMENTED
from api.stream.query import last_event_id, wanted_types
from api.stream.sse import EventStream
from api.stream.websocket import EventSocket

_PARAMETERS: Final = (
    Parameter(
        name="types", description=f"Event types, with commas between: {', '.join(sorted(DOCUMENTED))}; default: all."
    ),
    Parameter(name="last_event_id", description="The id of the last event seen, where no header can be set."),
    Parameter(name="ticket", description="A stream ticket, where no header can be set."),
    Parameter(name="Last-Event-ID", description="The id of the last event seen.", where="header"),
)


def paths(context: Context) -> tuple[Path, ...]:
    """Return the stream's route; none where it is disabled."""
    settings = context.settings.websocket
    if not settings.enabled:
        return ()

    async def stream(request: Request) -> Response:
        query = {"last_event_id": text(request, "last_event_id") or ""}
        types = wanted_types(text(request, "types"))
        return EventStream(context.broadcaster, types, last_event_id(request.headers, query))

    operation = Operation(
        handler=stream,
        summary="Events, as they happen",
        parameters=_PARAMETERS,
        responses={200: ("Server-Sent Events.", None, "text/event-stream")},
        stream=True,
    )
    return (Path(template=_template(settings.path), operations={"GET": operation}, tag="events"),)


def websocket_routes(context: Context) -> list[WebSocketRoute]:
    """Return the stream's WebSocket routes; where it is disabled they answer 404."""
    settings = context.settings.websocket
    path = _template(settings.path)
    application = _Viewers(context) if settings.enabled else _Absent()
    return [WebSocketRoute(path, application), WebSocketRoute(path + "/", application)]


class _Viewers:
    """The WebSocket, for those who may read."""

    def __init__(self, context: Context) -> None:
        self._socket = EventSocket(context.broadcaster)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if not principal_of(scope).may(Role.VIEWER):
                raise forbidden(f"this needs the role {Role.VIEWER.value}")
        except APIError as error:
            await refuse(scope, receive, send, error)
            return
        await self._socket(scope, receive, send)


class _Absent:
    """What is there where the stream is disabled."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(scope, receive, send, APIError(404, "NotFound", "there is nothing at this path"))


def refuse_collision(path: str, templates: Iterable[str]) -> None:
    """Raise ValueError where the stream's path is that of another route."""
    for template in templates:
        regex, _, _ = compile_path(template.rstrip("/") or "/")
        if regex.match(_template(path)):
            raise ValueError(f"websocket.path {path!r} collides with {template}: use /ws, or a path that is free")


def _template(path: str) -> str:
    return path.rstrip("/") or "/"
