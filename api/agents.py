"""`GET /api/v1/nodes/{id}/connect`: where agents dial in (contract B-2). The connection itself is the hub's."""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from api.auth import revocation
from api.auth.principal import Principal, Role
from api.context import Context
from api.errors import APIError, forbidden
from api.refusal import refuse
from api.routing import principal_of
from controller.resources.node import Node
from transports.websocket.hub import Gone

PATH: Final = "/api/v1/nodes/{id}/connect"
LOOK_EVERY: Final = 2.0
"""Seconds between two looks whether a connection's token still counts, and whether this server can serve it."""
STOPPING: Final = 1012
NO_PLACE: Final = "this server has no place among those on its store: dial in to one that has"
REVOKED: Final = 1008


def websocket_routes(context: Context) -> list[WebSocketRoute]:
    """The route; none where WebSockets are disabled (contract A-8)."""
    if not context.settings.websocket.enabled:
        return []
    return [WebSocketRoute(path, Dock(context)) for path in (PATH, PATH + "/")]


class Dock:
    """ASGI application: admits an agent for its own node, and serves it until either side ends it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket."""
        try:
            principal = principal_of(scope)
            node = self._admit(scope["path_params"]["id"], principal)
        except APIError as error:
            await refuse(scope, receive, send, error)
            return
        await receive()  # the connect
        socket = AgentSocket(receive, send)
        await send({"type": "websocket.accept"})
        watching = asyncio.create_task(self._watch(socket, principal), name=f"agent-watch:{node.name}")
        try:
            await self._context.hub.serve(node.name, node.uid, socket)
        finally:
            watching.cancel()

    def _admit(self, name: str, principal: Principal) -> Node:
        if self._context.settings.server.role == "api":
            raise APIError(503, "ServiceUnavailable", "this server works on no nodes: dial in to one that does")
        if not self._context.controllers.has_place:
            raise APIError(503, "ServiceUnavailable", NO_PLACE)
        node = self._context.store.get("Node", name)
        if not isinstance(node, Node):
            raise APIError(404, "NotFound", f'node "{name}" not found: register it first')
        if not principal.may(Role.ADMIN) and principal.node_uid != node.uid:
            raise forbidden("only the node itself may dial in as that node")
        return node

    async def _watch(self, socket: "AgentSocket", principal: Principal) -> None:
        """Close when the server stops or can do nothing for the node, or when the token does not count any more."""
        context, had_place = self._context, True
        while not context.stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(context.stopping.wait(), LOOK_EVERY)
                break
            if not revocation.still_counts(principal, context.store, context.clock.now()):
                await socket.close(REVOKED, "the token does not count any more")
                return
            has_place = context.controllers.has_place
            if not has_place and not had_place:  # twice: one that was held up for a moment has its place back at once
                await socket.close(STOPPING, NO_PLACE)
                return
            had_place = has_place
        await socket.close(STOPPING, "the server is stopping")


class AgentSocket:
    """A WebSocket of ASGI as the hub takes it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False

    async def receive(self) -> str:
        """The next text frame. Raises Gone."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed = True
            raise Gone(f"closed by the agent with code {message.get('code')}")
        text = message.get("text")
        if not isinstance(text, str):
            raise Gone("a binary frame came")
        return text

    async def send(self, text: str, /) -> None:
        """Send a text frame. Raises Gone."""
        if self._closed:
            raise Gone("the connection is closed")
        try:
            await self._send({"type": "websocket.send", "text": text})
        except (OSError, RuntimeError) as error:
            raise Gone(str(error)) from error

    async def close(self, code: int, reason: str) -> None:
        """Close, idempotently."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
