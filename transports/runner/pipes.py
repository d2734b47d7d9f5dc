"""Channels that are child processes: for whatever reaches a node by a program (`docker exec`, `chroot`, or none)."""

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from transports.errors import ConnectionLost

_LIMIT = 1 << 20


class PipeChannel:
    """A command of the node's shell and its two pipes. Implements `transports.runner.channel.Channel`."""

    def __init__(self, reader: asyncio.StreamReader, reading: asyncio.ReadTransport, writer: asyncio.StreamWriter):
        self._reader = reader
        self._reading = reading
        self._writer = writer

    @classmethod
    async def over(cls, ours_in: int, ours_out: int) -> "PipeChannel":
        """A channel over the two descriptors, which it owns from now on."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LIMIT)
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb", 0)
        )
        writing, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(ours_out, "wb", 0)
        )
        return cls(reader, reading, asyncio.StreamWriter(writing, protocol, None, loop))

    async def write(self, data: bytes, /) -> None:
        """Send all of `data`."""
        if self._writer.is_closing():
            raise ConnectionLost("the runner's input is closed")
        self._writer.write(data)
        await self._writer.drain()

    async def read(self, n: int, /) -> bytes:
        """Between 1 and `n` bytes, or `b""` at the end."""
        return await self._reader.read(n)

    async def write_eof(self) -> None:
        """Say that no more will be written."""
        self._writer.close()

    async def aclose(self) -> None:
        """Close both directions."""
        self._writer.close()
        self._reading.close()


class Children:
    """Starts programs, each with a channel to it. They outlive their channel if they like, and are buried in time."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    async def open(self, argv: Sequence[str], *, home: Path, environment: Mapping[str, str]) -> PipeChannel:
        """Start a program as sshd would: in a session of its own, in the home. Raises OSError."""
        self._started = [child for child in self._started if child.poll() is None]
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        try:
            child = await asyncio.to_thread(_spawn, argv, theirs_in, theirs_out, home, environment)
        except BaseException:
            os.close(ours_in)
            os.close(ours_out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._started.append(child)
        return await PipeChannel.over(ours_in, ours_out)


def _spawn(
    argv: Sequence[str], stdin: int, stdout: int, home: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - running commands is what it is for
        list(argv),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        cwd=home,
        env=dict(environment),
        start_new_session=True,
    )
