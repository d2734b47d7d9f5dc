"""The layers around the application: who calls, how long it may take, and what goes out when it fails.

`wrap` puts them together, from the outside: Front → Guard → the application. Two pure ASGI layers and not one for
each duty, because each costs every request. No BaseHTTPMiddleware, which costs seven times as much.
"""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access_log import AccessLog
from api.auth.guard import Guard
from api.context import Context
from api.depth import check_depth, is_json
from api.errors import KNOWN, REQUEST_ID, APIError, translate
from api.refusal import refuse
from api.routing import TEMPLATE
from api.stream.client import Lane
from api.stream.sse import LANE
from controller.duration import SECOND

log = structlog.get_logger(__name__)

DEADLINE: Final = "vendetta.deadline"
"""Where the scope holds the function that moves a request's deadline."""
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_PREFIX: Final = secrets.token_hex(4)
_COUNT: Final = itertools.count(1)

_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_DEFAULTS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
GONE: Final = 499
"""Counted for a client that did not wait for its answer."""
_STARTS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


def wrap(app: ASGIApp, context: Context) -> ASGIApp:
    """Return the application with everything around it."""
    return Front(Guard(app, context), context)


def allow_time(scope: Scope, seconds: float) -> None:
    """Give this request so many seconds from now to begin its response: for a wait that the client asked for."""
    move: Callable[[float], None] | None = scope.get(DEADLINE)
    if move is not None:
        move(seconds)


class Front:
    """The outermost layer: request ids, the last handler of errors, `write_timeout`, access log, headers."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._traffic = context.traffic
        self._access = AccessLog()
        self._seconds = context.settings.server.write_timeout / SECOND

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        scope[REQUEST_ID] = name = request_id(scope)
        structlog.contextvars.bind_contextvars(request_id=name)
        exchange = _Exchange(scope, receive, send)
        limit = _Limit(self._seconds, exchange)
        scope[DEADLINE] = limit.move
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not limit.expired:
                raise
            limit.forgive()
            await _fail(scope, exchange, _too_slow())
        except ClientDisconnect:
            exchange.status = GONE  # whatever was said about it: nobody was there to hear it
        except Exception as error:
            await _fail(scope, exchange, _known(error))
        finally:
            limit.end()
        self._account(scope, exchange, time.perf_counter() - begun)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[REQUEST_ID] = name = request_id(scope)
        structlog.contextvars.bind_contextvars(request_id=name)
        exchange = _Exchange(scope, receive, send)
        try:
            await self._app(scope, receive, exchange.send)
        except OSError:
            pass  # the peer has gone
        except Exception:
            log.exception("a WebSocket failed by a fault of the server")
            await send({"type": "websocket.close", "code": 1011})

    def _account(self, scope: Scope, exchange: "_Exchange", seconds: float) -> None:
        status = exchange.status or GONE
        timed = None if exchange.stream else seconds
        self._traffic.request(scope.get(TEMPLATE, "none"), scope["method"], status, timed)
        self._access.note(scope, status, seconds)


class _Exchange:
    """One request and its response: what has been read and what has been sent."""

    __slots__ = ("_receive", "_scope", "_send", "complete", "limit", "status", "stream", "whole")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.status = 0
        """Zero until the response begins."""
        self.stream = False
        """The response has no length, so that it may take its time."""
        self.complete = False
        self.whole = False
        """The request's body has been read."""
        self.limit: _Limit | None = None

    async def send(self, message: Message) -> None:
        """Send, and on the way add the headers that every response has."""
        if message["type"] in _STARTS:
            self._begin(message)
        elif not message.get("more_body", False):
            self.complete = True
        await self._send(message)

    def _begin(self, message: Message) -> None:
        self.status = message.get("status", 101)
        headers = [*message.get("headers", ()), *_SECURITY, (b"x-request-id", self._scope[REQUEST_ID].encode())]
        names = [key for key, _ in headers]
        self.stream = b"content-length" not in names
        if self.limit is not None and self.stream:
            self.limit.end()
        headers += [default for default in _DEFAULTS if default[0] not in names]
        message["headers"] = headers

    async def receive(self) -> Message:
        """Receive. The clock of the response stands while the body comes in: that has a limit of its own.

        A JSON body comes in one piece, and not at all if it is nested too deeply. Raises APIError (400).
        """
        if self.status or self.whole:
            return await self._receive()
        limit = self.limit
        if limit is not None:
            limit.end()
        message = await self._body() if is_json(self._scope["headers"]) else await self._receive()
        if limit is not None:
            limit.restart()
        if not message.get("more_body", False):
            self.whole = True
        return message

    async def _body(self) -> Message:
        pieces = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                check_depth(body)
                return {"type": "http.request", "body": body, "more_body": False}


class _Limit:
    """`write_timeout`: how long a response may take to begin. When it is over, the request's task is cancelled."""

    __slots__ = ("_handle", "_loop", "_seconds", "_task", "expired")

    def __init__(self, seconds: float, exchange: _Exchange) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = self._loop.call_later(seconds, self._expire)
        self.expired = False
        exchange.limit = self

    def _expire(self) -> None:
        self._handle = None
        if self._task is not None:
            self.expired = True
            self._task.cancel()

    def move(self, seconds: float) -> None:
        """Begin anew, with another length."""
        self._seconds = seconds
        if self._handle is not None:
            self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self.end()
        self._handle = self._loop.call_later(self._seconds, self._expire)

    def end(self) -> None:
        """Stop the clock."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def forgive(self) -> None:
        """Take the cancellation back: it was ours."""
        if self._task is not None:
            self._task.uncancel()


def request_id(scope: Scope) -> str:
    """Return the caller's own id if it is a sane one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return f"{_PREFIX}-{next(_COUNT):x}"


async def _fail(scope: Scope, exchange: _Exchange, error: APIError) -> None:
    """Answer with an error; where an answer has begun, cut it, so that nobody takes it for a whole one."""
    if exchange.complete:
        return
    if exchange.status:
        lane: Lane | None = scope.get(LANE)
        if lane is not None:
            lane.abort()
        return
    await refuse(scope, exchange.receive, exchange.send, error)


def _known(error: Exception) -> APIError:
    """What a client is told. Of what we do not know, the log gets everything and the client nothing."""
    if isinstance(error, KNOWN):
        return translate(error)
    log.error("a request failed by a fault of the server", exc_info=error)
    return APIError(500, "InternalError", "the server failed at this request; its log says why")


def _too_slow() -> APIError:
    return APIError(504, "Timeout", "the response took longer than server.write_timeout")
