"""The client of the resident runner: every verb of the run protocol over one byte channel.

    open_channel(exec string) -> Channel      the main channel carries requests and replies, line by line
                              -> Channel …    a few short-lived ones carry bulk: large scripts, large output

`Runner` is a `transports.base.Session` without the connection below it: whoever owns the connection gives it a
way to open channels, and closes it when the connection ends.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from transports.base import Output, Probe, RunId, RunStatus, SessionInfo, StartRequest


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


class Runner:
    """One resident runner on a node. Has every verb of `transports.base.Session`, with its guarantees."""

    info: SessionInfo
    on_end: Callable[[RunStatus], None] | None
    on_close: Callable[[], None] | None

    @classmethod
    async def launch(
        cls,
        open_channel: OpenChannel,
        *,
        base_dir: str = ".vendetta",
        timeout: float = 20.0,
        shell: str = "/bin/sh",
        channels: int = 4,
    ) -> "Runner":
        """Start a runner on the node and wait for its greeting, at most `timeout` seconds.

        `shell` is the node's POSIX shell (absolute path); `channels` bounds the short-lived channels that are
        open at once besides the main one. Raises `UnsupportedShell` when the login answers something else,
        `NodeStorageFull`, `Busy`, `ConnectionLost`.
        """
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether this session is over."""
        raise NotImplementedError

    async def start(self, request: StartRequest, *, wait: float = 0.0) -> RunStatus:
        """See `transports.base.Session.start`."""
        raise NotImplementedError

    async def status(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.status`."""
        raise NotImplementedError

    async def read(self, run: RunId, *, stdout: int, stderr: int, limit: int) -> Output:
        """See `transports.base.Session.read`."""
        raise NotImplementedError

    async def cancel(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.cancel`."""
        raise NotImplementedError

    async def gc(self, runs: Sequence[RunId]) -> None:
        """See `transports.base.Session.gc`."""
        raise NotImplementedError

    async def probe(self) -> Probe:
        """See `transports.base.Session.probe`."""
        raise NotImplementedError

    async def ping(self) -> float:
        """Seconds for one round trip to the runner. Raises `ConnectionLost` when it does not answer."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the main channel, idempotently. Runs on the node go on."""
        raise NotImplementedError
