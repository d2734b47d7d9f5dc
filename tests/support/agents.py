"""Real agent processes, and a harbour for those that dial: a hub behind a port, with nothing else of a server."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.agents import AgentSocket
from tests.support import processes
from tests.support.nodes import free_port
from tests.support.server import ROOT
from transports.verbs import MESSAGE_LIMIT
from transports.websocket.hub import Hub


class AgentProcess:
    """`vendetta agent …` as anybody would run it, in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "agent-home"
        self.home.mkdir(exist_ok=True)
        self.state = folder / "agent-state"
        self.log = folder / "agent.log"
        self.address = "127.0.0.1"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        """What comes before its command line, to run it in a namespace."""
        self._arguments: list[str] = []
        self._environment: dict[str, str] = {}

    async def serve(self, token: str, *arguments: str) -> None:
        """Start `agent serve` and wait until it listens."""
        self._environment = {"VENDETTA_AGENT_TOKEN": token}
        self.launch("serve", "--port", str(self.port), *arguments)
        async with asyncio.timeout(20):
            while not await _listens(self.address, self.port):
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.02)

    def connect(self, server: str, name: str, *arguments: str, **environment: str) -> None:
        """Start `agent connect`."""
        self._environment = environment
        self.launch("connect", server, "--id", name, "--state", str(self.state), *arguments)

    def launch(self, *arguments: str) -> None:
        """Start it; without arguments with those of the last time."""
        self._arguments = list(arguments) or self._arguments
        own = {k: v for k, v in os.environ.items() if not k.startswith("VENDETTA_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "transports.agent", *self._arguments],
                cwd=ROOT,
                env={**own, "HOME": str(self.home), **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL, as when the machine runs out of memory. Runs go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        """End it and all that came from it."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for _ in range(10):
            left = processes.with_environment(f"HOME={self.home}")
            processes.kill(left)
            if not left:
                return


async def _listens(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


class Harbour:
    """Takes registrations as they come, and whoever dials in, as the node named in the path."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.port = free_port()
        config = uvicorn.Config(
            cast("Any", self._serve),
            port=self.port,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            ws="websockets-sansio",
            ws_max_size=MESSAGE_LIMIT,
            ws_per_message_deflate=False,
        )
        self._server = Unattended(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> "Harbour":
        """Begin to listen."""
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - it does not tell
            await asyncio.sleep(0.01)
        return self

    async def aclose(self) -> None:
        """Stop."""
        await self.hub.aclose()
        self._server.should_exit = True
        assert self._serving is not None
        await self._serving

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Response(b"{}", media_type="application/json")(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        name = scope["path"].split("/")[4]
        await self.hub.serve(name, f"uid-of-{name}", AgentSocket(receive, send))


class Unattended(uvicorn.Server):
    """uvicorn inside of a test: signals are the test's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield
