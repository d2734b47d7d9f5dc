"""The task that learns what other servers write. A notification wakes it, polling guarantees."""

import asyncio
from contextlib import suppress
from typing import Protocol

import asyncpg
import structlog

from controller.store.base import Unavailable
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, sentence
from controller.store.postgres.mirror import Mirror, catch_up
from controller.store.postgres.rows import Head, read_head
from controller.store.postgres.writer import channel

POLL = 0.5
"""Seconds: how long another server's write may go unnoticed when no notification comes (G-4)."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

log = structlog.get_logger(__name__)


class Reader(Mirror, Protocol):
    """Whom the follower works for."""

    def seen(self, head: Head) -> None:
        """This is how things stand."""

    def blind(self, reason: str) -> None:
        """How things stand cannot be read at present."""


class Follower:
    """Owns the connection that listens and polls."""

    def __init__(self, database: Database, mirror: Reader) -> None:
        self._database = database
        self._mirror = mirror
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow, connecting anew whenever that fails."""
        pause = _FIRST_PAUSE
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                await self._follow()
            except (Unavailable, *FAILURES) as error:
                reason = str(error) if isinstance(error, Unavailable) else sentence(error)
                log.warning("Cannot follow the store; will connect again", error=reason)
                self._mirror.blind(reason)
            if asyncio.get_running_loop().time() - begun > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _follow(self) -> None:
        connection = await self._database.connect()
        try:
            if not self._database.pooled:
                await connection.add_listener(channel(self._database), lambda *_: self._wake.set())
            while True:
                self._wake.clear()
                await self._look(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._wake.wait()
        finally:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection) -> None:
        async with self._database.transaction(connection, "REPEATABLE READ, READ ONLY"):
            head = await read_head(connection)
            await catch_up(connection, head, self._mirror)
        self._mirror.seen(head)
