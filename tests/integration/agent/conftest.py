"""What the tests of agents share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import AgentProcess
from tests.support.certificates import Certificate
from transports.base import Credential, Endpoint, Session
from transports.http.transport import HTTPTransport

TOKEN = "a-token-of-the-agent"
Connect = Callable[..., Awaitable[Session]]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent that is not started yet."""
    made = AgentProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`session = await connect(port, …)`: fields of the endpoint by keyword, closed in the end."""
    async with AsyncExitStack() as stack:

        async def open_session(port: int, **fields: Any) -> Session:
            given = {"credential": Credential(token=TOKEN), "connect_timeout": 5.0, **fields}
            session = await HTTPTransport().connect(Endpoint(node="n", address="127.0.0.1", port=port, **given))
            stack.push_async_callback(session.aclose)
            return session

        yield open_session


@pytest.fixture
def authority(tmp_path: Path) -> Certificate:
    """Who signs."""
    return Certificate.make(tmp_path, "authority")
