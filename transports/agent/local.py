"""The run protocol on this very machine: the same runner as over SSH, in a child process, over two pipes.

It leaves the same files, so a run that was started over one transport is found over another. When the runner dies a
new one comes up at the next verb; when the agent dies its runner looks after its runs to their ends.
"""

import asyncio
import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

from transports.base import RunStatus, SessionInfo
from transports.errors import ConnectionLost
from transports.runner.client import Runner
from transports.verbs import Answer, Verb, perform

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


class LocalNode:
    """Performs verbs here. `home` is the login's; `base_dir` as in `transports.base.Endpoint`."""

    def __init__(self, *, home: Path | None = None, base_dir: str = ".vendetta") -> None:
        account = pwd.getpwuid(os.getuid())
        self.home = home or Path(os.environ.get("HOME") or account.pw_dir)
        self._environment = _environment(account, self.home)
        self._base_dir = base_dir
        self._runner: Runner | None = None
        self._launching = asyncio.Lock()
        self._children: list[subprocess.Popen[bytes]] = []
        self.on_end: Callable[[RunStatus], None] = lambda status: None
        """Told of runs that have ended."""

    async def perform(self, verb: Verb) -> Answer:
        """Do what the verb says. Raises TransportError; ValueError for a run id that is none."""
        return await perform(await self._live(), verb)

    async def info(self) -> SessionInfo:
        """Boot id, runner and install id. Raises TransportError where no runner comes up."""
        return (await self._live()).info

    async def aclose(self) -> None:
        """End the runner. Runs go on."""
        if self._runner is not None:
            await self._runner.aclose()

    async def _live(self) -> Runner:
        async with self._launching:
            if self._runner is None or self._runner.closed:
                self._runner = await Runner.launch(self._open, base_dir=self._base_dir)
                self._runner.on_end = self._ended
            return self._runner

    def _ended(self, status: RunStatus) -> None:
        self.on_end(status)

    async def _open(self, command: str) -> PipeChannel:
        """Start a command as sshd would: in a session of its own, in the home."""
        self._children = [child for child in self._children if child.poll() is None]
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        try:
            child = await asyncio.to_thread(self._spawn, command, theirs_in, theirs_out)
        except BaseException:
            os.close(ours_in)
            os.close(ours_out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._children.append(child)
        return await PipeChannel.over(ours_in, ours_out)

    def _spawn(self, command: str, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - running commands is what it is for
            ["/bin/sh", "-c", command],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd=self.home,
            env=self._environment,
            start_new_session=True,
        )


def _environment(account: pwd.struct_passwd, home: Path) -> dict[str, str]:
    """The agent's own, without its settings, which hold its credentials; and what a login would have."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("VENDETTA_")}
    login = {"USER": account.pw_name, "LOGNAME": account.pw_name, "SHELL": account.pw_shell or "/bin/sh"}
    return {"PATH": os.defpath, **login, **own, "HOME": str(home)}
