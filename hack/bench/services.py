"""What checking services costs: 2,000 of them every ten seconds, over HTTP or TCP, from one process.

The server is the real one; its nodes are on the fake transport, and their services are in a process of their own,
which answers each request at once.

    .venv/bin/python -m hack.bench.services [--services 2000] [--seconds 60] [--kind http|tcp]
"""

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from hack.bench.idle import cost, install_plugin
from tests.support.server import ROOT, Server

PER_NODE = 200
LATENESS = 'vendetta_service_check_lateness_seconds_bucket{le="'
ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def answer(told: Connection) -> None:
    """A web server that says its port."""
    asyncio.run(_answer(told))


async def _answer(told: Connection) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(4096):
            writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, backlog=1024)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def register(server: Server, services: int, port: int, kind: str) -> None:
    check: dict[str, object] = {"interval": "10s", kind: True if kind == "tcp" else {}}
    for n in range(0, services, PER_NODE):
        mine = [{"id": f"s{i}", "port": port, "check": check} for i in range(n, min(n + PER_NODE, services))]
        body = {"id": f"node-{n}", "address": "127.0.0.1", "transport": {"type": "fake"}, "services": mine}
        server.http.post("/api/v1/nodes", json=body).raise_for_status()


def lateness(server: Server) -> dict[float, float]:
    """How many checks were at most that late, in seconds."""
    lines = server.http.get("/metrics/prometheus").text.splitlines()
    found = (line.removeprefix(LATENESS).split('"} ') for line in lines if line.startswith(LATENESS))
    return {float(bound): float(count) for bound, count in found}


def quantile(share: float, counts: dict[float, float]) -> float:
    """The bucket's bound that so many are within."""
    return next(bound for bound, count in counts.items() if count >= share * counts[float("inf")])


def measure(server: Server, seconds: float) -> None:
    assert server.process is not None
    before, used = lateness(server), cost(server.process.pid)[0]
    time.sleep(seconds)
    after, (now_used, memory) = lateness(server), cost(server.process.pid)
    counts = {bound: count - before[bound] for bound, count in after.items()}
    services = [s for many in server.http.get("/api/v1/services").json()["services"].values() for s in many]
    running = sum(s["status"] == "running" for s in services)
    print(
        f"{counts[float('inf')] / seconds:.0f} checks a second, {100 * (now_used - used) / seconds:.1f} % of a core, "
        f"{memory:.0f} MiB; started at most {1000 * quantile(0.5, counts):g} ms (p50), "
        f"{1000 * quantile(0.99, counts):g} ms (p99) late; {running} of {len(services)} running; "
        f"load of the machine {os.getloadavg()[0]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kind", choices=["http", "tcp"], default="http")
    arguments = parser.parse_args()
    told, tell = multiprocessing.Pipe()
    web = multiprocessing.Process(target=answer, args=(tell,), daemon=True)
    web.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_plugin(folder)
        server = Server(folder, logging={"level": "warning"})
        server.environment["PYTHONPATH"] = f"{folder}:{ROOT}"
        try:
            server.start()
            register(server, arguments.services, told.recv(), arguments.kind)
            time.sleep(15)
            measure(server, arguments.seconds)
        finally:
            server.close()
            web.terminate()


if __name__ == "__main__":
    main()
