"""The event stream across SIGKILLs of the server: every event exactly once, in order (contract E-2)."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2

from tests.e2e.conftest import MakeServer
from tests.support.live import SSE, Frame
from tests.support.server import Server

KILLS = 3


class Registrar(threading.Thread):
    """Registers nodes one after the other until told to stop; what a killed server did not answer is tried again."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self.enough = threading.Event()
        self.names: list[str] = []

    def run(self) -> None:
        """Register."""
        with httpx2.Client(base_url=self._server.url, trust_env=False, timeout=10) as http:
            while not self.enough.is_set():
                name = f"node-{len(self.names):05}"
                with suppress(httpx2.HTTPError):
                    if http.post("/api/v1/nodes", json={"id": name, "provider": "none"}).is_success:
                        self.names.append(name)
                        continue
                time.sleep(0.05)


class Listener(threading.Thread):
    """Follows the stream as a browser does: reconnects with the id of the last whole event."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.enough = threading.Event()
        self.frames: list[Frame] = []
        self.connections = 0

    @property
    def told(self) -> list[dict[str, Any]]:
        """The events, the first state left out."""
        return [frame.data for frame in self.frames[1:]]

    def run(self) -> None:
        """Follow."""
        while not self.enough.is_set():
            with suppress(OSError, EOFError, ValueError):
                self._follow()
            time.sleep(0.02)

    def _follow(self) -> None:
        last = [f"Last-Event-ID: {self.frames[-1].id}"] if self.frames else []
        with SSE(self._port, "/ws", *last, timeout=5) as client:
            self.connections += client.head.startswith("HTTP/1.1 200")
            while not self.enough.is_set() and (frame := client.frame()) is not None:
                if frame.data:
                    self.frames.append(frame)


def until(what: str, good: Callable[[], object], seconds: float = 90) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def more(listener: Listener) -> None:
    """Wait for forty more events."""
    wanted = len(listener.frames) + 40
    until("more events", lambda: len(listener.frames) >= wanted)


def test_each_event_comes_exactly_once_across_kills(server: Server) -> None:
    """E-2: three SIGKILLs amid a stream of changes, a client that reconnects: no gap, no repeat, no reset."""
    listener, registrar = Listener(server.port), Registrar(server)
    listener.start()
    until("the first state", lambda: listener.frames)
    registrar.start()
    for _ in range(KILLS):
        more(listener)
        server.kill()
        server.start()
    more(listener)
    registrar.enough.set()
    registrar.join(30)
    names = [node["id"] for node in server.http.get("/api/v1/nodes").json()["nodes"]]
    until("the last event", lambda: any(names[-1] in str(e["data"]) for e in listener.told))
    listener.enough.set()
    registered = [e["data"]["node"]["id"] for e in listener.told if e["type"] == "node_registered"]
    assert registered == names
    assert set(registrar.names) <= set(names)
    revisions = [int(frame.id.rpartition("-")[2]) for frame in listener.frames]
    assert revisions == sorted(set(revisions))
    assert {e["type"] for e in listener.told} <= {"node_registered", "node_updated"}
    assert listener.connections > KILLS


def test_a_memory_store_that_was_killed_says_so(make_server: MakeServer) -> None:
    """E-2: its history is gone with it: the next connection begins with the state and is told to resync."""
    server = make_server(registry={"provider": "memory", "dsn": None}).start()
    with SSE(server.port) as client:
        first = client.event()
    server.kill()
    server.start()
    with SSE(server.port, "/ws", f"Last-Event-ID: {first['id']}") as client:
        again = client.event()
    assert (again["type"], again["resync"]) == ("initial_state", True)
