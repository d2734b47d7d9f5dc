"""The route table: one entry a path, one operation a method; routes and the OpenAPI document both come from it.

One Starlette route a path (so 405 carries the right `Allow`, and HEAD and OPTIONS work), with and without a
trailing slash (contract B-9). The role an operation needs stands beside it and is checked before its handler runs.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from api.auth.principal import Principal, Role
from api.context import Context
from api.errors import KNOWN, APIError, forbidden, render, speaks_kube, translate
from api.parameters import PARSED, Parameter, parse
from controller.store.base import Unavailable

__all__ = ["MAX_BODY", "Operation", "Parameter", "Path", "Reply", "principal_of", "routes"]

Handler = Callable[[Request], Awaitable[Response]]
Schema = Mapping[str, Any]
Reply = tuple[str, Any, str]
"""Description, model or typed dict or JSON schema or None, media type."""

MAX_BODY: Final = 4 * 1024 * 1024
SHORT_ID: Final = re.compile(r"[!-.0-~]{1,255}")
"""Of ids in paths that have no form of their own: printable, and no slash."""
OPERATION: Final = "vendetta.operation"
TEMPLATE: Final = "vendetta.route"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `role` None: anybody who got past the door may call it.

    `stream`: the response has no end of its own, so write_timeout does not apply.
    `responses` maps a status to (description, model or JSON schema or None, media type), or to several of these
    where the client chooses the media type.
    """

    handler: Handler
    summary: str
    role: Role | None = Role.VIEWER
    body: Any = None
    body_rule: Schema | None = None
    """What this operation asks of its body beyond the body's own schema."""
    body_types: tuple[str, ...] = ("application/json",)
    body_others: Mapping[str, Schema] = field(default_factory=dict)
    """Media types whose bodies have schemas of their own."""
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    responses: Mapping[int, Reply | tuple[Reply, ...]] = field(default_factory=dict)
    stream: bool = False
    open: bool = False
    """Reachable without authentication: health and probes, and what looks at its callers itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One path template in Starlette's syntax, with its operations by method."""

    template: str
    operations: Mapping[str, Operation]
    tag: str = ""


def routes(paths: Iterable[Path]) -> list[BaseRoute]:
    """Starlette's routes for a table."""
    return [_route(path) for path in paths]


def principal_of(scope: Scope) -> Principal:
    """Who is calling. Raises APIError (401) when nobody was let in: what forgot the door stays shut."""
    principal = scope.get("vendetta.principal")
    if not isinstance(principal, Principal):
        raise APIError(401, "Unauthorized", "authentication required", headers={"WWW-Authenticate": "Bearer"})
    return principal


def _route(path: Path) -> Route:
    route = Route(path.template, Endpoint(path))
    slash = "" if path.template == "/" else "/?"
    # Not `$`, which also matches before a line break at the end: a path with one is another path.
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + slash + r"\Z")
    return route


_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Endpoint:
    """ASGI application of one path: picks the operation, checks the caller, runs the handler, shapes its errors."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._operations = dict(path.operations)
        self._names_objects = "{" in path.template
        if "GET" in self._operations:
            self._operations.setdefault("HEAD", self._operations["GET"])
        self._allow = ", ".join(sorted({*self._operations, "OPTIONS"}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[TEMPLATE] = self._path.template
        try:
            response = await self._respond(Request(scope, _bounded(scope, receive), send))
        except KNOWN as error:
            response = render(translate(error, kube=speaks_kube(scope["path"])), scope)
        _tell_age(scope, response)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        scope, method = request.scope, request.method
        operation = self._operations.get(method)
        if operation is None:
            if method == "OPTIONS":
                return Response(status_code=204, headers={"Allow": self._allow})
            message = f"this path supports {self._allow}"
            raise APIError(405, "MethodNotAllowed", message, headers={"Allow": self._allow})
        _check(operation, scope)
        scope[OPERATION] = operation
        scope[PARSED] = parse(operation.parameters, query.decode()) if (query := scope["query_string"]) else {}
        newest = True
        if self._names_objects or method not in _BODILESS or "continue" in scope[PARSED]:
            newest = await _catch_up(request)
        try:
            response = await operation.handler(request)
        except KNOWN as error:
            if not newest and translate(error).status == 404:
                raise Unavailable("whether that is there cannot be found out") from error
            raise
        return _without_body(response) if method == "HEAD" else response


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """A receive that refuses bodies beyond the bound, declared or not (contract A-4)."""
    if scope["method"] in _BODILESS:
        return receive
    left = MAX_BODY

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise APIError(413, "RequestEntityTooLarge", "the request's body is too large: at most 4 MiB")
        return message

    return bounded


def _check(operation: Operation, scope: Scope) -> None:
    """Whether the caller's role permits it. Default deny: no principal, no answer."""
    if operation.open:
        return
    principal = principal_of(scope)
    if operation.role is not None and not principal.may(operation.role):
        raise forbidden(f"this needs the role {operation.role.value}")


async def _catch_up(request: Request) -> bool:
    """Whoever reads one object, or changes any, sees what was committed through other replicas before (G-4).

    While that cannot be found out, what is known is shown, what is not may be there all the same, and nothing is
    changed. Returns whether it could be. Raises Unavailable.
    """
    context: Context = request.app.state.context
    reads = request.method in _BODILESS
    if reads and context.store.staleness() is not None:
        return False
    try:
        await context.store.current()
    except Unavailable:
        if not reads:
            raise
        return False
    return True


def _tell_age(scope: Scope, response: Response) -> None:
    """An answer from memory while the database is away says how old it may be (RFC 9111, 5.1 and 5.5)."""
    operation: Operation | None = scope.get(OPERATION)
    if operation is None or operation.open or scope["method"] not in _BODILESS:
        return
    context: Context = scope["app"].state.context
    age = context.store.staleness()
    if age is not None:
        response.headers["Age"] = str(int(age))
        response.headers["Warning"] = '110 - "Response is Stale"'


def _without_body(response: Response) -> Response:
    """The answer to HEAD: a stream must not even begin, or it would never end."""
    if not isinstance(response, StreamingResponse):
        return response
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    return Response(status_code=response.status_code, headers=headers)
