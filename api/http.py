"""The HTTP server: uvicorn with its limits closed and its shutdown in the right order (contract A-4, E-4)."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from api.http_protocol import BoundedHTTPProtocol, LimitedConfig, QuietWebSocketProtocol
from api.limits import Limits
from controller.settings import Settings

GRACE: Final = 3
"""Seconds that responses under way may take once the server stops; then they are cut."""
BACKLOG: Final = 2048
UNACKNOWLEDGED: Final = 60_000
"""Milliseconds that written bytes may stay unacknowledged: a peer that vanished without a word is noticed by that."""
_LOOK_EVERY: Final = 5
"""Ticks of 100 ms between two looks at all connections' deadlines."""


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say. Raises OSError.

    Bound before anything else starts, so that a port that is taken fails the start, and port 0 is known. A name
    that has addresses of both kinds, as localhost has, means the IPv4 one; `::` means both.
    """
    host, port = settings.server.host, settings.server.port
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        _prepare(listener)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _prepare(listener: socket.socket) -> None:
    """Set what accepted connections inherit."""
    listener.settimeout(0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)


def configure(app: ASGIApp, settings: Settings) -> LimitedConfig:
    """Return uvicorn's configuration. Forwarding headers, the access log and logging itself are ours, not its."""
    limits = Limits.of(settings)
    config = LimitedConfig(
        cast("Any", app),
        http=BoundedHTTPProtocol,
        ws=QuietWebSocketProtocol,
        ws_ping_interval=limits.ping_period,
        ws_ping_timeout=limits.ping_period,
        ws_per_message_deflate=False,
        interface="asgi3",
        lifespan="auto",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=cast("int", limits.idle_timeout),
        timeout_graceful_shutdown=GRACE,
    )
    config.limits = limits
    return config


class Server(uvicorn.Server):
    """uvicorn's server. On a signal, and on `stop`, `stopping` is set first: streams end themselves before it."""

    def __init__(self, config: LimitedConfig, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping
        self.signalled = False
        """Whether the stop was asked for by a signal."""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def stop(self) -> None:
        """Begin to stop. Safe from any thread and from a signal handler."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on the first signal; a second interrupt waits for nothing."""
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.signalled = True
        self.stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals while serving. Unlike uvicorn's own, a stop that was asked for ends with exit code 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections' deadlines, and do what uvicorn does."""
        if counter % _LOOK_EVERY == 0:
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, BoundedHTTPProtocol):
                    connection.check_deadline(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop. Connections that do not take their last bytes are cut when the grace is over."""
        self._stopping.set()
        cut = asyncio.get_running_loop().call_later(GRACE - 0.5, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    def _cut(self) -> None:
        for connection in tuple(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
