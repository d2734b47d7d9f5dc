"""What replicas give: writes and commands a second through one, two and three servers on one PostgreSQL.

Every server is the real one; nodes are on the fake transport, so a command costs what the servers and the store cost.
Each client sends its next request when it has its answer. One server on SQLite stands beside it for comparison.
Clients, servers and database share this machine: what they use of it is told, too.

    .venv/bin/python -m hack.bench.replicas [--clients 48] [--seconds 10] [--nodes 120]
"""

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from hack.bench.idle import cost, install_plugin
from tests.support.postgres import OwnServer
from tests.support.processes import descendants
from tests.support.server import ROOT, Server

Request = Callable[[int, int], bytes]
"""The n-th request, to a port."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What came of one measurement; CPU in seconds."""

    done: int
    seconds: float
    servers: float
    database: float

    def idle(self, count: int) -> str:
        """CPU of each server and of the database, in percent of a core."""
        return f"{100 * self.servers / self.seconds / count:5.1f}  {100 * self.database / self.seconds:5.1f}"

    def __str__(self) -> str:
        each = 1000 / self.done
        return f"{self.done / self.seconds:6.0f}/s  {each * self.servers:5.2f}  {each * self.database:5.2f}"


def request(method: str, port: int, path: str, body: object) -> bytes:
    text = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text


def writing(nodes: int) -> Request:
    """A change of one node's labels."""
    return lambda n, port: request("PUT", port, f"/api/v1/nodes/node-{n % nodes}", {"labels": {"n": str(n)}})


def commanding(nodes: int) -> Request:
    """A command, from its acceptance to its end."""
    body = {"type": "exec", "action": "true"}
    return lambda n, port: request("POST", port, f"/api/v1/nodes/node-{n % nodes}/commands?wait=30s", body)


async def load(ports: Sequence[int], clients: int, seconds: float, make: Request) -> int:
    """How many requests were answered; raises when one was refused."""
    numbers, until = itertools.count(), time.monotonic() + seconds
    counts = await asyncio.gather(*(_client(ports[i % len(ports)], numbers, until, make) for i in range(clients)))
    return sum(counts)


async def _client(port: int, numbers: "itertools.count[int]", until: float, make: Request) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.monotonic() < until:
        writer.write(make(next(numbers), port))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(maxsplit=1)[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"{head!r} {body!r}")
        done += 1
    writer.close()
    return done


def cpu_of(database: OwnServer) -> float:
    """CPU seconds of all its processes, those that have ended included."""
    first = int((database.data / "postmaster.pid").read_text().split()[0])
    fields = Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return ended + sum(cost(pid)[0] for pid in (first, *descendants(first)))


@contextmanager
def servers(dsn: str | None, count: int, nodes: int) -> Iterator[Sequence[Server]]:
    """So many on one store, with nodes registered and shared."""
    registry = {"provider": "postgres", "dsn": f"{dsn}&schema=b{uuid4().hex}"} if dsn else {}
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            install_plugin(folder)
            server = Server(folder, registry=registry, logging={"level": "warning"})
            server.environment["PYTHONPATH"] = f"{folder}:{ROOT}"
            stack.callback(server.close)
            started.append(server.start())
        for i in range(nodes):
            body = {"id": f"node-{i}", "address": f"fake-{i}", "transport": {"type": "fake"}}
            started[0].http.post("/api/v1/nodes", json=body).raise_for_status()
        while started[0].http.get("/metrics").json()["nodes"]["by_status"].get("active", 0) < nodes:
            time.sleep(0.2)
        yield started


def measure(
    started: Sequence[Server], database: OwnServer, make: Request | None, arguments: argparse.Namespace
) -> Rate:
    """One kind of load, or none."""
    processes = [server.process.pid for server in started if server.process is not None]
    used, of_database = sum(cost(pid)[0] for pid in processes), cpu_of(database)
    began = time.monotonic()
    ports = [server.port for server in started]
    if make is None:
        time.sleep(arguments.seconds)
        done = 0
    else:
        done = asyncio.run(load(ports, arguments.clients, arguments.seconds, make))
    seconds = time.monotonic() - began
    return Rate(done, seconds, sum(cost(pid)[0] for pid in processes) - used, cpu_of(database) - of_database)


def main() -> None:
    """Print a row for each number of servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--nodes", type=int, default=120)
    arguments = parser.parse_args()
    database = OwnServer()
    print("                 idle: % of a core, of database   writes: ms of servers, of database   commands: the same")
    try:
        for name, dsn, count in [("sqlite", None, 1), *(("postgres", database.url, n) for n in (1, 2, 3))]:
            with servers(dsn, count, arguments.nodes) as started:
                time.sleep(5)
                idle = measure(started, database, None, arguments)
                writes = measure(started, database, writing(arguments.nodes), arguments)
                commands = measure(started, database, commanding(arguments.nodes), arguments)
            print(f"{name:9} x {count}    {idle.idle(count)}                  {writes}        {commands}", flush=True)
    finally:
        database.close()
    print(f"load of the machine {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
