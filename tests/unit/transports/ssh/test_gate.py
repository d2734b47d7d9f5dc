"""The gate bounds channels, learns the server's own bound and forgets it slowly."""

import asyncio

import pytest

from transports.errors import Busy
from transports.ssh.gate import ChannelGate


class Clock:
    """Time that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_no_more_than_the_limit_are_open_and_the_first_to_wait_goes_first(clock: Clock) -> None:
    gate = ChannelGate(2, clock=clock)
    await gate.enter(patience=5)
    await gate.enter(patience=5)
    order: list[int] = []

    async def wait(number: int) -> None:
        await gate.enter(patience=5)
        order.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    for expected in ([0], [0, 1], [0, 1, 2]):
        gate.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == expected
        assert gate.open == 2
    await asyncio.gather(*waiting)


async def test_who_waits_in_vain_is_told_that_the_node_is_busy(clock: Clock) -> None:
    gate = ChannelGate(1, clock=clock)
    await gate.enter(patience=5)
    with pytest.raises(Busy, match="MaxSessions"):
        await gate.enter(patience=0.01)
    gate.leave()
    assert gate.open == 0
    await gate.enter(patience=0.01)


async def test_a_place_is_never_lost_to_a_taker_who_is_cancelled(clock: Clock) -> None:
    gate = ChannelGate(1, clock=clock)
    for moment in ("waiting", "handed over"):
        await gate.enter(patience=5)
        taker = asyncio.create_task(gate.enter(patience=5))
        await asyncio.sleep(0)
        if moment == "handed over":
            gate.leave()
        taker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taker
        if moment == "waiting":
            gate.leave()
        assert gate.open == 0


async def test_a_refusal_teaches_the_servers_limit_and_time_forgets_it(clock: Clock) -> None:
    gate = ChannelGate(8, clock=clock)
    for _ in range(4):
        await gate.enter(patience=5)
    gate.refused()
    assert (gate.open, gate.limit) == (3, 3)
    clock.now = 61
    await gate.enter(patience=0.01)
    assert gate.limit == 4
    with pytest.raises(Busy):
        await gate.enter(patience=0.01)


async def test_the_limit_never_falls_so_low_that_nobody_would_try_again(clock: Clock) -> None:
    gate = ChannelGate(8, clock=clock)
    await gate.enter(patience=5)
    for _ in range(5):
        await gate.enter(patience=5)
        gate.refused()
    assert (gate.open, gate.limit) == (1, 2)
