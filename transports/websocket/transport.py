"""The websocket transport: sessions over connections that the nodes' agents dialled in. This side dials nobody."""

from typing import Any

from transports.base import Endpoint, RunStatus
from transports.errors import Unreachable
from transports.verbs import RemoteSession, Verb
from transports.websocket.hub import Dialled, Hub


class WebSocketTransport:
    """Implements `transports.base.Transport` over a hub of dialled-in agents."""

    def __init__(self, *, hub: Hub) -> None:
        self._hub = hub

    async def connect(self, endpoint: Endpoint) -> "WebSocketSession":
        """A session over the node's live connection. Raises `Unreachable` when its agent is not connected."""
        dialled = self._hub.dialled(endpoint.node)
        if dialled is None or dialled.closed:
            raise Unreachable(
                f"the agent of node {endpoint.node} has not dialled in: is `vendetta agent connect` running there?"
            )
        return WebSocketSession(dialled)

    async def aclose(self) -> None:
        """Nothing is held here: connections belong to the hub."""


class WebSocketSession(RemoteSession):
    """A session on a connection that outlives it."""

    def __init__(self, dialled: Dialled) -> None:
        super().__init__()
        self.info = dialled.info
        self._dialled = dialled
        dialled.on_end = self._ended
        dialled.on_close = self._over

    async def _ask(self, verb: Verb) -> Any:
        return await self._dialled.ask(verb)

    def _ended(self, status: RunStatus) -> None:
        if not self.closed:
            super()._ended(status)

    async def aclose(self) -> None:
        """End the session; the agent stays connected."""
        self._over()
