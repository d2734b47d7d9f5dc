"""Fixtures for tests from the outside: real server processes, real SSH nodes, plain HTTP."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.server import Server

MakeServer = Callable[..., Server]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Make (not yet start) servers with settings of one's own; they end with the test."""
    made: list[Server] = []

    def make(**sections: dict[str, Any]) -> Server:
        folder = tmp_path / f"server-{len(made)}"
        folder.mkdir()
        made.append(Server(folder, **sections))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    """A running server on SQLite with everything else as documented."""
    return make_server().start()


@pytest.fixture
def ssh_node(farm: Farm) -> SshdNode:
    """A running OpenSSH node."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    return asyncio.run(farm.sshd())
