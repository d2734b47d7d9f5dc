"""The door to everything: no request, HTTP or WebSocket, gets to a handler without having passed here.

Pure ASGI. Sets `scope["vendetta.principal"]` to who is calling (None only on paths that are open to everybody).
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.authenticator import Authenticator
from api.auth.cors import RawHeaders
from api.auth.door import PRINCIPAL, Door
from api.auth.headers import read_headers
from api.auth.local_door import LocalDoor
from api.auth.token_door import TokenDoor
from api.context import Context
from api.errors import APIError, forbidden
from api.refusal import refuse

_STARTS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


def door(context: Context) -> Door:
    """Return the door that the settings ask for."""
    if not context.settings.auth.enabled:
        return LocalDoor(context.settings)
    return TokenDoor(context.settings, Authenticator(context.settings, context.store, context.clock))


class Guard:
    """ASGI layer around the application."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._door = door(context)
        self._traffic = context.traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it with 401 or 403."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        try:
            headers = read_headers(scope["headers"])
            admission = await self._door.admit(scope, headers)
            if headers.impersonates:
                raise forbidden("nobody can be impersonated here: use a token of that role, and leave out --as")
        except APIError as error:
            self._traffic.refused(error.status)
            await refuse(scope, receive, send, error)
            return
        if admission.preflight:
            await send({"type": "http.response.start", "status": 204, "headers": admission.headers})
            await send({"type": "http.response.body", "body": b""})
            return
        scope[PRINCIPAL] = admission.principal
        await self._app(scope, receive, _adding(send, admission.headers) if admission.headers else send)


def _adding(send: Send, headers: RawHeaders) -> Send:
    """A send that adds headers to the start of the response."""

    async def add(message: Message) -> None:
        if message["type"] in _STARTS:
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return add
