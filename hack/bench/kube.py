"""The Kubernetes face with many nodes: lists in each form, and watchers who all see a change.

The server is the real one, on SQLite, with all its controllers; the nodes are on the fake transport. Beside each list
goes the floor: the same bytes, ready made, from Python's own file server.

    .venv/bin/python -m hack.bench.kube [--nodes 10000] [--watchers 200] [--rounds 9] [--changes 30]
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from hack.bench.idle import cost, install_plugin
from tests.support.nodes import free_port
from tests.support.server import ROOT, Server

NODES = "/apis/vendetta.dev/v1/nodes"
TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"}
METADATA = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
COUNT = re.compile(rb'"count":"([0-9]+)"')
MERGE = {"Content-Type": "application/merge-patch+json"}
SETTLED = 0.05
"""CPU seconds a second below which the server is taken to have nothing left to do."""


async def register(server: Server, count: int) -> None:
    """Create that many nodes, a hundredth of them with a label to select."""

    async def some(client: httpx2.AsyncClient, numbers: range) -> None:
        for number in numbers:
            labels = {"rack": f"r{number % 40}"} | ({"chosen": "yes"} if number % 100 == 0 else {})
            body = {"id": f"node-{number:05}", "address": f"fake-{number}", "labels": labels}
            body |= {"provider": "lxc", "transport": {"type": "fake"}}
            (await client.post("/api/v1/nodes", json=body)).raise_for_status()

    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=120) as client:
        await asyncio.gather(*(some(client, range(first, count, 32)) for first in range(32)))


def settle(server: Server) -> None:
    """Wait until all nodes were probed and what came of it is written."""
    while True:
        before = cpu(server)
        time.sleep(2)
        if (cpu(server) - before) / 2000 < SETTLED:
            return


@contextmanager
def floor(folder: Path) -> Iterator[str]:
    """A file server over that folder."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                httpx2.get(url, trust_env=False)
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


def milliseconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def cpu(server: Server) -> float:
    """Milliseconds of CPU that the server has used so far."""
    assert server.process is not None
    return cost(server.process.pid)[0] * 1000


def whole(server: Server, headers: dict[str, str] | None = None, **params: str) -> bytes:
    """A list in one answer."""
    return server.http.get(NODES, headers=headers, params=params).raise_for_status().content


def in_chunks(server: Server, headers: dict[str, str] | None = None) -> int:
    """How many objects come in pages of 500, as kubectl asks for them."""
    token, count = "", 0
    while True:
        page = json.loads(whole(server, headers, limit="500", **({"continue": token} if token else {})))
        count += len(page.get("items") or page.get("rows") or ())
        token = page["metadata"].get("continue", "")
        if not token:
            return count


def touch(server: Server, number: int) -> None:
    """Change one node, so that no list is the same as before."""
    body = {"metadata": {"annotations": {"touched": str(number)}}}
    server.http.patch(f"{NODES}/node-00001", json=body, headers=MERGE).raise_for_status()


def lists(server: Server, nodes: int, rounds: int) -> None:
    """Each form of a list, after a change, beside the same bytes from a file."""
    forms: dict[str, Callable[[], bytes]] = {
        "whole": lambda: whole(server),
        "whole, by a selector for 1 %": lambda: whole(server, labelSelector="chosen=yes"),
        "metadata alone": lambda: whole(server, METADATA),
        "table": lambda: whole(server, TABLE),
        "table, first 500": lambda: whole(server, TABLE, limit="500"),
    }
    head = f"list of {nodes}"
    print(f"{head:32} {'MiB':>6} {'ms p50':>8} {'worst':>8} {'CPU ms':>8} {'floor ms':>9} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as name, floor(Path(name)) as url, httpx2.Client(trust_env=False) as client:
        for title, ask in forms.items():
            body = ask()
            (Path(name) / "list.json").write_bytes(body)
            ours, theirs, used = list[float](), list[float](), 0.0
            for number in range(rounds):
                touch(server, number)
                before = cpu(server)
                ours.append(milliseconds(ask))
                used += cpu(server) - before
                theirs.append(milliseconds(lambda: client.get(f"{url}/list.json")))
            _row(title, len(body) / 2**20, ours, used / rounds, theirs)
    for title, headers in (("whole, in chunks of 500", None), ("table, in chunks of 500", TABLE)):
        assert in_chunks(server, headers) == nodes
        before, taken = cpu(server), list[float]()
        for _ in range(rounds):
            begun = time.perf_counter()
            in_chunks(server, headers)
            taken.append((time.perf_counter() - begun) * 1000)
        _row(title, 0, taken, (cpu(server) - before) / rounds)


def _row(title: str, size: float, ours: list[float], used: float, theirs: Sequence[float] = ()) -> None:
    p50 = statistics.median(ours)
    line = f"{title:32} {size:6.2f} {p50:8.1f} {max(ours):8.1f} {used:8.1f}"
    if theirs:
        low = statistics.median(theirs)
        line += f" {low:9.1f} {p50 / low:6.1f}x"
    print(line)


async def pause(server: Server) -> None:
    """How long others wait while whole lists are made, one after the other."""
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
        listing = asyncio.create_task(_list_for(client, 5))
        waits = list[float]()
        while not listing.done():
            begun = time.perf_counter()
            await client.get("/livez")
            waits.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.005)
        await listing
    print(
        f"another request meanwhile waits {statistics.median(waits):.1f} ms (worst {max(waits):.1f}) in {len(waits)}"
    )


