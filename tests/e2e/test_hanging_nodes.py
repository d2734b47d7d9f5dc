"""Nodes whose connections stay and carry nothing any more: a black hole in between, or a machine that hangs."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.conftest import MakeServer
from tests.support.nodes import SshdFactory
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sshd
PutProxy = Callable[[int], Awaitable[Proxy]]

HANGING, UNDER_WAY, WORKERS = 3, 4, 8


async def test_nodes_that_stop_answering_hold_nobody_up(
    make_server: MakeServer, sshd: SshdFactory, proxy: PutProxy
) -> None:
    """More questions hang than there are workers; a command for another node takes as long as ever."""
    server = make_server(controller={"workers": WORKERS, "node_concurrency": UNDER_WAY})
    live, behind = await asyncio.gather(sshd(), sshd())
    proxies = [await proxy(behind.port) for _ in range(HANGING)]
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.register, "live", live)
    for i, between in enumerate(proxies):
        transport = server.transport_to(behind, port=between.port)
        await asyncio.to_thread(server.register, f"hanging-{i}", behind, transport=transport)
    sent = [
        (await asyncio.to_thread(server.send, f"hanging-{i}", "sleep 12; echo end", wait="0")).json()
        for i in range(HANGING)
        for _ in range(UNDER_WAY)
    ]
    for command in sent:
        await asyncio.to_thread(server.until, command["id"], "running")
    for between in proxies:
        between.stall()
    await asyncio.sleep(1.5)
    for _ in range(3):
        began = time.monotonic()
        result = (await asyncio.to_thread(server.send, "live", "echo fine", wait="20s")).json()
        assert result["status"] == "success", result
        assert time.monotonic() - began < 3
    for between in proxies:
        between.resume()
    results = [await asyncio.to_thread(server.ended, command["id"]) for command in sent]
    assert {(result["status"], result["output"], result["attempts"]) for result in results} == {("success", "end", 1)}
