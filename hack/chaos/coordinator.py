"""The server as the troubles meet it: one process after another over the same state, some of them doomed to die."""

import asyncio
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hack.chaos.disk import Disk
from tests.support.server import Server

FAILPOINTS = {
    "delivery.decided": 4,
    "delivery.intended": 4,
    "delivery.answered": 4,
    "claim.stored": 3,
    "output.stored": 2,
    "result.known": 4,
    "result.stored": 4,
    "cancel.answered": 1,
    "store.before-commit": 20,
    "store.after-commit": 20,
}
"""Where a server may be told to die, and at which passage at the latest."""
DOOMED = 0.75
"""The share of servers that are told to die at a failpoint."""
PATIENCE = 2.2
"""Seconds for a failpoint to be passed; a server that lives longer is not waited for."""
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
MEGABYTES = 512
SECTIONS: dict[str, dict[str, Any]] = {
    "registry": {"node_timeout": "8s", "health_check_interval": "2s", "sync_interval": "5s"},
    "transports": {"ssh": {"keepalive_interval": "2s"}},
}


class Coordinator:
    """`keep` runs a server for as long as it is itself run; `kill` ends the one that is there."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.disk = Disk(folder, megabytes=MEGABYTES)
        self.server = Server(folder, **SECTIONS)
        self.died: Counter[str] = Counter()
        """How servers ended, by cause: killed, a failpoint's name, or an exit code that nobody asked for."""
        self.started = 0
        self.ready_at = 0.0
        self.doomed = True
        """Whether failpoints may be set."""
        self._rng = rng
        self._clock = folder.parent / "clock"
        self._clock.write_text("+0")
        self._failpoint = ""
        self._doom_ends = 0.0
        self._killing = False
        if FAKETIME is not None:
            self.server.environment |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # or waits with a limit in other threads take seconds too long
            }

    def set_clock(self, offset: str) -> None:
        """Move the server's wall clock: `+1d`, `-1d`, `+0`."""
        self._clock.write_text(offset)

    async def keep(self) -> None:
        """Start a server whenever there is none, and note how each one ended."""
        while True:
            self._launch()
            assert self.server.process is not None
            self._account(await asyncio.to_thread(self.server.process.wait))
            await asyncio.sleep(self._rng.uniform(0, 0.2))

    def _launch(self) -> None:
        self._killing = False
        self._failpoint = self._draw() if self.doomed and self._rng.random() < DOOMED else ""
        passage = self._rng.randint(1, FAILPOINTS.get(self._failpoint, 1))
        self.server.environment["VENDETTA_FAILPOINT"] = f"{self._failpoint}:{passage}" if self._failpoint else ""
        self._doom_ends = time.monotonic() + PATIENCE if self._failpoint else 0.0
        self.started += 1
        self.server.launch()

    def _draw(self) -> str:
        """One of those that were met least often so far."""
        fewest = sorted(FAILPOINTS, key=lambda name: (self.died[name], self._rng.random()))
        return self._rng.choice(fewest[:3])

    def _account(self, code: int) -> None:
        if code != -signal.SIGKILL:
            self.died[f"exit {code}"] += 1
        elif self._killing:
            self.died["killed"] += 1
        else:
            self.died[self._failpoint] += 1

    def waits_for_its_failpoint(self) -> bool:
        """Whether the server that runs now will kill itself before long."""
        return time.monotonic() < self._doom_ends

    def kill(self) -> bool:
        """SIGKILL; whether there was anybody to kill."""
        process = self.server.process
        if process is None or process.poll() is not None:
            return False
        self._killing = True
        process.kill()
        return True

    async def is_ready(self, seconds: float = 30) -> bool:
        """Whether a server comes to be ready within so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if await asyncio.to_thread(self.server.is_ready):
                return True
            await asyncio.sleep(0.05)
        return False
