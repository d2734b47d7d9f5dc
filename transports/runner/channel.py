"""What a connection lends to the runner's client: a way to execute a command and to exchange bytes with it."""

from collections.abc import Awaitable, Callable
from typing import Protocol


class Channel(Protocol):
    """A command under way on the node: bytes in, bytes out. One reader and one writer at a time.

    `read` answers at least one byte, or `b""` at the end of the output. `write` returns when the bytes were
    accepted and may wait for the peer (back-pressure). Both raise `ConnectionLost` (or any `OSError`) when the
    channel is gone. What the command writes to its standard error is dropped or mixed into the output, as
    the transport likes. `aclose` is idempotent and ends the channel at once; it does not end runs.
    """

    async def write(self, data: bytes, /) -> None:
        """Send all of `data`."""

    async def read(self, n: int, /) -> bytes:
        """Between 1 and `n` bytes, or `b""` at the end."""

    async def write_eof(self) -> None:
        """Say that no more will be written."""

    async def aclose(self) -> None:
        """Close both directions."""


OpenChannel = Callable[[str], Awaitable[Channel]]
"""Executes the given command string on the node (through the login shell, without a terminal).

Raises `Busy` when the node admits no further channel, `ConnectionLost` when the connection is gone.
"""
