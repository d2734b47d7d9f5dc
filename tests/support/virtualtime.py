"""An event loop on which time passes only when nobody has anything to do: hours of behaviour in milliseconds."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = datetime(2026, 1, 13, 18, 0, tzinfo=UTC)
LIMIT = 7 * 86400.0


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for input that long, moves the clock on by that much."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("every task waits for ever: nothing can happen any more")
        self.now += timeout
        if self.now > LIMIT:
            raise RuntimeError("a week of virtual time has passed: something waits in a circle")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock is the selector's."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop began."""
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """At once: no thread works while time stands still."""
        del executor
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class VirtualClock:
    """The injected clock on a VirtualLoop. `skew` moves wall time alone, as somebody who sets the clock does."""

    def __init__(self) -> None:
        self.skew = timedelta()

    def now(self) -> datetime:
        """Virtual wall time."""
        return EPOCH + timedelta(seconds=self.monotonic()) + self.skew

    def monotonic(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a fresh virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
