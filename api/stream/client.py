"""One client of the event stream, SSE or WebSocket: its place in the log, and what wakes it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from api.stream.events import Event
from api.stream.log import EventLog

Kind = Literal["sse", "websocket"]
Abort = Callable[[], None]


class Client:
    """A place in the log. For one task; everything else about it is done by the broadcaster's own loop."""

    def __init__(self, log: EventLog, kind: Kind, types: frozenset[str], abort: Abort, now: float) -> None:
        """`abort` cuts the connection at once."""
        self.kind: Kind = kind
        self.types = types
        self.abort = abort
        self._log = log
        self._after = 0
        self._place = log.end
        self._waiter: asyncio.Future[None] | None = None
        self.ended = False
        """Gone, or to go: the stream ends itself as soon as it sees this."""
        self.ping = False
        """A heartbeat is due."""
        self.sending_since: float | None = None
        self.last_sent = now

    def frames(self) -> bytes:
        """What is pending as SSE frames; empty for nothing. Raises Lagged."""
        log = self._log
        if self._place >= log.end:
            return b""
        self._pass_over()
        frames, self._place = log.frames(self._place, self.types)
        return frames

    def events(self) -> Sequence[Event]:
        """What is pending as events. Raises Lagged."""
        self._pass_over()
        events, self._place = self._log.take(self._place, self.types)
        return events

    def behind(self) -> bool:
        """Whether there is more in the log."""
        return self._place < self._log.end

    def stand(self, after: int) -> None:
        """Stand where the client knows everything up to a revision. Raises Lagged if the log does not reach back."""
        self._after = after
        self._place = self._log.end if after >= self._log.head else self._log.place_after(after)

    def _pass_over(self) -> None:
        """Skip what the snapshot held already: when it was taken the log may have been a little behind the store."""
        if self._after:
            self._place = self._log.place_beyond(self._place, self._after)
            if self._log.head >= self._after:
                self._after = 0

    async def wait(self) -> None:
        """Return when there may be something to do."""
        if self.ended or self.ping or self.behind():
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Have `wait` return."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """Have the stream end."""
        self.ended = True
        self.wake()

    async def sending(self, send: Awaitable[None]) -> None:
        """Do one send, and keep the time for those who watch over it."""
        loop = asyncio.get_running_loop()
        self.sending_since = loop.time()
        try:
            await send
        finally:
            self.sending_since = None
            self.ping = False
            self.last_sent = loop.time()
