"""Server-Sent Events: the response that a client of the stream gets (contract E-1, E-4). Pure ASGI."""

import asyncio
import random
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth.door import PRINCIPAL
from api.stream.broadcaster import Broadcaster
from api.stream.client import Client
from api.stream.log import CHUNK, Lagged

LANE: Final = "vendetta.lane"
"""Where the HTTP protocol puts itself into the scope (see `api.stream.client.Lane`)."""
HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
HEARTBEAT: Final = b": still here\n\n"
RETRY: Final = (1000, 5000)
"""Milliseconds, drawn for each client: a thousand browsers must not come back at once."""


class EventStream(Response):
    """A response that ends when the client goes, when it is too slow, and when the server stops."""

    def __init__(self, broadcaster: Broadcaster, types: frozenset[str], last_event_id: str | None) -> None:
        super().__init__(status_code=200)
        self._broadcaster = broadcaster
        self._types = types
        self._last_event_id = last_event_id
        self.raw_headers = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client. To HEAD only the headers are told."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        with self._broadcaster.connect("sse", self._types, scope.get(LANE), scope.get(PRINCIPAL)) as client:
            async with asyncio.TaskGroup() as group:
                listener = group.create_task(_until_gone(receive, client), name="stream-listener")
                await client.sending(send(start))
                await self._open(client, send)
                await self._tell(client, send)
                await client.sending(send({"type": "http.response.body", "body": b""}))
                listener.cancel()

    async def _open(self, client: Client, send: Send) -> None:
        head = b"retry: %d\n\n" % random.randint(*RETRY)  # noqa: S311 - spreads load, protects nothing
        async for events in self._broadcaster.opening(client, self._last_event_id):
            await _send_all(client, head + b"".join([event.frame for event in events]), send)
            head = b""
        if head:
            await _send_all(client, head, send)

    async def _tell(self, client: Client, send: Send) -> None:
        """Tell what happens, as it happens, joined into few writes where it happens fast."""
        while not client.ended:
            try:
                frames = client.frames()
            except Lagged:
                await _send_all(client, self._broadcaster.farewell().frame, send)
                return
            if frames or client.ping:
                await client.sending(
                    send({"type": "http.response.body", "body": frames or HEARTBEAT, "more_body": True})
                )
            else:
                await client.wait()


async def _send_all(client: Client, data: bytes, send: Send) -> None:
    """Send in pieces, so that a client that does not read holds one piece in our memory and not all of them."""
    for begin in range(0, len(data), CHUNK):
        if client.ended:
            return
        piece = data[begin : begin + CHUNK]
        await client.sending(send({"type": "http.response.body", "body": piece, "more_body": True}))


async def _until_gone(receive: Receive, client: Client) -> None:
    """Read on: that is how one hears that the client has gone."""
    while not client.ended:
        message = await receive()
        if message["type"] == "http.disconnect":
            client.end()
