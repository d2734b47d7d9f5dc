"""What a network does besides cutting: every transport loses nothing and runs nothing twice, whatever passes when."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.contract.transports.conftest import RealGround
from tests.support.proxy import Proxy
from transports.base import RunState, RunStatus
from transports.errors import TransportError
from transports.testing import OUTPUT, collected, ended, lasts, request, writes

Trouble = Callable[[Proxy], Awaitable[None]]
SLOWLY = 0.05


async def stalled(proxy: Proxy) -> None:
    """A black hole for a moment."""
    proxy.stall()
    await asyncio.sleep(0.5)
    proxy.resume()


async def half_closed(proxy: Proxy) -> None:
    """The node's side of every connection hears that it ends; what it still says passes."""
    proxy.half_close()


async def delayed(proxy: Proxy) -> None:
    """Every piece takes longer, for good."""
    proxy.delay = SLOWLY


@pytest.mark.parametrize("trouble", [stalled, half_closed, delayed])
class Rough:
    """Every test gets a `ground` of its own."""

    async def test_a_start_in_trouble_runs_once(self, ground: RealGround, trouble: Trouble) -> None:
        """Answered or not: delivered again, it has run once, and all of its output is there."""
        session = await ground.connect()
        asked = request(lasts)
        start = asyncio.create_task(session.start(asked, wait=5))
        await asyncio.sleep(0)
        await trouble(ground.proxy)
        async with asyncio.timeout(20):
            (outcome,) = await asyncio.gather(start, return_exceptions=True)
        assert isinstance(outcome, (RunStatus, TransportError)), outcome
        again = await ground.connect()
        await again.start(asked, wait=5)
        assert await collected(again, await ended(again, asked.run)) == (b"first\nlast\n", b"")
        assert await ground.executions(asked.run) == 1

    async def test_output_that_is_read_in_trouble_is_whole(self, ground: RealGround, trouble: Trouble) -> None:
        """In this session, or where that did not live through it, in the next one."""
        session = await ground.connect()
        asked = request(writes)
        await session.start(asked)
        status = await ended(session, asked.run)
        assert status.state is RunState.DONE
        reading = asyncio.create_task(collected(session, status))
        await asyncio.sleep(0)
        await trouble(ground.proxy)
        async with asyncio.timeout(20):
            (got,) = await asyncio.gather(reading, return_exceptions=True)
        if isinstance(got, TransportError):
            got = await collected(await ground.connect(), status)
        assert got == (OUTPUT, b"")


@pytest.mark.sshd
class TestSSH(Rough):
    """Over a real OpenSSH server."""

    @pytest.fixture
    def ground(self, ssh_ground: RealGround) -> RealGround:
        """See there."""
        return ssh_ground


class TestHTTP(Rough):
    """Over HTTP to a real agent."""

    @pytest.fixture
    def ground(self, http_ground: RealGround) -> RealGround:
        """See there."""
        return http_ground


class TestWebSocket(Rough):
    """Over a connection that a real agent dialled."""

    @pytest.fixture
    def ground(self, websocket_ground: RealGround) -> RealGround:
        """See there."""
        return websocket_ground
