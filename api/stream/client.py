"""One client of the event stream, SSE or WebSocket: its place in the log, and what wakes it."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Literal, Protocol

from api.auth.principal import Principal
from api.stream.events import Event
from api.stream.log import EventLog, Lagged

Kind = Literal["sse", "websocket"]


class Lane(Protocol):
    """The client's connection itself, past everything that a request goes through."""

    def abort(self) -> None:
        """Cut it at once."""

    def lane_open(self) -> bool:
        """Whether bytes would go out at once, and not into a buffer that is full."""

    def write_framed(self, chunk: bytes) -> None:
        """Write a piece of the response's body that is framed as an HTTP chunk already."""


class Client:
    """A place in the log. For one task; everything else about it is done by the broadcaster's own loop."""

    def __init__(
        self,
        log: EventLog,
        kind: Kind,
        types: frozenset[str],
        lane: Lane | None,
        principal: Principal | None,
        now: float,
    ) -> None:
        """`lane` is None on a server that gives none."""
        self.kind: Kind = kind
        self.types = types
        self.principal = principal
        self._lane = lane
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

    def chunk(self) -> bytes:
        """The same as an HTTP chunk. Raises Lagged."""
        self._pass_over()
        chunk, self._place = self._log.chunk(self._place, self.types)
        return chunk

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

    def push(self, now: float) -> bool:
        """Write what is pending at once, if its task does nothing but wait for it, and its connection takes it.

        False: the task has to do it. Waking a task for each client and event would cost twice the write itself.
        """
        lane, waiter = self._lane, self._waiter
        if lane is None or waiter is None or waiter.done() or self.kind != "sse" or self.ended:
            return False
        while self.behind():
            if not lane.lane_open():
                return False
            try:
                chunk = self.chunk()
            except Lagged:
                return False
            if chunk:
                lane.write_framed(chunk)
                self.last_sent = now
        return True

    def abort(self) -> None:
        """Cut the connection at once."""
        self.end()
        if self._lane is not None:
            self._lane.abort()

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
