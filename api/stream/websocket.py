"""The same stream over a WebSocket: the same JSON, a text frame each (contract E-1)."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from api.auth.door import PRINCIPAL
from api.errors import APIError, bad_request
from api.refusal import refuse
from api.stream.broadcaster import Broadcaster
from api.stream.client import Client
from api.stream.events import Event
from api.stream.log import Lagged
from api.stream.query import last_event_id, wanted_types
from api.stream.sse import LANE

STOPPING: Final = 1012
"""Close code "service restart": come back in a while."""
TOO_SLOW: Final = 1013
"""Close code "try again later"."""


class EventSocket:
    """ASGI application of the WebSocket. Pings, and dropping silent peers, are the protocol's (see `api.http`)."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self._broadcaster = broadcaster

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client."""
        try:
            query = _query(scope)
            types, last = wanted_types(query.get("types")), last_event_id(_headers(scope), query)
        except APIError as error:
            await refuse(scope, receive, send, error)
            return
        await receive()  # the connect
        with self._broadcaster.connect("websocket", types, scope.get(LANE), scope.get(PRINCIPAL)) as client:
            async with asyncio.TaskGroup() as group:
                listener = group.create_task(_until_gone(receive, client), name="stream-listener")
                try:
                    await send({"type": "websocket.accept"})
                    await self._serve(client, last, send)
                except OSError:
                    pass  # it has gone: uvicorn says so by an OSError
                listener.cancel()

    async def _serve(self, client: Client, last: str | None, send: Send) -> None:
        async for events in self._broadcaster.opening(client, last):
            for event in events:
                await _tell(client, event, send)
        code, reason = await self._follow(client, send), "the server stops"
        if code == TOO_SLOW:
            await _tell(client, self._broadcaster.farewell(), send)
            reason = "too slow"
        await client.sending(send({"type": "websocket.close", "code": code, "reason": reason}))

    async def _follow(self, client: Client, send: Send) -> int:
        """Tell what happens until the end. Returns the close code."""
        while not client.ended:
            try:
                events = client.events()
            except Lagged:
                return TOO_SLOW
            for event in events:
                await _tell(client, event, send)
            if not events:
                await client.wait()
        return STOPPING


async def _tell(client: Client, event: Event, send: Send) -> None:
    await client.sending(send({"type": "websocket.send", "text": event.body.decode()}))


async def _until_gone(receive: Receive, client: Client) -> None:
    """Read on, and ignore what a client says: there is nothing to say."""
    while not client.ended:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            client.end()


def _query(scope: Scope) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(scope["query_string"].decode("ascii"), max_num_fields=20, errors="strict"))
    except ValueError:
        raise bad_request("the query is not valid") from None


def _headers(scope: Scope) -> Mapping[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
