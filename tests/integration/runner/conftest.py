# ruff: noqa: D102
"""Real shells, local processes: a login is `sh -c <command>` with a home of its own."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from transports.base import RunId, RunState, RunStatus, StartRequest
from transports.runner.client import Runner

SHELLS = {"dash": "dash", "busybox": "busybox", "bash": "bash", "mksh": "mksh", "yash": "yash", "perl": "dash"}
"""The shell of each kind of node."""
SOME = list(SHELLS) if os.environ.get("VENDETTA_SHELLS") == "all" else ["dash", "busybox", "perl"]
"""For tests that wait long."""
LANGUAGES = {"perl": ("perl",), "perl+sh": ("perl", "sh"), "sh+perl": ("sh", "perl")}
"""In which language runner after runner is on a node of that kind, unless it is always `sh`."""


class LocalChannel:
    """A command of this machine as a channel."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def write(self, data: bytes, /) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def read(self, n: int, /) -> bytes:
        assert self.process.stdout is not None
        return await self.process.stdout.read(n)

    async def write_eof(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write_eof()

    async def aclose(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(OSError):
            await self.process.stdin.wait_closed()
        # Like the end of a connection: the pipe goes away, whoever else may still hold it.
        self.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        try:
            await asyncio.wait_for(self.process.wait(), 1)
        except TimeoutError:
            return  # a runner in perl stays as long as its runs, and closing the transport would kill it
        self.process._transport.close()  # type: ignore[attr-defined]


@dataclass
class Node:
    """One simulated node: a home, a shell, and every process that was started through it."""

    home: Path
    shell: str
    flavour: str
    env: dict[str, str]
    channels: list[LocalChannel] = field(default_factory=list)
    languages: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.languages = itertools.cycle(LANGUAGES.get(self.flavour, ("sh",)))

    async def open_channel(self, command: str) -> LocalChannel:
        process = await asyncio.create_subprocess_exec(
            self.shell,
            "-c",
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.home,
            env=self.env,
            start_new_session=True,
        )
        channel = LocalChannel(process)
        self.channels.append(channel)
        return channel

    async def launch(self, **options: object) -> Runner:
        options.setdefault("flavour", next(self.languages))
        return await Runner.launch(self.open_channel, shell=self.shell, **options)  # type: ignore[arg-type]

    @property
    def directory(self) -> Path:
        (found,) = (self.home / ".vendetta").glob("*/v1")
        return found

    def processes(self) -> dict[int, str]:
        """Every process whose environment names this home: runners, supervisors, reapers, commands."""
        found = {}
        mark = f"HOME={self.home}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rsplit(") ", 1)[1]
                if mark in (entry / "environ").read_bytes().split(b"\0") and stat[0] not in "ZX":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def end_processes(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def shell_path(flavour: str, where: Path) -> tuple[str, str]:
    """An absolute path of that shell, under the name sh, and the PATH that goes with it."""
    program = shutil.which(SHELLS.get(flavour, "dash"))
    if program is None:
        pytest.skip(f"{flavour} is not installed")
    where.mkdir(parents=True, exist_ok=True)
    (where / "sh").symlink_to(program)
    if flavour != "busybox":
        return str(where / "sh"), os.environ["PATH"]
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "sh":
            (where / applet).symlink_to(program)
    return str(where / "sh"), str(where)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait until a condition holds; fail after `within` seconds."""

    async def wait(condition: Callable[[], object], within: float = 15) -> None:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.05)

    return wait


@pytest.fixture
def ended() -> Callable[..., Awaitable[RunStatus]]:
    """Ask for a run's status until it does not go on any more."""

    async def wait(runner: Runner, run: RunId, within: float = 25) -> RunStatus:
        async with asyncio.timeout(within):
            while (status := await runner.status(run)).state in (RunState.RUNNING, RunState.ORPHAN):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return status

    return wait


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[[str], Node]]:
    nodes: list[Node] = []

    def make(flavour: str) -> Node:
        home = tmp_path / f"home-{len(nodes)}"
        home.mkdir()
        shell, path = shell_path(flavour, tmp_path / f"bin-{len(nodes)}")
        env = {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "USER": "root", "LOGNAME": "root"}
        nodes.append(Node(home=home, shell=shell, flavour=flavour, env=env))
        return nodes[-1]

    yield make
    for node in nodes:
        node.end_processes()


@pytest.fixture(params=list(SHELLS))
def node(request: pytest.FixtureRequest, make_node: Callable[[str], Node]) -> Node:
    """A node, once for each shell."""
    return make_node(request.param)


@pytest.fixture
def dash_node(make_node: Callable[[str], Node]) -> Node:
    return make_node("dash")


@pytest.fixture
async def launch(node: Node) -> AsyncIterator[Callable[[], Awaitable[Runner]]]:
    runners: list[Runner] = []

    async def one() -> Runner:
        runners.append(await node.launch())
        return runners[-1]

    yield one
    for r in runners:
        await r.aclose()


@pytest.fixture
async def runner(launch: Callable[[], Awaitable[Runner]]) -> Runner:
    return await launch()


@pytest.fixture
def new_run() -> Callable[..., StartRequest]:
    def make(script: str | bytes, **options: object) -> StartRequest:
        data = script.encode() if isinstance(script, str) else script
        options.setdefault("run", RunId(os.urandom(16).hex() + ".1"))
        return StartRequest(script=data, **options)  # type: ignore[arg-type]

    return make
