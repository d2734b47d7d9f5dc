"""Who waits for what: a waiter stands under its keys, and only those who stand under a key that is woken wake up."""

import asyncio
from collections.abc import Callable, Hashable, Sequence

from controller.store.base import StoreError


class Waiters:
    """Futures by key. Each is woken once, with a number, and is then gone from under all its keys."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, set[asyncio.Future[int]]] = {}
        self._closed: StoreError | None = None

    async def wait(self, keys: Sequence[Hashable], timeout: float | None, then: Callable[[], int]) -> int:
        """The number that the first of these keys is woken with or, when the time is up, what `then` says."""
        if self._closed is not None:
            raise type(self._closed)(str(self._closed))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        timer = None if timeout is None else loop.call_later(max(0, timeout), _time_up, future, then)
        for key in keys:
            self._by_key.setdefault(key, set()).add(future)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            for key in keys:
                self._forget(key, future)

    def wake(self, key: Hashable, number: int) -> None:
        """Wake everybody who waits under this key."""
        for future in self._by_key.pop(key, ()):
            if not future.done():
                future.set_result(number)

    def wake_all(self, number: int) -> None:
        """Wake everybody."""
        for key in list(self._by_key):
            self.wake(key, number)

    def close(self, reason: StoreError) -> None:
        """End every wait, now and later, with this error."""
        self._closed = reason
        for futures in self._by_key.values():
            for future in futures:
                if not future.done():
                    future.set_exception(type(reason)(str(reason)))

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def _forget(self, key: Hashable, future: asyncio.Future[int]) -> None:
        futures = self._by_key.get(key)
        if futures is not None:
            futures.discard(future)
            if not futures:
                del self._by_key[key]


def _time_up(future: asyncio.Future[int], then: Callable[[], int]) -> None:
    if not future.done():
        future.set_result(then())
