"""Many clients at once: the slow ones cost little and disturb nobody, and the server stops in time (contract E-4)."""

import contextlib
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.store.base import Create
from tests.support.live import SSE, Live, Raw, serve

EVENTS: Final = 300
PAYLOAD: Final = "x" * 200
ROOT: Final = Path(__file__).parents[3]


def resident() -> int:
    """Memory of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmRSS")


class Readers:
    """Clients that read all they get, in one thread, and count the events."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.counts: dict[socket.socket, int] = {}
        self.last: dict[socket.socket, bytes] = {}

    def add(self, client: Raw) -> None:
        """Take over a client."""
        client.get("/ws")
        client.socket.setblocking(False)
        self.counts[client.socket] = 0
        self.last[client.socket] = b""
        self._selector.register(client.socket, selectors.EVENT_READ)

    def read_until(self, count: int, limit: float) -> float:
        """Read until each has so many events, or the time is up. Returns how long it took."""
        begun = time.monotonic()
        while min(self.counts.values()) < count and time.monotonic() - begun < limit:
            for key, _ in self._selector.select(0.1):
                self._read(key.fileobj)  # type: ignore[arg-type]
        return time.monotonic() - begun

    def _read(self, client: socket.socket) -> None:
        data = self.last[client] + client.recv(1 << 18)
        self.counts[client] += data.count(b"\ndata: ") - self.last[client].count(b"\ndata: ")
        self.last[client] = data[-7:]

    def ended(self, limit: float) -> int:
        """Read on to the end of all streams. Returns how many have ended in time."""
        begun, over = time.monotonic(), 0
        while over < len(self.counts) and time.monotonic() - begun < limit:
            for key, _ in self._selector.select(0.1):
                client: socket.socket = key.fileobj  # type: ignore[assignment]
                try:
                    data = client.recv(1 << 18)
                except ConnectionResetError:
                    data = b""
                if not data:
                    self._selector.unregister(client)
                    over += 1
        return over


def flood(live: Live, name: str, count: int, size: int) -> None:
    """So many changes of one node, of so many bytes each."""
    for n in range(count):
        note = {"note": f"{n}-" + "y" * size}
        live.do(
            live.context.store.write(
                Create(obj=Node(metadata=ObjectMeta(name=f"{name}-{n}", annotations=note), spec=NodeSpec()))
            )
        )


def test_clients_that_never_read_cost_little_and_disturb_nobody() -> None:
    """E-4: 200 clients, 20 of which never read; the others get everything; memory stays flat; the stuck are cut."""
    with serve(websocket={"ping_period": "1s"}) as live, contextlib.ExitStack() as stack:
        readers = Readers()
        for _ in range(180):
            readers.add(stack.enter_context(Raw(live.port)))
        stuck = [stack.enter_context(Raw(live.port, receive_buffer=4096)) for _ in range(20)]
        for client in stuck:
            client.get("/ws")
        readers.read_until(1, 10)
        before = resident()
        flood(live, "flood", EVENTS, 20_000)
        took = readers.read_until(1 + EVENTS, 30)
        assert min(readers.counts.values()) == 1 + EVENTS, (took, min(readers.counts.values()))
        assert resident() - before < 60
        assert live.has_clients(180, within=10)
        assert live.context.traffic.dropped_streams == 20
        assert live.stop() < 5


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


SCRIPT: Final = """
import sys
from controller.config import load
from api.server import run
sys.exit(run(load(sys.argv[1])))
"""


@contextlib.contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The whole server in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "coordination.yaml"
    config.write_text(f"server: {{host: 127.0.0.1, port: {port}}}\n")
    server = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(config)], cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ}
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError), Raw(port):
                break
            time.sleep(0.05)
        yield server, port
    finally:
        server.kill()
        server.wait()


def test_a_thousand_open_streams_do_not_hold_up_a_stop(tmp_path: Path) -> None:
    """E-4: SIGTERM with 1,000 open streams, some of which do not read: stopped in under 5 s, with exit code 0."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    with process(tmp_path) as (server, port), contextlib.ExitStack() as stack:
        readers = Readers()
        for _ in range(1000):
            readers.add(stack.enter_context(Raw(port)))
        readers.read_until(1, 30)
        assert min(readers.counts.values()) == 1
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert readers.ended(10) == 1000
        assert server.wait(10) == 0
        assert time.monotonic() - begun < 5
