"""Three servers that share the nodes over one PostgreSQL: any of them answers, any of them may die (contract A-6)."""

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from controller.shares import owner_of
from controller.store.postgres.database import Database
from tests.support.agents import AgentProcess
from tests.support.keys import KeyPair
from tests.support.live import SSE, Frame
from tests.support.nodes import Farm, SshdNode, find_program
from tests.support.postgres import fresh_dsn
from tests.support.server import Server

pytestmark = pytest.mark.sshd

NAMES = [f"node-{number}" for number in range(6)]
LEASE = 3


class Replicas:
    """The servers, and what the database knows of them."""

    def __init__(self, servers: list[Server], gate: Server, dsn: str) -> None:
        self.servers, self.gate, self._dsn = servers, gate, dsn

    def start(self, server: Server) -> None:
        """Start it and wait until all that run agree on who there is."""
        server.start()
        self.settled()

    def settled(self) -> None:
        """Every node is worked on by one server, and no server that is gone counts any more."""
        alive = [server for server in self.servers if server.is_ready()]

        def agreed() -> bool:
            members = {gauge(server, "vendetta_replica_live_members") for server in alive}
            return members == {len(alive)} and sum(map(share, alive)) == nodes(alive[0])

        until("the servers have shared out the nodes", agreed)

    def owner(self, node: str) -> Server:
        """Who works on that node, by its name alone."""
        ports = asyncio.run(self._ports())
        port = ports[owner_of(node, frozenset(ports)) or ""]
        return next(server for server in self.servers if server.port == port)

    async def _ports(self) -> dict[str, int]:
        database = Database.of(self._dsn)
        connection: asyncpg.Connection = await database.connect()
        try:
            rows = await connection.fetch(f'SELECT id, address FROM "{database.schema}".members WHERE takes_shares')
        finally:
            await connection.close()
        return {row["id"]: int(row["address"].rpartition(":")[2]) for row in rows}

    def others(self, server: Server) -> list[Server]:
        """All but that one."""
        return [other for other in self.servers if other is not server]


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory, ssh_node: SshdNode) -> Iterator[Replicas]:
    """Three, running, with the same nodes registered at one or another of them."""
    dsn = fresh_dsn()
    registry = {"provider": "postgres", "dsn": dsn, "lease_duration": f"{LEASE}s", "health_check_interval": "1s"}
    gate, *servers = (
        Server(tmp_path_factory.mktemp("server"), registry=registry, server={"role": role})
        for role in ("api", "all", "all", "all")
    )
    made = Replicas(servers, gate, dsn)
    try:
        for server in (gate, *servers):
            server.credential("key", ssh_node)
            server.launch()
        until("all are ready", lambda: all(server.is_ready() for server in (gate, *servers)))
        for number, name in enumerate(NAMES):
            made.servers[number % 3].register(name, ssh_node)
        made.settled()
        yield made
    finally:
        for server in (gate, *servers):
            server.close()


@pytest.fixture(scope="module")
def ssh_node(tmp_path_factory: pytest.TempPathFactory, client_key: KeyPair) -> Iterator[SshdNode]:
    """The machine behind all names."""
    if not find_program("sshd"):
        pytest.skip("sshd is not installed")
    farm = Farm(tmp_path_factory.mktemp("farm"), client_key)
    yield asyncio.run(farm.sshd())
    farm.close()


def until(what: str, good: Callable[[], object], seconds: float = 60) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def gauge(server: Server, name: str) -> float:
    """The value of a metric without labels."""
    text = server.http.get("/metrics/prometheus").text
    return next(s.value for family in text_string_to_metric_families(text) for s in family.samples if s.name == name)


def share(server: Server) -> float:
    """How many nodes it works on."""
    return gauge(server, "vendetta_replica_nodes")


def nodes(server: Server) -> int:
    """How many nodes there are."""
    return len(server.http.get("/api/v1/nodes").json()["nodes"])


def hold(server: Server, node: SshdNode, name: str) -> str:
    """Start a command that runs until `let_go`, and leaves a line each time that it is executed."""
    script = f"echo {name} >> $HOME/ran; while [ ! -e $HOME/go ]; do sleep 0.1; done; echo done"
    return str(server.send(name, script, wait="0").json()["id"])


def ran(node: SshdNode) -> Counter[str]:
    """How often each of those was executed."""
    file = node.home / "ran"
    return Counter(file.read_text().split() if file.exists() else ())


