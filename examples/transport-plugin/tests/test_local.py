"""The plugin passes the suite that every transport passes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from vendetta_local import LocalTransport

from transports.base import Endpoint, RunId, Session
from transports.registry import load
from transports.runner.client import Runner
from transports.testing import TransportContract


class Here:
    """This machine, with a home of the test's own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._transport = LocalTransport(home=home)
        self._sessions: list[Runner] = []

    async def connect(self) -> Session:
        """A new session."""
        self._sessions.append(await self._transport.connect(Endpoint(node="here", address="here", port=1)))
        return self._sessions[-1]

    async def executions(self, run: RunId) -> int:
        """Lines of the truth."""
        truth = self._home / "truth"
        return truth.read_text().splitlines().count(run) if truth.exists() else 0

    async def cut(self) -> None:
        """End all sessions."""
        for session in self._sessions:
            await session.aclose()


class TestLocal(TransportContract):
    """All of it."""

    @pytest.fixture
    async def ground(self, tmp_path: Path) -> AsyncIterator[Here]:
        """This machine."""
        here = Here(tmp_path)
        yield here
        await here.cut()


def test_it_is_found_by_its_entry_point() -> None:
    """What a server does with the name in a node's transport."""
    assert load("local") is LocalTransport
