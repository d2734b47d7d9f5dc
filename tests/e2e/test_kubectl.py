"""An unmodified kubectl against a running server (contract G-1)."""

from collections.abc import Iterator

import pytest

from tests.support.kubectl import Kubectl
from tests.support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these tests; each takes names of its own."""
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def kubectl(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """kubectl for that server."""
    return Kubectl(tmp_path_factory.mktemp("kubectl"), server.url)


def test_it_finds_the_resources(kubectl: Kubectl) -> None:
    """G-1: by their names, and nothing that it then cannot reach."""
    lines = [line.split() for line in kubectl("api-resources", "--no-headers").splitlines()]
    assert ["nodes", "vn", "vendetta.dev/v1", "false", "Node"] in lines
    assert ["commands", "vcmd", "vendetta.dev/v1", "false", "Command"] in lines
    assert "vendetta.dev/v1" in kubectl("api-versions").splitlines()
    assert "+vendetta-" in kubectl("version")


def test_it_explains_every_field(kubectl: Kubectl) -> None:
    """G-1: with the descriptions of the models."""
    told = kubectl("explain", "node.spec.transport")
    assert "transport <TransportSpec>" in told
    assert "A file (or folder) in the server's credentials directory." in told
    assert "enum: strict, accept-new, insecure" in told
    tree = kubectl("explain", "vcmd", "--recursive")
    for field in ("deliveryTimeout\t<string>", "exitCode\t<integer>", "labels\t<map[string]string>"):
        assert field in tree
    assert 'field "colour" does not exist' in kubectl.refused("explain", "node.spec.colour")
