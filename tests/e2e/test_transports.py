"""The main job over every transport: the same scenario, whoever carries it."""

import asyncio
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeServer
from tests.support import netns, processes
from tests.support.agents import AgentProcess
from tests.support.keys import make_key_pair
from tests.support.netns import INSIDE, OUTSIDE, Network
from tests.support.nodes import SshdNode
from tests.support.server import Server

pytestmark = pytest.mark.sshd
TOKEN = "a-token-of-the-agent"


class Machine(ABC):
    """A machine behind one of the transports, on the far side of the network."""

    home: Path

    @abstractmethod
    def register(self, server: Server) -> None:
        """Have it known to the server as `machine`."""

    @abstractmethod
    def break_down(self) -> None:
        """SIGKILL what serves the transport there, and start it again. Runs go on."""


class ByAgent(Machine):
    """Has an agent on it."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.agent = AgentProcess(folder)
        self.agent.prefix = network.inside
        self.agent.address = INSIDE
        self.home = self.agent.home

    def break_down(self) -> None:
        """See there."""
        self.agent.kill()
        self.agent.launch()


class ByHTTP(ByAgent):
    """The server dials it."""

    def register(self, server: Server) -> None:
        """See there."""
        asyncio.run(self.agent.serve(TOKEN, "--host", INSIDE, "--insecure"))
        register_http(server, self.agent, "machine", tls=False, insecure=True)


class ByWebSocket(ByAgent):
    """It dials the server, which could not dial it."""

    def __init__(self, folder: Path, network: Network) -> None:
        super().__init__(folder, network)
        network.close_inside()

    def register(self, server: Server) -> None:
        """See there."""
        self.agent.connect(f"http://{OUTSIDE}:{server.port}", "machine", "--insecure")
        until_reachable(server, "machine")


class BySSH(Machine):
    """Has nothing but sshd."""

    def __init__(self, node: SshdNode) -> None:
        self.node = node
        self.home = node.home

    def register(self, server: Server) -> None:
        """See there."""
        server.register("machine", self.node)

    def break_down(self) -> None:
        """See there."""
        asyncio.run(self.node.restart())


class FarNode(SshdNode):
    """An sshd on the far side."""

    def __init__(self, network: Network, root: Path) -> None:
        super().__init__(root, make_key_pair(root / "key"))
        self._network = network
        self.address = INSIDE

    def command(self, port: int) -> list[str]:
        """Sshd, there."""
        return [*self._network.inside, *super().command(port)]


def register_http(server: Server, agent: AgentProcess, name: str, **more: object) -> None:
    """Register that agent under a name, its token in the credentials directory."""
    folder = server.credentials / "agent"
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(TOKEN + "\n")
    transport = {"type": "http", "credential_ref": "agent", **more}
    body = {"id": name, "address": agent.address, "port": agent.port, "transport": transport}
    assert server.http.post("/api/v1/nodes", json=body).status_code == 200


def until_reachable(server: Server, name: str) -> None:
    """Wait until the node answers probes."""
    deadline = time.monotonic() + 30
    while True:
        found = server.http.get(f"/api/v1/nodes/{name}")
        conditions = {c["type"]: c["status"] for c in found.json().get("conditions", [])}
        if conditions.get("Reachable") == "True":
            return
        assert time.monotonic() < deadline, found.text
        time.sleep(0.05)


@pytest.fixture
def network() -> Iterator[Network]:
    """The test is on the server's side of it."""
    if reason := netns.missing():
        pytest.skip(f"no network namespaces here: {reason}")
    with netns.network() as made, made.entered():
        yield made


