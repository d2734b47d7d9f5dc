"""A real server on an ephemeral port, in a thread of its own, over a memory store; and a plain socket client."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, cast

import uvloop

from api.app import build_app
from api.context import Context
from api.http import Server, configure, listen
from api.layers import wrap
from api.stopping import Stopping
from api.stream import Broadcaster
from api.traffic import Traffic
from controller.announce import announce
from controller.contacts import Contacts
from controller.followers import Followers
from controller.metrics import Metrics
from controller.nodelog import NodeLog
from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.runtime.clock import SystemClock
from controller.services.board import ServiceBoard
from controller.store.base import Create
from controller.store.open import open_store
from tests.support.api import settings

T = TypeVar("T")


class Loops:
    """The controllers, as health sees them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.has_place = True

    def stuck(self) -> list[str]:
        """The loops that are stuck."""
        return self.names


@dataclass
class Live:
    """A running server. `do` runs a coroutine on its event loop."""

    port: int
    context: Context
    server: Server
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    loops: Loops = field(default_factory=Loops)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def call(self, work: Callable[[], T]) -> T:
        """Call on the server's loop."""

        async def _call() -> T:
            return work()

        return self.do(_call())

    def add_node(self, name: str, **spec: Any) -> None:
        """Store a node."""
        self.do(self.context.store.write(Create(obj=Node(metadata=ObjectMeta(name=name), spec=NodeSpec(**spec)))))

    def add_nodes(self, *names: str) -> None:
        """Store many nodes, one revision each, in one write."""
        self.do(self.context.store.write(*(Create(obj=Node(metadata=ObjectMeta(name=n))) for n in names)))

    def has_clients(self, count: int, within: float = 5) -> bool:
        """Whether it comes to have so many event clients: leaving takes a moment."""
        deadline = time.monotonic() + within
        while self.context.broadcaster.connected_clients != count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.context.broadcaster.connected_clients == count

    def stop(self) -> float:
        """Stop it, and say how long that took."""
        begun = time.monotonic()
        self.server.stop()
        self.thread.join(30)
        return time.monotonic() - begun


@contextmanager
def serve(**sections: Mapping[str, Any]) -> Iterator[Live]:
    """A running server, stopped at the end."""
    started: list[Live] = []
    ready = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(sections, started, ready))
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="server", daemon=True)
    thread.start()
    ready.wait(10)
    if not started:
        raise RuntimeError("the server did not start") from (failed[0] if failed else None)
    live = started[0]
    live.thread = thread
    try:
        yield live
    finally:
        live.stop()
    assert not thread.is_alive(), "the server did not stop"


async def _serve(sections: Mapping[str, Mapping[str, Any]], started: list[Live], ready: threading.Event) -> None:
    given = {name: dict(values) for name, values in sections.items()}
    given["server"] = {"host": "127.0.0.1", "port": 0} | given.get("server", {})
    conf, clock, traffic, stopping = settings(**given), SystemClock(), Traffic(), Stopping()
    store, contacts, loops = open_store("memory", None, clock=clock, announce=announce), Contacts(), Loops()
    await store.start()
    broadcaster = Broadcaster(
        store=store, contacts=contacts, clock=clock, settings=conf.websocket, traffic=traffic, stopping=stopping
    )
    context = Context(
        settings=conf,
        store=store,
        clock=clock,
        contacts=contacts,
        services=ServiceBoard(clock),
        node_log=NodeLog(clock),
        followers=Followers(),
        metrics=Metrics(),
        broadcaster=broadcaster,
        controllers=cast("Any", loops),
        version="1.2.3",
        stopping=stopping,
        traffic=traffic,
    )
    listener = listen(conf)
    server = Server(configure(wrap(build_app(context), context), conf), stopping)
    loop = asyncio.get_running_loop()
    live = Live(listener.getsockname()[1], context, server, loop, threading.current_thread(), loops)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(broadcaster.run(), name="stream")
        serving = group.create_task(server.serve([listener]), name="serve")
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        started.append(live)
        ready.set()
        await serving
        following.cancel()
    await store.aclose()


class Raw:
    """A TCP connection, spoken to in bytes."""

    def __init__(self, port: int, *, timeout: float = 10, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.port = port
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes | str) -> None:
        """Send."""
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def get(self, target: str, *headers: str) -> None:
        """Send a GET."""
        lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers, "", ""]
        self.send("\r\n".join(lines))

    def until(self, mark: bytes) -> bytes:
        """Read up to and with a mark; what came before the end of the connection if that is first."""
        while mark not in self._buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                taken, self._buffer = self._buffer, b""
                return taken
            self._buffer += data
        end = self._buffer.index(mark) + len(mark)
        taken, self._buffer = self._buffer[:end], self._buffer[end:]
        return taken

    def rest(self) -> bytes:
        """Read until the connection ends."""
        return self.until(b"\x00never\x00")

    def status(self) -> int:
        """Read the head of a response; 0 if the connection ends without one."""
        head = self.until(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0


@dataclass(frozen=True)
class Frame:
    """An SSE frame, parsed."""

    id: str
    event: str
    data: dict[str, Any]
    comment: str


class SSE(Raw):
    """An SSE client that believes nothing: it reads chunks and frames by itself."""

    def __init__(self, port: int, target: str = "/ws", *headers: str, timeout: float = 10) -> None:
        super().__init__(port, timeout=timeout)
        self.get(target, *headers)
        self.head = self.until(b"\r\n\r\n").decode()
        self._text = b""
        self.retry = 0

    def frame(self) -> Frame | None:
        """The next frame, heartbeats included; None at the end of the stream."""
        while b"\n\n" not in self._text:
            size = self.until(b"\r\n")
            if not size or int(size, 16) == 0:
                return None
            piece = b""
            while len(piece) < int(size, 16) + 2:
                piece += self._exactly(int(size, 16) + 2 - len(piece))
            self._text += piece[:-2]
        raw, _, self._text = self._text.partition(b"\n\n")
        return self._parse(raw.decode()) or self.frame()

    def _exactly(self, count: int) -> bytes:
        if not self._buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _parse(self, raw: str) -> Frame | None:
        fields: dict[str, str] = {}
        for line in raw.split("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        if "retry" in fields and len(fields) == 1:
            self.retry = int(fields["retry"])
            return None
        data = json.loads(fields["data"]) if "data" in fields else {}
        return Frame(fields.get("id", ""), fields.get("event", ""), data, fields.get("", ""))

    def event(self) -> dict[str, Any]:
        """The data of the next frame that has any."""
        while True:
            frame = self.frame()
            assert frame is not None, "the stream has ended"
            if frame.data:
                return frame.data
