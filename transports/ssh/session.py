"""A session: one SSH connection with one resident runner on it, which does all the talking."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import asyncssh

from transports.base import Output, Probe, RunId, RunStatus, StartRequest
from transports.errors import (
    Busy,
    ConnectionLost,
    EndpointInvalid,
    TransportError,
    Unreachable,
    UnsupportedShell,
    printable,
)
from transports.runner.client import Flavour, Runner
from transports.ssh.channel import ExecChannel
from transports.ssh.connection import Connection
from transports.ssh.gate import ChannelGate
from transports.ssh.translation import channel_error

_CLOSE_PATIENCE = 2.0
_PATIENCE = 5.0
"""Seconds that a channel may have to wait for its turn."""


class SSHSession:
    """Implements `transports.base.Session`: every verb goes to the runner, closing goes to both.

    The connection, the runner and this object end together, whichever ends first.
    """

    def __init__(self, connection: Connection, *, max_channels: int) -> None:
        self.on_end: Callable[[RunStatus], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self._clock = asyncio.get_running_loop().time
        self.gate = ChannelGate(max_channels, clock=self._clock)
        self._connection = connection
        self._runner: Runner | None = None
        self._closed = False
        self._first: ExecChannel | None = None
        connection.on_lost(self._over)

    @classmethod
    async def open(
        cls, connection: Connection, *, base_dir: str, timeout: float, max_channels: int, runner: Flavour
    ) -> "SSHSession":
        """Set up the runner, in at most `timeout` seconds. Closes the connection when that fails."""
        session = cls(connection, max_channels=max_channels)
        try:
            await session._launch(base_dir, timeout, runner)
        except BaseException:
            connection.abort()
            raise
        return session

    async def _launch(self, base_dir: str, timeout: float, flavour: Flavour) -> None:
        try:
            runner = await Runner.launch(self.open_channel, base_dir=base_dir, timeout=timeout, flavour=flavour)
        except (TransportError, ValueError) as exc:
            raise self._launch_failure(exc, timeout) from exc
        runner.on_end = self._ended
        runner.on_close = self._over
        self.info = replace(runner.info, host_key=self._connection.host_key, login_seconds=self._connection.age)
        self._runner = runner
        self._first = None

    def _launch_failure(self, exc: Exception, timeout: float) -> TransportError:
        """Nothing has been sent yet: what may pass is `Unreachable`, what will not is a refusal."""
        if isinstance(exc, ValueError):
            return EndpointInvalid(f"the runner cannot be set up like this: {exc}")
        if isinstance(exc, ConnectionLost):
            return Unreachable(
                f"the connection ended while the runner was being set up: {exc}; look at the node's log"
            )
        if isinstance(exc, Busy):
            return Unreachable(f"the login works but not even one channel was admitted: {exc}; look at MaxSessions")
        if not isinstance(exc, UnsupportedShell):
            return exc if isinstance(exc, TransportError) else Unreachable(str(exc))
        if isinstance(exc.__cause__, TimeoutError) and not (self._first and self._first.heard):
            return Unreachable(
                f"the login works but nothing came back for {timeout:g} s: the node is overloaded or the way to it "
                "broke, or else its login shell waits for something"
            )
        text = printable(self._first.error_text.decode(errors="replace")) if self._first else ""
        return UnsupportedShell(f"{exc}; on its standard error: {text!r}") if text else exc

    @property
    def closed(self) -> bool:
        """Whether this session is over."""
        return self._closed

    async def open_channel(self, command: str) -> ExecChannel:
        """Execute a command on the node. Raises `Busy` or `ConnectionLost`, `UnsupportedShell` for the first one.

        A channel that is refused is asked for again for a while: the server may not have finished with one that
        is closed already. A command that got no input did nothing, so this repeats nothing.
        """
        until = self._clock() + _PATIENCE
        pause = 0.01
        while True:
            if self._closed:
                raise ConnectionLost("the connection to the node has ended")
            await self.gate.enter(patience=max(0.0, until - self._clock()))
            try:
                return await self._admitted(command)
            except Busy:
                if self._runner is None or self._clock() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.5)

    async def _admitted(self, command: str) -> ExecChannel:
        channel = ExecChannel(self.gate.leave)
        opening = asyncio.create_task(self._request(channel, command), name="open an SSH channel")
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The library leaves a channel open for ever when its opening is cancelled: wait for it elsewhere.
            opening.add_done_callback(lambda done: _discard(done, channel))
            raise
        if self._runner is None:
            self._first = channel
        return channel

    async def _request(self, channel: ExecChannel, command: str) -> None:
        try:
            await self._connection.ssh.create_session(lambda: channel, command)
        except (asyncssh.Error, OSError) as exc:
            error = self._refusal(exc)
            if channel.was_open:
                channel.close()  # it gives its place back itself
            elif isinstance(error, Busy):
                self.gate.refused()
            else:
                self.gate.leave()
            raise error from exc

    def _refusal(self, exc: Exception) -> TransportError:
        if self._closed or self._connection.ssh.is_closed():
            return ConnectionLost("the connection to the node ended before the command was under way")
        error = channel_error(exc)
        if isinstance(error, UnsupportedShell) and self._runner is not None:
            # Commands do run here. Dropbear 2022 sometimes closes a new channel when an old one ends just then.
            return Busy(f"the node closed a new channel at once: {exc}")
        return error

    def _ended(self, status: RunStatus) -> None:
        if self.on_end:
            self.on_end(status)

    def _over(self) -> None:
        """The runner or the connection has ended by itself: let go of the other."""
        if not self._closed:
            self._closed = True
            self._connection.abort()
            self._tell()

    def _tell(self) -> None:
        if self.on_close:
            self.on_close()

    def _live(self) -> Runner:
        if self._closed or self._runner is None:
            raise ConnectionLost("the connection to the node has ended")
        return self._runner

    async def start(self, request: StartRequest, *, wait: float = 0.0) -> RunStatus:
        """See `transports.base.Session.start`."""
        return await self._live().start(request, wait=wait)

    async def status(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.status`."""
        return await self._live().status(run)

    async def read(self, run: RunId, *, stdout: int, stderr: int, limit: int) -> Output:
        """See `transports.base.Session.read`."""
        return await self._live().read(run, stdout=stdout, stderr=stderr, limit=limit)

    async def cancel(self, run: RunId) -> RunStatus:
        """See `transports.base.Session.cancel`."""
        return await self._live().cancel(run)

    async def gc(self, runs: Sequence[RunId]) -> None:
        """See `transports.base.Session.gc`."""
        await self._live().gc(runs)

    async def probe(self) -> Probe:
        """See `transports.base.Session.probe`."""
        return await self._live().probe()

    async def aclose(self) -> None:
        """Close, idempotently, in a few seconds at most. Runs on the node go on."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._runner is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_PATIENCE):
                        await self._runner.aclose()
            await self._connection.aclose()
        finally:
            self._connection.abort()
            self._tell()


def _discard(opening: "asyncio.Task[None]", channel: ExecChannel) -> None:
    if not opening.cancelled() and opening.exception() is None:
        channel.close()