@pytest.fixture(params=["ssh", "http", "websocket"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, network: Network) -> Iterator[Machine]:
    """One behind each transport."""
    if request.param == "ssh":
        node = FarNode(network, tmp_path)
        asyncio.run(node.start())
        yield BySSH(node)
        node.close()
        return
    made = (ByHTTP if request.param == "http" else ByWebSocket)(tmp_path, network)
    yield made
    made.agent.close()


@pytest.fixture
def open_server(network: Network, make_server: MakeServer) -> Server:
    """One that lets the other side in."""
    return make_server(server={"host": "0.0.0.0"}, auth={"allow_insecure_remote": True}).start()


def test_the_main_job(machine: Machine, open_server: Server) -> None:
    """Register, run, collect 20 MB, cancel; lose the server, lose the node's side: once, whole, right (C-9)."""
    machine.register(open_server)
    run_and_collect(open_server, machine)
    cancel(open_server)
    lose_the_server(open_server, machine)
    lose_the_other_side(open_server, machine)


def run_and_collect(server: Server, machine: Machine) -> None:
    result = server.send("machine", "echo out; echo err >&2; exit 3").json()
    assert (result["status"], result["exit_code"]) == ("error", 3)
    assert (result["stdout"], result["stderr"]) == ("out\n", "err\n")
    result = server.send("machine", "head -c 20000000 /dev/urandom | tee $HOME/copy").json()
    assert (result["status"], result["output_bytes"], result["output_bytes_exact"]) == ("success", 20_000_000, True)
    logs = server.http.get(f"/api/v1/commands/{result['id']}/logs").content
    copy = (machine.home / "copy").read_bytes()
    assert hashlib.sha256(logs).digest() == hashlib.sha256(copy).digest()


def cancel(server: Server) -> None:
    marker = processes.mark(4730)
    command = server.send("machine", f"setsid sleep {marker} & sleep {marker}", wait="0", grace="1s").json()
    server.until(command["id"], "running")
    assert server.http.post(f"/api/v1/commands/{command['id']}/cancel").status_code in {200, 202}
    assert server.ended(command["id"])["status"] == "cancelled"
    assert processes.with_argument(marker) == []


def lines(server: Server, machine: Machine) -> str:
    script = "echo ran >>$HOME/truth; for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done; exit 7"
    command: str = server.send("machine", script, wait="0").json()["id"]
    server.until(command, "running")
    (machine.home / "truth").read_text()
    return command


def whole(server: Server, machine: Machine, command: str) -> None:
    result = server.ended(command)
    assert (result["status"], result["exit_code"]) == ("error", 7), result
    assert result["output"] == "\n".join(f"line {i}" for i in range(1, 7))
    assert (machine.home / "truth").read_text() == "ran\n"
    (machine.home / "truth").unlink()


def lose_the_server(server: Server, machine: Machine) -> None:
    command = lines(server, machine)
    server.kill()
    server.start()
    whole(server, machine, command)


def lose_the_other_side(server: Server, machine: Machine) -> None:
    command = lines(server, machine)
    machine.break_down()
    whole(server, machine, command)


def test_a_command_that_was_claimed_over_ssh_is_followed_over_another_transport(
    make_server: MakeServer, ssh_node: SshdNode, tmp_path: Path
) -> None:
    """B-2: the same machine, reached another way once the first is gone; nothing runs twice (C-9)."""
    server = make_server(registry={"health_check_interval": "1s"}).start()
    agent = AgentProcess(tmp_path)
    agent.home.rmdir()
    agent.home.symlink_to(ssh_node.home)
    try:
        asyncio.run(agent.serve(TOKEN))
        register_http(server, agent, "machine")
        ssh = server.transport_to(ssh_node)
        http = {"type": "http", "address": "127.0.0.1", "port": agent.port, "credential_ref": "agent"}
        server.http.patch("/api/v1/nodes/machine", json={"transport": None, "transports": [ssh, http]})
        command = server.send("machine", "echo ran >>$HOME/truth; echo a; sleep 3; echo b; exit 5", wait="0").json()
        assert server.until(command["id"], "running")["transport"] == "ssh"
        ssh_node.stop()
        result = server.ended(command["id"])
        assert (result["status"], result["exit_code"], result["output"]) == ("error", 5, "a\nb")
        assert (ssh_node.home / "truth").read_text() == "ran\n"
        after = server.send("machine", "echo over").json()
        assert (after["output"], after["transport"]) == ("over", "http")
    finally:
        agent.close()
