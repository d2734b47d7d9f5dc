"""A node that nobody can dial: it joins by a one-time token, dials in, and is a node like any other."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeServer
from tests.support import netns
from tests.support.agents import AgentProcess
from tests.support.netns import INSIDE, OUTSIDE, Network
from tests.support.server import ROOT, Server

ADMIN = "the-token-of-the-administrator"
DIAL = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)"


@pytest.fixture
def network() -> Iterator[Network]:
    """The server's side, and the side that cannot be reached from there."""
    if reason := netns.missing():
        pytest.skip(f"no network namespaces here: {reason}")
    with netns.network() as made:
        made.close_inside()
        yield made


class Site:
    """A server on one side, and the command line beside it."""

    def __init__(self, server: Server, network: Network) -> None:
        self.server, self._network = server, network
        server.prefix = network.outside
        server.launch()
        deadline = time.monotonic() + 30
        while self.cli("get", "nodes").returncode:
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.2)

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"http://{OUTSIDE}:{self.server.port}"

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `vendetta …` as the administrator."""
        command = [*self._network.outside, sys.executable, "-m", "api.cli.main", "--server", self.url, *arguments]
        environment = {**os.environ, "VENDETTA_TOKEN": ADMIN}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def until(self, *arguments: str, says: str) -> None:
        """Wait for what that says."""
        deadline = time.monotonic() + 30
        while says not in (done := self.cli(*arguments)).stdout:
            assert time.monotonic() < deadline, done
            time.sleep(0.2)


@pytest.fixture
def site(make_server: MakeServer, network: Network) -> Site:
    """With authentication on: the node is another machine."""
    auth = {"enabled": True, "jwt_secret": "a-secret-of-at-least-thirty-two-bytes"}
    return Site(make_server(server={"host": "0.0.0.0", "auth_token": ADMIN}, auth=auth), network)


@pytest.fixture
def agent(tmp_path: Path, network: Network) -> Iterator[AgentProcess]:
    """On the far side."""
    made = AgentProcess(tmp_path)
    made.prefix = network.inside
    yield made
    made.close()


def test_a_node_that_cannot_be_dialled_joins_and_runs_commands(
    site: Site, agent: AgentProcess, network: Network
) -> None:
    token = json.loads(site.cli("node", "join-token", "--output", "json").stdout)["token"]
    agent.connect(site.url, "laptop", "--insecure", "--label", "env=dev", VENDETTA_JOIN_TOKEN=token)
    site.until("get", "nodes", says="laptop")
    done = site.cli("exec", "laptop", "--", "sh", "-c", "echo from inside; exit 9")
    assert (done.stdout, done.returncode) == ("from inside\n", 9)
    with subprocess.Popen([*network.inside, sys.executable, "-m", "http.server", "8080"], stderr=-3) as listener:
        dial = subprocess.run(
            [*network.outside, sys.executable, "-c", DIAL, INSIDE, "8080"], capture_output=True, check=False
        )
        listener.kill()
    assert b"timed out" in dial.stderr
    assert "used" in a_second_use_of(site, agent, token)


def a_second_use_of(site: Site, agent: AgentProcess, token: str) -> str:
    """Another agent with the same token: refused, and it says why."""
    agent.stop()
    (agent.state / "state.json").unlink()
    agent.connect(site.url, "impostor", "--insecure", VENDETTA_JOIN_TOKEN=token)
    assert agent.process is not None
    assert agent.process.wait(20) == 1
    return agent.log.read_text().splitlines()[-1]


def test_an_agent_stays_what_it_is_and_a_revoked_one_is_cut_off(site: Site, agent: AgentProcess) -> None:
    token = json.loads(site.cli("node", "join-token", "--output", "json").stdout)["token"]
    agent.connect(site.url, "laptop", "--insecure", VENDETTA_JOIN_TOKEN=token)
    site.until("get", "nodes", says="active")
    agent.kill()
    agent.launch("connect", site.url, "--insecure", "--state", str(agent.state))
    assert site.cli("exec", "laptop", "--", "echo", "again").stdout == "again\n"
    assert site.cli("node", "revoke", "laptop").returncode == 0
    deadline = time.monotonic() + 30
    while "refused the connection with 401" not in agent.log.read_text():
        assert time.monotonic() < deadline, agent.log.read_text()
        time.sleep(0.2)
