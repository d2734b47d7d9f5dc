"""Fixtures for the whole suite: real SSH servers on loopback, a key to open them, a proxy to disturb them."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial

import pytest

from tests.support.keys import KeyPair, make_key_pair
from tests.support.nodes import DropbearFactory, DropbearNode, Farm, SshdFactory, find_program
from tests.support.oddservers import OddServerFactory, start_odd_server
from tests.support.proxy import Proxy


@pytest.fixture(scope="session")
def client_key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """The key pair that every node trusts unless told otherwise."""
    return make_key_pair(tmp_path_factory.mktemp("keys") / "id_ed25519")


@pytest.fixture
def farm(tmp_path_factory: pytest.TempPathFactory, client_key: KeyPair) -> Iterator[Farm]:
    """Where the nodes of one test live; they end with it."""
    nodes = Farm(tmp_path_factory.mktemp("farm"), client_key)
    yield nodes
    nodes.close()


@pytest.fixture
def sshd(farm: Farm) -> SshdFactory:
    """Start throw-away OpenSSH nodes: `node = await sshd()`; tests/support/nodes.py says what they offer."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    return farm.sshd


@pytest.fixture
def dropbear(farm: Farm) -> DropbearFactory:
    """Start throw-away dropbear nodes: `node = await dropbear()`."""
    if reason := DropbearNode.missing():
        pytest.skip(reason)
    return farm.dropbear


@pytest.fixture
async def odd_server() -> AsyncIterator[OddServerFactory]:
    """Start SSH servers that misbehave: `server = await odd_server(refuse_channels=True)`."""
    async with AsyncExitStack() as stack:
        yield partial(start_odd_server, stack)


@pytest.fixture
async def proxy() -> AsyncIterator[Callable[[int], Awaitable[Proxy]]]:
    """Put a proxy in front of a port: `between = await proxy(node.port)`, then `between.stall()` and so on."""
    async with AsyncExitStack() as stack:

        async def start(port: int) -> Proxy:
            made = Proxy(port)
            stack.push_async_callback(made.aclose)
            return await made.start()

        yield start


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing is skipped where everything is installed: in CI a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("CI") != "true":
        return
    if skipped := reporter.stats.get("skipped", []):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"{len(skipped)} skipped, which CI does not allow", red=True)
