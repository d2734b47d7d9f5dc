"""One command under way on the node, as a byte channel (`transports.runner.client.Channel`)."""

import asyncio
from collections import deque
from collections.abc import Callable

import asyncssh

from transports.errors import ConnectionLost

_HIGH_WATER = 1024 * 1024
_ERROR_TEXT = 512
_LINGER = 0.25


class ExecChannel(asyncssh.SSHClientSession[bytes]):
    """Bytes in and out of one `exec` request. Standard error is dropped but for its first 512 bytes.

    `was_open`: the node admitted the channel. `heard`: anything came back on it, standard error included. `ended`
    is called once, when the node has closed the channel and its place is free again.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self.error_text = b""
        self.was_open = False
        self.heard = False
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._held = False
        self._discard = False
        self._eof = False
        self._gone = False
        self._failure: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # What the library calls.

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is open; the command is not yet asked for."""
        self._channel = chan
        self.was_open = True

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Keep what arrived, and let the peer wait when that becomes too much."""
        self.heard = True
        if datatype is not None:
            self.error_text += data[: _ERROR_TEXT - len(self.error_text)]
        elif not self._discard:
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > _HIGH_WATER and self._channel and not self._held:
            self._held = True
            self._channel.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """The command writes no more. Our own direction stays open."""
        self._eof = True
        _wake(self._reader)
        return True

    def pause_writing(self) -> None:
        """The peer takes no more for now."""
        self._writer = self._loop.create_future()

    def resume_writing(self) -> None:
        """The peer takes more again."""
        _wake(self._writer)
        self._writer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is over, alone or with its connection."""
        self._gone = True
        self._failure = exc
        self._channel = None
        _wake(self._reader)
        _wake(self._writer)
        self._ended()

    # What the runner calls.

    async def write(self, data: bytes, /) -> None:
        """Send all of `data`; waits while the peer takes no more. Raises `ConnectionLost`."""
        if self._channel is None or self._channel.is_closing():
            raise self._lost()
        self._channel.write(data)
        while self._writer is not None and not self._gone:
            await asyncio.shield(self._writer)
        if self._gone:
            raise self._lost()

    async def read(self, n: int, /) -> bytes:
        """Between 1 and `n` bytes, or `b""` when the command has ended its output. Raises `ConnectionLost`."""
        while not self._chunks:
            if self._failure is not None:
                raise self._lost()
            if self._eof or self._gone:
                return b""
            self._reader = self._loop.create_future()
            await self._reader
        return self._take(n)

    def _take(self, n: int) -> bytes:
        chunk = self._chunks.popleft()
        if len(chunk) > n:
            self._chunks.appendleft(chunk[n:])
            chunk = chunk[:n]
        self._buffered -= len(chunk)
        if self._held and self._buffered <= _HIGH_WATER // 2 and self._channel:
            self._held = False
            self._channel.resume_reading()
        return chunk

    async def write_eof(self) -> None:
        """Say that no more will be written."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    async def aclose(self) -> None:
        """Take no more and send no more; idempotent, does not wait.

        The command gets a moment to end by itself before the channel is torn down: sshd and dropbear both take
        a while to forget a channel whose command was still there when it was closed.
        """
        if self._channel is None or self._discard:
            return
        self._discard = True
        self._chunks.clear()
        self._eof = True
        _wake(self._reader)
        if self._held or self._channel.is_closing():
            self.close()
        else:
            self._channel.write_eof()
            self._loop.call_later(_LINGER, self.close)

    def close(self) -> None:
        """Tear it down now."""
        if self._channel is not None:
            self._channel.close()

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"the channel to the node has ended ({self._failure or 'closed'})")


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
