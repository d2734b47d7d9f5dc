"""Many clients at once: the slow ones cost little and disturb nobody, and the server stops in time (contract E-4)."""

import contextlib
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.store.base import Create
from tests.support import crowd as crowd_module
from tests.support.live import SSE, Live, Raw, serve
from tests.support.server import Server

READERS: Final = 950
STUCK: Final = 50
EVENTS: Final = 100
PAYLOAD: Final = "y" * 5000
"""Together more than the buffers of a connection that nobody reads from hold."""


def flood(live: Live, name: str, count: int, size: int) -> None:
    """So many changes of one node, of so many bytes each."""
    for n in range(count):
        note = {"note": f"{n}-" + "y" * size}
        live.do(
            live.context.store.write(
                Create(obj=Node(metadata=ObjectMeta(name=f"{name}-{n}", annotations=note), spec=NodeSpec()))
            )
        )


def test_clients_that_do_not_take_their_last_bytes_do_not_hold_up_a_stop() -> None:
    """E-4: they are cut when the grace is over."""
    with serve() as live, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Raw(live.port, receive_buffer=4096)).get("/ws")
        assert live.has_clients(20)
        flood(live, "last", 200, 30_000)
        assert live.stop() < 5


def test_a_client_that_fell_behind_is_told_to_resync_and_closed() -> None:
    """E-4: a bounded queue, then resync, then it is closed. The id it keeps lets it go on where it was."""
    with serve(websocket={"ping_period": "30s"}) as live, SSE(live.port) as client:
        client.event()
        # More than the log holds (16 MiB) while the client, and its sockets' buffers, take no more.
        flood(live, "behind", 400, 60_000)
        seen, last = 0, ""
        while (frame := client.frame()) is not None:
            if frame.data.get("type") == "resync":
                assert frame.id == ""
                break
            if frame.data:
                seen, last = seen + 1, frame.id
        assert frame is not None, "no resync"
        assert client.frame() is None
        assert 0 < seen < 400
        with SSE(live.port, "/ws", f"Last-Event-ID: {last}", timeout=20) as again:
            assert [again.event()["data"]["node"]["id"] for _ in range(400 - seen)] == [
                f"behind-{n}" for n in range(seen, 400)
            ]


class Crowd:
    """The clients, in a process of their own."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, crowd_module.__file__, str(port), str(READERS), str(STUCK)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.answer() == {"connected": READERS + STUCK}

    def ask(self, what: str) -> dict[str, Any]:
        """Have it do something, and hear how that went."""
        self.tell(what)
        return self.answer()

    def tell(self, what: str) -> None:
        """Have it do something meanwhile."""
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Hear how that went."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The whole server in a process of its own; it inherits room for a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    server = Server(tmp_path, registry={"provider": "memory", "dsn": None}, websocket={"ping_period": "1s"})
    yield server.start()
    server.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def crowd(server: Server) -> Iterator[Crowd]:
    """A thousand clients, fifty of which never read."""
    crowd = Crowd(server.port)
    yield crowd
    crowd.close()


def resident(server: Server) -> float:
    """Memory of the server, in MiB."""
    assert server.process is not None
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def told(server: Server, crowd: Crowd, first: int) -> None:
    """Tell `EVENTS` events while the clients read, and see that each reader has each of them."""
    crowd.tell(f"until {1 + first + EVENTS}")
    for number in range(first, first + EVENTS):
        note = {"payload": PAYLOAD, "time": f"sent-{time.time_ns()}"}
        server.http.post("/api/v1/nodes", json={"id": f"n{number}", "metadata": note}).raise_for_status()
    assert crowd.answer()["least"] == 1 + first + EVENTS


def test_a_thousand_clients_fifty_of_which_never_read(
    server: Server, crowd: Crowd, record_property: Callable[[str, object], None]
) -> None:
    """E-4: the others get everything; the stuck are cut; memory stays flat; SIGTERM ends it all in under 5 s."""
    assert crowd.ask("until 1")["least"] == 1
    told(server, crowd, 0)
    before = resident(server)
    crowd.ask("ages")
    told(server, crowd, EVENTS)
    ages = crowd.ask("ages")
    assert ages["count"] == READERS * EVENTS
    record_property("seconds until an event is read", ages)
    assert ages["p99"] < 5, ages
    assert resident(server) - before < 40
    deadline = time.monotonic() + 20
    while (clients := server.http.get("/metrics").json()["websocket"]["connected_clients"]) != READERS:
        assert time.monotonic() < deadline, clients
        time.sleep(0.2)
    assert server.process is not None
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert crowd.ask("ended")["ended"] == READERS
    assert server.process.wait(10) == 0
    assert time.monotonic() - begun < 5


def test_a_thousand_open_streams_do_not_hold_up_a_stop(server: Server, crowd: Crowd) -> None:
    """E-4: SIGTERM with 1,000 open streams, some of which do not read: stopped in under 5 s, with exit code 0."""
    assert crowd.ask("until 1")["least"] == 1
    assert server.process is not None
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert crowd.ask("ended")["ended"] == READERS
    assert server.process.wait(10) == 0
    assert time.monotonic() - begun < 5
