"""What the SSH tests share: sessions that are closed at the end, and a way to run a command to its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest

from transports.base import Endpoint
from transports.ssh.session import SSHSession
from transports.ssh.transport import SSHTransport

Connect = Callable[..., Awaitable[SSHSession]]

both = pytest.mark.parametrize("flavour", ["sh", "perl"])
"""With the runner in either language."""


@pytest.fixture
def flavour() -> str:
    """The language of the runner. Tests to which it matters are parametrised over it."""
    return "auto"


@pytest.fixture
async def connect(flavour: str) -> AsyncIterator[Connect]:
    """`session = await connect(node.endpoint())`; keywords go to `SSHTransport`."""
    async with AsyncExitStack() as stack:

        async def open_session(endpoint: Endpoint, **settings: float) -> SSHSession:
            transport = SSHTransport(runner=flavour, **settings)  # type: ignore[arg-type]
            session = await transport.connect(endpoint)
            stack.push_async_callback(session.aclose)
            return session

        yield open_session


async def _listening(answer: bytes) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """A port that takes connections and never says a word."""
    server = await _listening(b"")
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def http_port() -> AsyncIterator[int]:
    """A port where something other than SSH answers."""
    server = await _listening(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + b"x" * 100_000)
    yield server.sockets[0].getsockname()[1]
    server.close()
