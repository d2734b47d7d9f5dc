"""Acknowledge at once while a connection is being set up.

sshd turns Nagle's algorithm off only with the first session, so until then each of its small answers waits for
our delayed acknowledgement, about 40 ms. The kernel forgets TCP_QUICKACK whenever it likes, so it is set again
and again until the connection is in use.
"""

import asyncio
import socket
from contextlib import AbstractContextManager, suppress

_PERIOD = 0.002
_OPTION: int | None = getattr(socket, "TCP_QUICKACK", None)


class QuickAcks(AbstractContextManager["QuickAcks"]):
    """Keeps TCP_QUICKACK set on the sockets added until the block ends, where the system has such a thing."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None

    def __exit__(self, *_: object) -> None:
        self._sockets.clear()
        if self._timer:
            self._timer.cancel()

    def add(self, connection: socket.socket) -> None:
        """Look after this socket too."""
        self._sockets.append(connection)
        if self._timer is None and _OPTION is not None:
            self._tick(_OPTION)

    def _tick(self, option: int) -> None:
        for connection in self._sockets:
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, option, 1)
        self._timer = asyncio.get_running_loop().call_later(_PERIOD, self._tick, option)
