"""Answers without an end of their own, to clients who may stop reading (contract E-4)."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.messages import context_of
from api.stream.client import Lane
from api.stream.sse import LANE
from controller.duration import SECOND


class Streaming(StreamingResponse):
    """A stream whose client is cut off once it has taken nothing for two ping periods, as those of events are."""

    def __init__(
        self, request: Request, pieces: AsyncIterator[bytes], media: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media, headers=headers)
        context = context_of(request)
        self._patience, self._traffic = 2 * context.settings.websocket.ping_period / SECOND, context.traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, each piece within its time. Who is cut off has disconnected, which ends the rest."""
        lane: Lane | None = scope.get(LANE)

        async def sent(message: Message) -> None:
            try:
                async with asyncio.timeout(self._patience):
                    await send(message)
            except TimeoutError:
                self._traffic.dropped_streams += 1
                if lane is not None:
                    lane.abort()

        await super().__call__(scope, receive, sent)
