"""The server's stop, and limits that end with it (contract E-4)."""

import asyncio

import pytest

from api.stopping import Stopping


async def test_a_stop_ends_every_limit_at_once() -> None:
    """Those that are open, and those that are opened later."""
    stopping, ended = Stopping(), 0

    async def wait() -> None:
        nonlocal ended
        with pytest.raises(TimeoutError):
            async with stopping.within(60):
                await asyncio.sleep(30)
        ended += 1

    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    stopping.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
        await wait()
    assert ended == 4


async def test_a_stop_in_the_moment_in_which_a_limit_expires_ends_the_others_too() -> None:
    """An expired limit can no longer be moved: that must not keep the server from stopping."""
    stopping = Stopping()

    async def wait(seconds: float) -> None:
        with pytest.raises(TimeoutError):
            async with stopping.within(seconds):
                await asyncio.sleep(30)

    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(wait(seconds)) for seconds in (0.05, 60, 0.05, 60)]
    await asyncio.sleep(0)
    # The limits' own timers come first, then this one, then the tasks hear of it.
    loop.call_later(0.05, stopping.set)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
