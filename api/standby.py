"""A server that waits for the active one to end: it lives, is not ready, and says so (contract A-6)."""

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, Final

import structlog
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from api.errors import APIError, render
from api.http import Server, configure
from controller.settings import Settings
from controller.store.base import Store

RETRY_AFTER: Final = 5
"""Seconds after which a client may ask again: by then something may send it to the active server."""

log = structlog.get_logger(__name__)


async def become_active(store: Store, settings: Settings, listener: socket.socket) -> bool:
    """Wait until this server is the active one, answering as a standby meanwhile. Raises what the store raises.

    False: it was asked to stop before.
    """
    notice = Notice()
    acquiring = asyncio.create_task(store.acquire(notice.update), name="acquire")
    await _either(acquiring, notice.up.wait())
    if acquiring.done():
        acquiring.result()
        return True
    server = _server(notice, settings)
    acquiring.add_done_callback(lambda _: server.stop())
    await server.serve([listener.dup()])
    if server.signalled:
        acquiring.cancel()
        await asyncio.wait([acquiring])
        return False
    await acquiring
    return True


class Notice:
    """The application of a standby. It has something to say once somebody else is known to be active."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self._text = ""

    def update(self, holder: str) -> None:
        """That is the active server."""
        self._text = f"standing by: the active server is {holder}"
        log.info("standing by", active=holder)
        self.up.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        answer = self._answer(scope) if scope["type"] == "http" else WebSocketClose(1013, "standing by")
        await answer(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        match scope["path"]:
            case "/livez":
                return PlainTextResponse("ok")
            case "/readyz":
                return PlainTextResponse(self._text, 503)
        message = "this server stands by while another one is active: try again, or ask that one"
        headers = {"Retry-After": str(RETRY_AFTER)}
        return render(APIError(503, "ServiceUnavailable", message, headers=headers), scope)


def _server(notice: Notice, settings: Settings) -> Server:
    config = configure(notice, settings)
    config.lifespan = "off"
    return Server(config, asyncio.Event())


async def _either(task: "asyncio.Task[None]", other: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of both. The task goes on."""
    waiting = asyncio.create_task(other)
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
