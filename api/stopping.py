"""The server's stop: an event, and time limits that end with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Stopping(asyncio.Event):
    """Set once, first thing on shutdown: every stream and every wait ends itself then."""

    def __init__(self) -> None:
        super().__init__()
        self._limits: set[asyncio.Timeout] = set()

    def set(self) -> None:
        """Begin to stop: whoever waits within a limit is out of time."""
        super().set()
        for limit in self._limits:
            if not limit.expired():  # it may be, while whoever waits has not heard of it yet
                limit.reschedule(0)

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Limit the time of what is inside. Raises TimeoutError when it is up, or when the server stops."""
        async with asyncio.timeout(0 if self.is_set() else seconds) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)
