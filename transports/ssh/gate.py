"""How many channels a connection may have open: as many as asked for, until the node says that it is fewer."""

import asyncio
from collections import deque
from collections.abc import Callable

from transports.errors import Busy

_PROBE_AFTER = 30.0
_LEAST = 2
"""The runner holds one channel for good: with no second one nobody would find out that there is room again."""


class ChannelGate:
    """Counts channels, makes the next one wait, and learns the server's own limit (sshd's MaxSessions).

    A refusal lowers the limit to what was open at that moment; half a minute without one raises it by one.
    """

    def __init__(self, maximum: int, *, clock: Callable[[], float]) -> None:
        self.maximum = maximum
        self.limit = maximum
        self.open = 0
        self._clock = clock
        self._lowered = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, *, patience: float) -> None:
        """Take a place, first come first served. Raises `Busy` when none is free within `patience` seconds."""
        self._probe()
        if self.open < self.limit:
            self.open += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(patience):
                await waiter
        except BaseException as exc:
            self._give_up(waiter)
            if isinstance(exc, TimeoutError):
                raise Busy(
                    f"all {self.limit} channels that the node admits on one connection are in use; "
                    "raise MaxSessions in its sshd_config if this happens often"
                ) from None
            raise

    def _give_up(self, waiter: asyncio.Future[None]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.cancelled():
            self.leave()  # the place was handed over in the very moment that its taker gave up

    def _probe(self) -> None:
        if self.limit < self.maximum and self._clock() - self._lowered >= _PROBE_AFTER:
            self.limit += 1
            self._lowered = self._clock()

    def leave(self) -> None:
        """Give a place back, to who waits longest if the limit allows."""
        while self._waiting and self.open <= self.limit:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.open -= 1

    def refused(self) -> None:
        """The node refused the channel that a place was taken for: learn from it, and give the place back."""
        self.limit = max(_LEAST, min(self.limit, self.open - 1))
        self._lowered = self._clock()
        self.leave()
