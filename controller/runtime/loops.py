"""Supervised loops: each publishes when it last made progress, and is started again when it breaks.

A loop's body is a function that does one round and returns. `Supervisor.stuck` names the loops whose last progress
is too old, which is what liveness probes ask.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from tenacity.wait import wait_exponential_jitter

from controller.runtime.backoff import pause
from controller.runtime.clock import Clock

log = structlog.get_logger(__name__)

ROUND_LIMIT = 60.0
_PAUSE = wait_exponential_jitter(multiplier=0.1, max=10, jitter=0.1)


@dataclass(slots=True)
class Loop:
    """One loop. `body` does a round, which must end within `limit` seconds, idle or busy."""

    name: str
    body: Callable[[], Awaitable[None]]
    limit: float = ROUND_LIMIT
    progress: float = 0.0
    failures: int = 0
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Supervisor:
    """Runs loops until it is stopped. `on_progress` hears the name of each loop that finished a round."""

    def __init__(self, clock: Clock, on_progress: Callable[[str], None] = lambda name: None) -> None:
        self._clock = clock
        self._on_progress = on_progress
        self._loops: dict[str, Loop] = {}

    def start(self, name: str, body: Callable[[], Awaitable[None]], *, limit: float = ROUND_LIMIT) -> None:
        """Run `body` over and over, under that name."""
        loop = Loop(name, body, limit, self._clock.monotonic())
        self._loops[name] = loop
        loop.task = asyncio.create_task(self._forever(loop), name=f"loop:{name}")

    def limits(self) -> dict[str, float]:
        """Seconds that each loop's rounds may take."""
        return {loop.name: loop.limit for loop in self._loops.values()}

    def stuck(self) -> list[str]:
        """Names of the loops that have made no progress for longer than their limit."""
        now = self._clock.monotonic()
        return sorted(loop.name for loop in self._loops.values() if now - loop.progress > loop.limit)

    async def stop(self, name: str) -> None:
        """End one loop and wait for it."""
        loop = self._loops.pop(name, None)
        if loop is None or loop.task is None:
            return
        loop.task.cancel()
        await asyncio.gather(loop.task, return_exceptions=True)

    async def aclose(self) -> None:
        """End all loops, the latest started first."""
        for name in reversed(list(self._loops)):
            await self.stop(name)

    async def _forever(self, loop: Loop) -> None:
        while True:
            try:
                await loop.body()
            except Exception:
                loop.failures += 1
                log.exception("loop failed", loop=loop.name, failures=loop.failures)
                await asyncio.sleep(pause(_PAUSE, loop.failures))
                continue
            loop.failures = 0
            loop.progress = self._clock.monotonic()
            self._on_progress(loop.name)
