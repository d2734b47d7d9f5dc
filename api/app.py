"""The application: every face's route table, put together. The layers around it are in `api.server`."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context
from api.errors import render, translate
from api.kube.routes import PATHS as KUBE
from api.routing import MAX_BODY, Path, routes
from api.v1.routes import PATHS as FLAT
from controller.admission import Admission


def build_app(context: Context) -> Starlette:
    """The router over all paths; handlers find `context` and `admission` at `app.state`."""
    app = Starlette(
        routes=routes(paths(context)),
        exception_handlers={HTTPException: _refused, Exception: _failed},
        max_body_size=MAX_BODY,
    )
    app.router.redirect_slashes = False
    app.state.context = context
    app.state.admission = Admission(
        store=context.store,
        clock=context.clock,
        contacts=context.contacts,
        node_timeout=context.settings.registry.node_timeout,
    )
    return app


def paths(context: Context) -> tuple[Path, ...]:
    """All paths of all faces."""
    del context
    return (*FLAT, *KUBE)


async def _refused(request: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path, a body that is too large."""
    kube = request.scope["path"].startswith("/apis")
    return render(translate(error, kube=kube), request.scope)


async def _failed(request: Request, error: Exception) -> Response:
    """The last resort. The error goes on to the outermost layer, which logs it."""
    return render(translate(error), request.scope)
