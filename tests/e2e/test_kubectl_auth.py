"""kubectl with a token, over TLS: it sends none without (contract E-5)."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.kubectl import Kubectl
from tests.support.server import ROOT, Server
from tests.support.tlsfront import TLSFront

SECRET = "0123456789abcdef0123456789abcdef"
NODE = yaml.safe_dump({"apiVersion": "vendetta.dev/v1", "kind": "Node", "metadata": {"name": "n1"}})


def vendetta(server: Server, *arguments: str, **environment: str) -> str:
    """What the CLI prints."""
    done = subprocess.run(
        [sys.executable, "-m", "api.cli.main", *arguments],
        env={"PYTHONPATH": str(ROOT), "HOME": str(server.folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens."""
    settings: dict[str, dict[str, Any]] = {
        "auth": {"enabled": True, "jwt_secret": SECRET},
        "server": {"auth_token": ""},
    }
    running = Server(tmp_path_factory.mktemp("server"), **settings).start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def front(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TLSFront]:
    """TLS before it."""
    with TLSFront(tmp_path_factory.mktemp("front"), server.port) as listening:
        yield listening


@pytest.fixture
def kubectl(
    server: Server, front: TLSFront, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Kubectl:
    """kubectl with the kubeconfig that `vendetta kubeconfig` prints for a token of that role."""
    token = vendetta(
        server, "token", "create", "--role", request.param, "--sub", "olga", "--config", str(server.config)
    )
    authority = ("--certificate-authority", str(front.certificate))
    config = vendetta(server, "--server", front.url, "kubeconfig", *authority, VENDETTA_TOKEN=token.strip())
    return Kubectl(tmp_path_factory.mktemp("kubectl"), front.url, config=config)


@pytest.mark.parametrize("kubectl", ["admin"], indirect=True)
def test_an_admin_may_do_everything(kubectl: Kubectl) -> None:
    """E-5: the kubeconfig is all that it takes."""
    who = [line.split() for line in kubectl("auth", "whoami").splitlines()]
    assert ["Username", "olga"] in who
    assert ["Extra:", "vendetta.dev/role", "[admin]"] in who
    kubectl("create", "-f", "-", stdin=NODE)
    kubectl("delete", "node", "n1")


@pytest.mark.parametrize("kubectl", ["admin"], indirect=True)
def test_nobody_acts_for_somebody_else(kubectl: Kubectl) -> None:
    """E-5: impersonation is refused, and not overlooked: the answer would be about the caller's own rights."""
    kubectl("get", "nodes", "-o", "name")  # so that it knows the resources: of discovery it tells no reasons
    for ask in (("get", "nodes"), ("auth", "can-i", "delete", "nodes.vendetta.dev")):
        assert "nobody can be impersonated here" in kubectl.refused(*ask, "--as", "olga")


@pytest.mark.parametrize("kubectl", ["viewer"], indirect=True)
def test_a_viewer_may_look(kubectl: Kubectl) -> None:
    """E-5: and kubectl tells it so, before and after it tries."""
    assert kubectl.run("auth", "can-i", "list", "commands").stdout == "yes\n"
    denied = kubectl.run("auth", "can-i", "create", "nodes.vendetta.dev")
    assert (denied.returncode, denied.stdout) == (1, "no - the role viewer does not allow it\n")
    kubectl("get", "nodes,commands", "-o", "name")
    refused = kubectl.refused("create", "-f", "-", stdin=NODE)
    assert "Error from server (Forbidden)" in refused


def test_nobody_is_let_in_with_a_token_that_does_not_count(
    front: TLSFront, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """E-5: kubectl says that one has to log in."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "v", "cluster": {"server": front.url, "certificate-authority": str(front.certificate)}}
        ],
        "users": [{"name": "v", "user": {"token": "none-of-ours"}}],
        "contexts": [{"name": "v", "context": {"cluster": "v", "user": "v"}}],
        "current-context": "v",
    }
    kubectl = Kubectl(tmp_path_factory.mktemp("kubectl"), front.url, config=yaml.safe_dump(config))
    assert "You must be logged in to the server" in kubectl.refused("get", "nodes")
