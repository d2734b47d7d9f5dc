"""The CLI as a process of its own, against a server that is one too."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.nodes import SshdFactory, SshdNode
from tests.support.server import ROOT, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a call of the CLI ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@dataclass(slots=True, kw_only=True)
class CLI:
    """Runs `vendetta …` in a folder of its own."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What the process sees: nothing of the tester's own settings."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("VENDETTA_")}
        return clean | {"XDG_CONFIG_HOME": str(self.folder), "PYTHONPATH": str(ROOT), "COLUMNS": "100"} | self.environ

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "api.cli.main", *arguments]

    def __call__(self, *arguments: str, stdin: bytes = b"", expect: int | None = 0) -> Done:
        """Run it to its end; a traceback fails the test, and so does another exit code than the one expected."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=self.environment(),
            timeout=60,
            check=False,
        )
        result = Done(code=done.returncode, out=done.stdout, err=done.stderr.decode())
        assert "Traceback" not in result.err, result.err
        assert expect is None or result.code == expect, f"exit code {result.code}\n{result.text}\n{result.err}"
        return result

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start it and go on; it is the leader of a session without a terminal."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment(),
            start_new_session=True,
        )

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server without nodes, its state in memory."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder, registry={"provider": "memory", "health_check_interval": "1s", "node_timeout": "3s"})
    yield server.start()
    server.close()


@pytest.fixture
def offline(tmp_path: Path) -> CLI:
    """The CLI with nothing to talk to."""
    folder = tmp_path / "cli"
    folder.mkdir()
    return CLI(folder=folder)


@pytest.fixture
def vendetta(server: Server, offline: CLI) -> CLI:
    """The CLI, pointed at the server."""
    offline.environ["VENDETTA_SERVER"] = server.url
    return offline


@pytest.fixture
async def node(server: Server, sshd: SshdFactory) -> SshdNode:
    """A real machine that the server knows as build-01."""
    machine = await sshd()
    await asyncio.to_thread(server.register, "build-01", machine, labels={"env": "dev"})
    return machine
