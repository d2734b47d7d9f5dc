"""A work queue in the manner of client-go: each key at most once in the queue, never twice at work.

A key added while it is being worked on runs once more afterwards. A key that failed waits longer each time
(tenacity's wait strategies), until `forget`. The queue is bounded by the number of keys there are.
"""

import asyncio
from collections import deque

from tenacity.wait import wait_base, wait_exponential_jitter

from controller.runtime.backoff import pause


class WorkQueue:
    """Keys to reconcile. Used from one event loop."""

    def __init__(self, *, backoff: wait_base | None = None) -> None:
        self._backoff = backoff or wait_exponential_jitter(multiplier=0.2, max=30, jitter=0.2)
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str) -> None:
        """Have the key reconciled soon; at once if nobody works on it."""
        self._cancel_timer(key)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Have the key reconciled after that time, or sooner if it is added in between."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key)

    def retry(self, key: str) -> float:
        """Have a failed key reconciled after its back-off; returns the seconds until then."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = pause(self._backoff, failures)
        self.add_after(key, delay)
        return delay

    def forget(self, key: str) -> None:
        """The key went well: its next failure waits the shortest time again."""
        self._failures.pop(key, None)

    async def wait(self, timeout: float) -> bool:
        """Whether a key is ready, now or within `timeout` seconds."""
        if not self._ready:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                return False
        return True

    def take(self) -> str | None:
        """The next key, now at work until `done`; None when there is none."""
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: str) -> None:
        """The work on this key is over; if it was added meanwhile, it is queued again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Drop all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
