# ruff: noqa: ASYNC110, SLF001 - it polls, and looks at what users of the stream must not
"""Fan-out of the event stream beside the floor of one send(2) for each client and event.

`hack/bench/sse.py [clients]`. The server runs here, the clients in a second process. Figures are ratios of one run;
the machine's own load moves both.
"""

import asyncio
import gc
import multiprocessing
import os
import resource
import selectors
import socket
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[2]))

import structlog
import uvloop

from api.app import build_app
from api.http import Server, configure, listen
from api.layers import wrap
from api.stream import Broadcaster
from controller.announce import announce
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node
from controller.store.base import Create
from controller.store.open import open_store
from tests.support.api import make_context

CLIENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
ROUNDS, SINGLE, BURST, TIMED = 3, 100, 1000, 150
MARK = b"\ndata: "


def clients(pipe: Connection) -> None:
    """The second process: connects, reads, counts, and tells when each client has so many events."""
    while (order := pipe.recv()) is not None:
        port, request = order
        selector, counts, late = selectors.DefaultSelector(), {}, []
        tails: dict[socket.socket, bytes] = {}
        for _ in range(CLIENTS):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(request)
            client.settimeout(0)
            counts[client], tails[client] = 0, b""
            selector.register(client, selectors.EVENT_READ)
        while (wanted := pipe.recv()) is not None:
            target, timed = wanted
            behind = sum(count < target for count in counts.values())
            while behind:
                for key, _ in selector.select():
                    client = cast("socket.socket", key.fileobj)
                    # A mark may be cut in two: the last bytes of a read belong to the next one as well.
                    data = tails[client] + client.recv(1 << 18)
                    tails[client] = data[1 - len(MARK) :]
                    if timed and (at := data.find(b"sent-")) >= 0:
                        late.append(time.monotonic_ns() - int(data[at + 5 : at + 5 + 20]))
                    before = counts[client]
                    counts[client] = after = before + data.count(MARK)
                    behind -= before < target <= after
            pipe.send(late)
        for client in counts:
            client.close()


class Ours:
    """The real server: door, layers, router, stream."""

    request = b"GET /ws HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"
    first = 1

    async def start(self) -> int:
        context = await make_context(server={"host": "127.0.0.1", "port": 0})
        self.store = context.store = open_store("memory", None, clock=context.clock, announce=announce)
        await self.store.start()
        self.stream = context.broadcaster = Broadcaster(
            store=self.store,
            contacts=context.contacts,
            clock=context.clock,
            settings=context.settings.websocket,
            traffic=context.traffic,
            stopping=context.stopping,
        )
        listener = listen(context.settings)
        self.server = Server(configure(wrap(build_app(context), context), context.settings), context.stopping)
        self.tasks = [asyncio.create_task(self.stream.run()), asyncio.create_task(self.server.serve([listener]))]
        self.count = 0
        return int(listener.getsockname()[1])

    async def ready(self) -> None:
        while self.stream.connected_clients < CLIENTS:
            await asyncio.sleep(0.01)

    async def tell(self, count: int) -> None:
        nodes = []
        for _ in range(count):
            self.count += 1
            note = {"note": f"sent-{time.monotonic_ns():020}"}
            nodes.append(Create(obj=Node(metadata=ObjectMeta(name=f"node-{self.count}", annotations=note))))
        await self.store.write(*nodes)

    async def tell_one_by_one(self, count: int) -> None:
        *_, last = self.stream._clients  # they are woken in this order
        for _ in range(count):
            await self.tell(1)
            while self.stream._log.head < self.store.revision() or last.behind():
                await asyncio.sleep(0)

    async def stop(self) -> None:
        self.server.stop()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Floor:
    """Accepts, and calls send(2)."""

    request = b"GET / HTTP/1.1\r\n\r\n%d"
    first = 0

    def __init__(self, frame: bytes) -> None:
        self.frame = frame

    async def start(self) -> int:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.peers: list[socket.socket] = []
        return int(self.listener.getsockname()[1])

    async def ready(self) -> None:
        while len(self.peers) < CLIENTS:
            peer = self.listener.accept()[0]
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as every server does; Nagle would join sends
            self.peers.append(peer)

    async def tell(self, count: int) -> None:
        await self.tell_one_by_one(count)

    async def tell_one_by_one(self, count: int) -> None:
        frame, peers = self.frame, self.peers
        for _ in range(count):
            for peer in peers:
                peer.send(frame)

    async def stop(self) -> None:
        for peer in (*self.peers, self.listener):
            peer.close()


async def measure(server: Any, pipe: Connection) -> dict[str, float]:
    """Deliveries a second one by one and in a burst, and how late events are at 50 a second."""
    loop, result = asyncio.get_running_loop(), {}
    port = await server.start()
    pipe.send((port, server.request % port))
    await server.ready()
    seen = server.first

    async def reached(*, timed: bool = False) -> list[int]:
        pipe.send((seen, timed))
        return await loop.run_in_executor(None, pipe.recv)

    await reached()
    for name, count, how in (("single", SINGLE, server.tell_one_by_one), ("burst", BURST, server.tell)):
        if name == "burst" and isinstance(server, Floor):
            continue
        seen += count
        begun = time.perf_counter()
        waiting = asyncio.create_task(reached())
        await asyncio.sleep(0)
        await how(count)
        await waiting
        result[name] = CLIENTS * count / (time.perf_counter() - begun)
    if isinstance(server, Ours):
        seen += TIMED
        waiting = asyncio.create_task(reached(timed=True))
        for _ in range(TIMED):
            await server.tell(1)
            await asyncio.sleep(0.02)
        late = sorted(await waiting)
        result["p50"], result["p99"] = late[len(late) // 2] / 1e6, late[len(late) * 99 // 100] / 1e6
    pipe.send(None)
    await server.stop()
    return result


async def main(pipe: Connection) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    frame = b"id: 4b9f3c1e-7a4e-4d7c-9a55-3a1f6c0e8d11-100\ndata: " + b"x" * 620 + b"\n\n"
    ours: list[dict[str, float]] = []
    floor: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        floor.append(await measure(Floor(frame), pipe))
        ours.append(await measure(Ours(), pipe))
    pipe.send(None)
    middle = {name: statistics.median(r[name] for r in ours) for name in ours[0]}
    least = statistics.median(r["single"] for r in floor)
    print(f"{CLIENTS} clients, medians of {ROUNDS} interleaved rounds, {len(frame)} bytes an event")
    print(f"floor, one send(2) each      {least:10,.0f} deliveries/s")
    print(
        f"one write an event           {middle['single']:10,.0f} deliveries/s {middle['single'] / least:6.2f}x (0.6x)"
    )
    print(f"burst, coalesced             {middle['burst']:10,.0f} deliveries/s {middle['burst'] / least:6.2f}x (2x)")
    print(f"at 50 events/s               p50 {middle['p50']:.1f} ms, p99 {middle['p99']:.1f} ms (hold 10 ms)")


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * CLIENTS + 200), hard))
    here, there = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=clients, args=(there,), daemon=True)
    other.start()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    os.sched_setaffinity(other.pid or 0, {cores[-1]})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(here))
    other.join(5)
