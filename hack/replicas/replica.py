"""One of the servers, as the troubles meet it."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from tests.support.postgres import by_way_of
from tests.support.proxy import Proxy
from tests.support.server import Server


class Replica:
    """`keep` runs a server for as long as it is itself run; whatever ends it, there will be another."""

    def __init__(self, folder: Path, dsn: str, proxy: Proxy, **sections: dict[str, Any]) -> None:
        folder.mkdir()
        self.name = folder.name
        self.proxy = proxy
        self.down = False
        """Whether a trouble has taken it down and has not yet given it back."""
        self.started = 0
        registry = {"provider": "postgres", "dsn": by_way_of(dsn, proxy.port)} | sections.pop("registry", {})
        self.server = Server(folder, registry=registry, **sections)

    async def keep(self) -> None:
        """Start a server whenever there is none."""
        while True:
            self.server.launch()
            self.started += 1
            assert self.server.process is not None
            await asyncio.to_thread(self.server.process.wait)
            await asyncio.sleep(0.5)

    def signal(self, number: signal.Signals) -> None:
        """Send it to the server, if there is one."""
        process = self.server.process
        if process is not None and process.poll() is None:
            os.kill(process.pid, number)

    async def is_ready(self, seconds: float = 60) -> bool:
        """Whether it comes to be ready within so many seconds."""
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if await asyncio.to_thread(self.server.is_ready):
                return True
            await asyncio.sleep(0.1)
        return False
