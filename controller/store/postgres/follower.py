"""The task that learns what other servers write. A notification wakes it, polling guarantees."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import asyncpg
import structlog

from controller.store.base import Unavailable
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, sentence
from controller.store.postgres.mirror import Mirror, catch_up, look
from controller.store.postgres.rows import Head, read_head
from controller.store.postgres.writer import channel

POLL = 0.5
"""Seconds: how long another server's write may go unnoticed when no notification comes (G-4)."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_PATIENCE = 2.0
"""Seconds that somebody waits for a look: longer than a new connection takes."""

log = structlog.get_logger(__name__)


class Reader(Mirror, Protocol):
    """Whom the follower works for."""

    def seen(self, head: Head, at: float) -> None:
        """This is how things stood at that time, by `time.monotonic`."""

    def blind(self, reason: str) -> None:
        """How things stand cannot be read at present."""


class Follower:
    """Owns the connection that listens and polls."""

    def __init__(self, database: Database, mirror: Reader, is_own: Callable[[int], bool]) -> None:
        """`is_own` tells this server's own commits by the process that makes them: those are no news."""
        self._database = database
        self._mirror = mirror
        self._is_own = is_own
        self._wake = asyncio.Event()
        self._begun, self._done = 0, 0
        self._looked = asyncio.Condition()
        self._trouble = ""

    async def look(self) -> None:
        """Return once all is known that was committed before the call: after a look that begins later.

        Raises Unavailable when there is none for seconds.
        """
        wanted = self._begun + 1
        self._wake.set()
        try:
            async with asyncio.timeout(_PATIENCE), self._looked:
                await self._looked.wait_for(lambda: self._done >= wanted)
        except TimeoutError:
            reason = self._trouble or "it does not answer"
            raise Unavailable(f"cannot ask the database what is new: {reason}") from None

    async def run(self) -> None:
        """Follow, connecting anew whenever that fails."""
        pause = _FIRST_PAUSE
        while True:
            looks = self._done
            try:
                await self._follow()
            except (Unavailable, *FAILURES) as error:
                reason = str(error) if isinstance(error, Unavailable) else sentence(error)
                if reason != self._trouble:
                    log.warning("Cannot follow the store; will connect again", error=reason)
                self._trouble = reason
                self._mirror.blind(reason)
            pause = _FIRST_PAUSE if self._done > looks else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        connection = await self._database.connect()
        try:
            if not self._database.pooled:
                await connection.add_listener(channel(self._database), self._told)
            while True:
                self._wake.clear()
                await self._look(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._wake.wait()
        finally:
            connection.terminate()

    def _told(self, connection: object, process: int, channel: str, payload: object) -> None:
        del connection, channel, payload
        if not self._is_own(process):
            self._wake.set()

    async def _look(self, connection: asyncpg.Connection) -> None:
        self._begun += 1
        this, begun = self._begun, time.monotonic()
        head, whole = await look(connection, self._database.schema, self._mirror)
        if not whole:
            async with self._database.transaction(connection, "REPEATABLE READ, READ ONLY"):
                head = await read_head(connection)
                await catch_up(connection, head, self._mirror)
        self._mirror.seen(head, begun)
        self._trouble = ""
        self._done = this
        async with self._looked:
            self._looked.notify_all()