class Listener:
    """An event stream that goes on at another server where it ended, by the id of the last event."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def follow(self, server: Server, stop: Callable[[], bool]) -> None:
        """Listen there until that is so, or the stream ends."""
        last = [f"Last-Event-ID: {self.frames[-1].id}"] if self.frames else []
        with suppress(OSError, EOFError, ValueError), SSE(server.port, "/ws", *last, timeout=10) as client:
            while not stop() and (frame := client.frame()) is not None:
                if frame.data:
                    self.frames.append(frame)

    def has_heard_of(self, name: str) -> bool:
        """Whether that node was in the first state, or told since."""
        return name in self.at_first() or name in self.registered()

    def at_first(self) -> list[str]:
        """The nodes in the snapshot, if there was one."""
        return [node["id"] for node in self.frames[0].data["data"]["nodes"]] if self.frames else []

    def registered(self) -> list[str]:
        """The names that were told, in order."""
        return [f.data["data"]["node"]["id"] for f in self.frames if f.data.get("type") == "node_registered"]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """A machine that dials in."""
    made = AgentProcess(tmp_path)
    yield made
    made.close()


def test_any_server_answers_for_all(replicas: Replicas, agent: AgentProcess) -> None:
    """Commands, nodes, events, live output and agents: whoever works on the node, and whoever is asked."""
    a, b, c = replicas.servers
    assert sum(map(share, replicas.servers)) == len(NAMES)
    for name in NAMES:
        for server in replicas.servers:
            assert server.send(name, f"echo {name}").json()["output"] == name

    def all_active(server: Server) -> bool:
        nodes = server.http.get("/api/v1/nodes").json()["nodes"]
        return [(node["id"], node["status"]) for node in nodes] == [(name, "active") for name in NAMES]

    assert all(all_active(server) for server in replicas.servers)

    agent.connect(a.url, "laptop", "--insecure")
    until("the agent's node is there", lambda: b.http.get("/api/v1/nodes/laptop").is_success)
    results = [server.send("laptop", "echo from inside", timeout="30s").json() for server in (b, c)]
    assert [result["output"] for result in results] == ["from inside"] * 2
    assert [gauge(server, "vendetta_agents") for server in (a, b, c)] == [1, 0, 0]
    agent.kill()
    agent.connect(b.url, "laptop", "--insecure")
    until("the agent is there", lambda: gauge(b, "vendetta_agents") == 1)
    assert a.send("laptop", "echo from there", timeout="30s").json()["output"] == "from there"

    first = next(s for s in replicas.servers if s is not replicas.owner(NAMES[0]))
    command = first.send(NAMES[0], "echo one; sleep 1; echo two", wait="0").json()["id"]
    with first.http.stream("GET", f"/api/v1/commands/{command}/logs", params={"follow": "true"}) as output:
        assert b"".join(output.iter_bytes()) == b"one\ntwo\n"
    assert first.command(command)["status"] == "success"

    listener, added = Listener(), [f"new-{number}" for number in range(9)]
    for server, names in ((a, added[:3]), (b, added[3:6]), (c, added[6:])):
        for name in names:
            assert server.http.post("/api/v1/nodes", json={"id": name, "provider": "none"}).is_success
        listener.follow(replicas.others(server)[0], partial(listener.has_heard_of, names[-1]))
    # A server may not have heard of all when it is asked: what its snapshot lacks is an event, and only that.
    assert [name for name in listener.at_first() if name in added] + listener.registered() == added
    assert len({frame.id for frame in listener.frames}) == len(listener.frames)
    assert [f.data["type"] for f in listener.frames].count("initial_state") == 1


def test_each_server_says_how_services_are(replicas: Replicas, ssh_node: SshdNode) -> None:
    """Whichever checks them: in the API, and as targets of Prometheus."""
    service = {"id": "ssh", "port": ssh_node.port, "check": {"tcp": True, "interval": "1s"}}
    for number, name in enumerate(NAMES[:3]):
        replicas.servers[number].register(name, ssh_node, services=[service])

    def running(server: Server) -> bool:
        found = server.http.get("/api/v1/services/ssh").json()["services"]
        return [service["status"] for node in found.values() for service in node] == ["running"] * 3

    until("all say that they run", lambda: all(map(running, (*replicas.servers, replicas.gate))))
    targets = [server.http.get("/api/v1/sd/prometheus").json() for server in (*replicas.servers, replicas.gate)]
    assert targets == [targets[0]] * 4
    assert len(targets[0]) == 3


def test_a_server_that_only_answers_has_no_share(replicas: Replicas) -> None:
    """With the role api: what it is asked for others do; agents are sent away, to dial in to another server."""
    gate = replicas.gate
    assert (share(gate), gauge(gate, "vendetta_replica_live_members")) == (0, 3)
    assert gate.send(NAMES[0], "echo done").json()["output"] == "done"
    assert gate.http.post("/api/v1/nodes", json={"id": "dialler", "provider": "none"}).is_success
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{gate.port}/api/v1/nodes/dialler/connect"):
        pass
    assert refused.value.response.status_code == 503


def test_servers_die_and_stop_and_what_runs_goes_on(replicas: Replicas, ssh_node: SshdNode) -> None:
    """SIGKILL, and SIGSTOP for longer than the lease: each command is executed once, its result collected."""
    commands = [hold(replicas.servers[0], ssh_node, name) for name in NAMES]
    until("all of them run", lambda: ran(ssh_node) == Counter(NAMES))

    killed = replicas.owner(NAMES[0])
    killed.kill()
    replicas.settled()
    assert replicas.owner(NAMES[0]) is not killed

    stopped = replicas.owner(NAMES[0])
    assert stopped.process is not None
    stopped.process.send_signal(signal.SIGSTOP)
    (left,) = [server for server in replicas.servers if server not in (killed, stopped)]
    until("the last one has them all", lambda: share(left) == nodes(left))
    assert left.send(NAMES[0], "echo meanwhile").json()["output"] == "meanwhile"
    with ask_for(stopped, "late"):
        stopped.process.send_signal(signal.SIGCONT)
        until("it is back", stopped.is_ready)
    replicas.start(killed)

    (ssh_node.home / "go").touch()
    for command in commands:
        ended = replicas.gate.ended(command)
        assert (ended["status"], ended["output"], ended["certainty"]) == ("success", "done", "confirmed")
    assert ran(ssh_node) == Counter(NAMES)
    assert [server.stop() for server in replicas.servers] == [0, 0, 0]


def ask_for(server: Server, name: str) -> socket.socket:
    """Ask it for a node, whenever it may get to that."""
    body = f'{{"id": "{name}", "provider": "none"}}'
    head = f"POST /api/v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(f"{head}\r\n\r\n{body}".encode())
    return connection
