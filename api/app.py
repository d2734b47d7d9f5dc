"""The application: every face's route table, put together. The layers around it are in `api.layers`."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from api import agents, health, metrics, stream
from api.auth import routes as auth_routes
from api.context import Context
from api.docs import documented
from api.errors import render, speaks_kube, translate
from api.kube.routes import PATHS as KUBE
from api.routing import Path, routes
from api.v1.enrolment_routes import PATHS as ENROLMENT
from api.v1.routes import PATHS as FLAT
from controller.admission import Admission


def build_app(context: Context) -> Starlette:
    """The router over all paths; handlers find `context` and `admission` at `app.state`.

    Raises ValueError where `websocket.path` collides with another path (contract A-8).
    """
    streams = stream.websocket_routes(context) if context.settings.server.role != "controller" else ()
    app = Starlette(routes=[*routes(paths(context)), *streams, *agents.websocket_routes(context)])
    app.router.redirect_slashes = False
    app.router.default = _unknown
    # Endpoints shape their errors themselves and `api.layers` the rest: Starlette's own layers would do neither.
    app.middleware_stack = app.router
    app.state.context = context
    app.state.admission = Admission(
        store=context.store,
        clock=context.clock,
        contacts=context.contacts,
        node_timeout=context.settings.registry.node_timeout,
    )
    return app


def paths(context: Context) -> tuple[Path, ...]:
    """All paths of all faces, and those that document them; of a controller, health and metrics."""
    if context.settings.server.role == "controller":
        return (*health.paths(context), *metrics.paths(context))
    others = [p for face in (auth_routes, health, metrics) for p in face.paths(context)]
    every = documented(
        (*FLAT, *ENROLMENT, *KUBE, *others, *stream.paths(context)),
        version=context.version,
        auth=context.settings.auth.enabled,
    )
    path = context.settings.websocket.path
    stream.refuse_collision(path, [p.template for p in every if p.tag != "events"])
    return every


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for a path that nothing is at."""
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    error = translate(HTTPException(404), kube=speaks_kube(scope["path"]))
    await render(error, scope)(scope, receive, send)
