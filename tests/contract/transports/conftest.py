"""Grounds: real nodes behind proxies, one for each transport, and one in memory."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.support.agents import AgentProcess, Harbour
from tests.support.nodes import SshdFactory
from tests.support.proxy import Proxy
from transports.base import Credential, Endpoint, RunId, Session, Transport
from transports.errors import Unreachable
from transports.fake import FakeNode, FakeTransport, Outcome
from transports.http.transport import HTTPTransport
from transports.ssh.transport import SSHTransport
from transports.testing import OUTPUT
from transports.websocket.transport import WebSocketTransport


class RealGround:
    """A node with a home, reached through a proxy."""

    def __init__(self, transport: Transport, endpoint: Endpoint, proxy: Proxy, home: Path, stack: AsyncExitStack):
        self.proxy = proxy
        self.endpoint = endpoint
        self._transport = transport
        self._home = home
        self._stack = stack

    async def connect(self) -> Session:
        """A new session; an agent that dials may need a moment to be back."""
        async with asyncio.timeout(20):
            while True:
                with suppress(Unreachable):
                    session = await self._transport.connect(self.endpoint)
                    self._stack.push_async_callback(session.aclose)
                    return session
                await asyncio.sleep(0.05)

    async def executions(self, run: RunId) -> int:
        """Lines of the truth."""
        truth = self._home / "truth"
        lines = truth.read_text().splitlines() if truth.exists() else []
        return lines.count(run)

    async def cut(self) -> None:
        """Reset TCP."""
        self.proxy.cut()


class FakeGround:
    """A node in memory that knows the suite's scripts by what is in them."""

    def __init__(self) -> None:
        self._node = FakeNode(behaviour=lambda asked: _outcome(asked.script))

    async def connect(self) -> Session:
        """A new session."""
        return await FakeTransport({"node": self._node}).connect(Endpoint(node="node", address="node", port=1))

    async def executions(self, run: RunId) -> int:
        """What it counted."""
        return self._node.executed[run]

    async def cut(self) -> None:
        """End all its sessions."""
        self._node.drop_connections()


def _outcome(script: bytes) -> Outcome:
    if b"exit 3" in script:
        return Outcome(stdout=b"out\n", stderr=b"err\n", exit_code=3)
    if b"of what was written" in script:
        return Outcome(stdout=OUTPUT)
    if b"sleep 1.5" in script:
        return Outcome(stdout=b"first\nlast\n", seconds=1.5)
    return Outcome(seconds=60)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What is to be closed in the end."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def ssh_ground(
    sshd: SshdFactory, proxy: Callable[[int], Awaitable[Proxy]], stack: AsyncExitStack
) -> RealGround:
    """A real sshd."""
    node = await sshd()
    between = await proxy(node.port)
    return RealGround(SSHTransport(), node.endpoint(port=between.port), between, node.home, stack)


@pytest.fixture
async def http_ground(tmp_path: Path, proxy: Callable[[int], Awaitable[Proxy]], stack: AsyncExitStack) -> RealGround:
    """A real `vendetta agent serve`."""
    agent = AgentProcess(tmp_path)
    stack.callback(agent.close)
    token = secrets.token_hex(16)
    await agent.serve(token)
    between = await proxy(agent.port)
    endpoint = Endpoint(node="node", address="127.0.0.1", port=between.port, credential=Credential(token=token))
    return RealGround(HTTPTransport(), endpoint, between, agent.home, stack)


@pytest.fixture
async def websocket_ground(
    tmp_path: Path, proxy: Callable[[int], Awaitable[Proxy]], stack: AsyncExitStack
) -> RealGround:
    """A real `vendetta agent connect`, and a hub with nothing else of a server."""
    harbour = await Harbour().start()
    stack.push_async_callback(harbour.aclose)
    between = await proxy(harbour.port)
    agent = AgentProcess(tmp_path)
    stack.callback(agent.close)
    agent.connect(f"http://127.0.0.1:{between.port}", "node")
    endpoint = Endpoint(node="node", address="", port=1)
    return RealGround(WebSocketTransport(hub=harbour.hub), endpoint, between, agent.home, stack)
