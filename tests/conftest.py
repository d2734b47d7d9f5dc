"""Fixtures for the whole suite: real SSH servers on loopback, a key to open them, a proxy to disturb them."""

from collections.abc import Iterator

import pytest

from tests.support.keys import KeyPair, make_key_pair
from tests.support.nodes import DropbearFactory, DropbearNode, Farm, SshdFactory, find_program


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