async def _list_for(client: httpx2.AsyncClient, times: int) -> None:
    for number in range(times):
        await client.patch(f"{NODES}/node-00002", json={"spec": {"displayName": str(number)}}, headers=MERGE)
        await client.get(NODES, headers=TABLE)
        await client.get(NODES)


async def watch(server: Server, watchers: int, changes: int) -> None:
    """Changes, one at a time, until every watcher has seen each: from before the write to the last one's line."""
    seen = [0] * watchers
    since = json.loads(whole(server, limit="1"))["metadata"]["resourceVersion"]
    ready = [asyncio.Event() for _ in range(watchers)]
    tasks = [asyncio.create_task(_watch(server, since, seen, i, ready[i])) for i in range(watchers)]
    await asyncio.gather(*(event.wait() for event in ready))
    answered, everybody, before = list[float](), list[float](), cpu(server)
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
        for number in range(1, changes + 1):
            begun = time.perf_counter()
            patch = {"metadata": {"annotations": {"count": str(number)}}}
            (await client.patch(f"{NODES}/node-00003", json=patch, headers=MERGE)).raise_for_status()
            answered.append((time.perf_counter() - begun) * 1000)
            while min(seen) < number:  # noqa: ASYNC110 - the last of many
                await asyncio.sleep(0.0005)
            everybody.append((time.perf_counter() - begun) * 1000)
    used = (cpu(server) - before) / changes
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(f"{watchers} watchers, {changes} changes: all of them have seen a change after", end=" ")
    print(f"{statistics.median(everybody):.1f} ms (p50), {max(everybody):.1f} ms (worst);")
    print(
        f"  the write is answered after {statistics.median(answered):.1f} ms; the server takes {used:.1f} ms of CPU",
        end="",
    )
    print(f" a change, {used / watchers * 1000:.0f} µs a watcher")


async def _watch(server: Server, since: str, seen: list[int], me: int, ready: asyncio.Event) -> None:
    """Count the changes of the one node, which must come in order; read in the plainest way that there is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    target = f"{NODES}?watch=1&resourceVersion={since}&fieldSelector=metadata.name%3Dnode-00003"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    ready.set()
    try:
        while line := await reader.readline():
            if (found := COUNT.search(line)) is not None and (count := int(found[1])) > seen[me]:
                assert count == seen[me] + 1, "a change was missed"
                seen[me] = count
    finally:
        writer.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--changes", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_plugin(folder)
        server = Server(folder, logging={"level": "warning"}, registry={"health_check_interval": "30m"})
        server.environment["PYTHONPATH"] = f"{folder}:{ROOT}"
        try:
            server.start()
            asyncio.run(register(server, arguments.nodes))
            settle(server)
            lists(server, arguments.nodes, arguments.rounds)
            asyncio.run(pause(server))
            asyncio.run(watch(server, arguments.watchers, arguments.changes))
            assert server.process is not None
            print(f"memory of the server {cost(server.process.pid)[1]:.0f} MiB")
        finally:
            server.close()


if __name__ == "__main__":
    main()
