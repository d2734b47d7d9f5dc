"""The run protocol on this very machine: the same runner as over SSH, in a child process, over two pipes.

It leaves the same files, so a run that was started over one transport is found over another. When the runner dies a
new one comes up at the next verb; when the agent dies its runner looks after its runs to their ends.
"""

import asyncio
import os
import pwd
from collections.abc import Callable
from pathlib import Path

from transports.base import RunStatus, SessionInfo
from transports.runner.client import Runner
from transports.runner.pipes import Children, PipeChannel
from transports.verbs import Answer, Verb, perform


class LocalNode:
    """Performs verbs here. `home` is the login's; `base_dir` as in `transports.base.Endpoint`."""

    def __init__(self, *, home: Path | None = None, base_dir: str = ".vendetta") -> None:
        account = pwd.getpwuid(os.getuid())
        self.home = home or Path(os.environ.get("HOME") or account.pw_dir)
        self._environment = _environment(account, self.home)
        self._base_dir = base_dir
        self._runner: Runner | None = None
        self._launching = asyncio.Lock()
        self._children = Children()
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
        return await self._children.open(["/bin/sh", "-c", command], home=self.home, environment=self._environment)


def _environment(account: pwd.struct_passwd, home: Path) -> dict[str, str]:
    """The agent's own, without its settings, which hold its credentials; and what a login would have."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("VENDETTA_")}
    login = {"USER": account.pw_name, "LOGNAME": account.pw_name, "SHELL": account.pw_shell or "/bin/sh"}
    return {"PATH": os.defpath, **login, **own, "HOME": str(home)}
