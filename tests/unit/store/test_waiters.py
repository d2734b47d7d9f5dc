"""Waiters: woken by their keys alone, and gone afterwards."""

import asyncio

import pytest

from controller.store.base import Unavailable
from controller.store.waiters import Waiters


async def test_only_who_stands_under_the_key_is_woken() -> None:
    """With the number of the call; under several keys, by the first of them."""
    waiters = Waiters()
    a, b = (asyncio.create_task(waiters.wait(keys, None, lambda: 0)) for keys in (["a", "b"], ["c"]))
    await asyncio.sleep(0)
    waiters.wake("b", 7)
    waiters.wake("a", 8)
    assert await a == 7
    assert not b.done()
    waiters.wake("c", 9)
    assert await b == 9
    assert not waiters


async def test_nobody_is_remembered_who_waits_no_more() -> None:
    """Neither after a timeout nor after a cancellation."""
    waiters = Waiters()
    assert await waiters.wait(["a"], 0.001, lambda: 5) == 5
    waiting = asyncio.create_task(waiters.wait(["a", "b"], None, lambda: 0))
    await asyncio.sleep(0)
    assert waiters
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not waiters


async def test_closing_ends_every_wait_now_and_later() -> None:
    """Each with an error of its own."""
    waiters = Waiters()
    waiting = [asyncio.create_task(waiters.wait(["a"], None, lambda: 0)) for _ in range(2)]
    await asyncio.sleep(0)
    waiters.close(Unavailable("closed"))
    first, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(first, Unavailable)
    assert first is not second
    with pytest.raises(Unavailable, match="closed"):
        await waiters.wait(["a"], None, lambda: 0)
