"""One active server at a time: the lease in the database, and the fence that keeps out whoever held it before.

The lease is for liveness, the fence for safety. A lease alone never tells a server that was stopped for a minute that
another one has taken over; but its next transaction locks the head, finds a newer epoch there, and is refused.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta

import asyncpg
import structlog

from controller.resources.types import rfc3339
from controller.store.base import Unavailable
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, sentence
from controller.store.postgres.migrate import known, migrate
from controller.store.postgres.rows import Head, read_head

MIGRATION = 2
"""The one that made the lease. What came later is applied by the server that holds it."""

_LOOK = 1.0
"""Seconds between two looks of a standby, at most."""
_PAUSE = 0.5
"""Seconds between two attempts to renew."""
_RELEASE = 5.0

log = structlog.get_logger(__name__)


class Lease:
    """This server's claim to be the active one. A store whose lease was never acquired is not fenced."""

    def __init__(self, database: Database, length: float) -> None:
        self._database = database
        self._length = length
        self._holder = f"{socket.gethostname()} (pid {os.getpid()})"
        self._connection: asyncpg.Connection | None = None
        self._epoch: int | None = None
        self._until = 0.0
        self._loss = ""
        self._is_lost = asyncio.Event()

    async def acquire(self, told: Callable[[str], None]) -> None:
        """Wait until nobody holds the lease, and take it. Raises Unavailable if there is no asking for it.

        `told` is called with who holds it at the first look, and whenever that is another one. A database that goes
        away while this server stands by is waited for.
        """
        try:
            holder = await self._take()
        except FAILURES as error:
            raise Unavailable(f"cannot open the store in PostgreSQL: {sentence(error)}") from error
        before = None
        while holder is not None:
            if holder != before:
                told(holder)
            before = holder
            await asyncio.sleep(min(_LOOK, self._length / 3))
            holder = await self._take_if_there(before)
        log.info("this server is the active one", epoch=self._epoch)

    async def keep(self) -> None:
        """Renew the lease in good time, until it is lost: to another server, or to a database that is away."""
        while not self._is_lost.is_set():
            await asyncio.sleep(self._length / 3)
            try:
                async with asyncio.timeout(self._until - time.monotonic()):
                    await self._renew()
            except TimeoutError:
                self._lose(f"its lease could not be renewed for {self._length:g} s")

    async def lost(self) -> str:
        """Wait until the lease is lost. Returns why."""
        await self._is_lost.wait()
        return self._loss

    async def head(self, connection: asyncpg.Connection) -> Head:
        """Lock the head, for a write. Raises Unavailable when the lease is another server's by now."""
        head = await read_head(connection, lock=True)
        if self._epoch is not None and head.epoch != self._epoch:
            self._lose("another server has taken over")
            raise Unavailable("another server is the active one now: this one writes nothing more")
        return head

    async def release(self) -> None:
        """Let the next one have it at once. Whoever cannot be told finds it expired."""
        try:
            if self._epoch is not None:
                async with asyncio.timeout(_RELEASE):
                    await self._execute("UPDATE head SET expires = NULL WHERE epoch = $1", self._epoch)
        except (Unavailable, *FAILURES) as error:
            log.warning("Cannot release the lease; it expires by itself", error=sentence(error))
        finally:
            self._disconnect()

    async def _take(self) -> str | None:
        """Take the lease if it is free; else tell who holds it."""
        connection, began = await self._connected(), time.monotonic()
        async with self._database.transaction(connection):
            epoch = await connection.fetchval(
                "UPDATE head SET epoch = epoch + 1, holder = $1, since = now(), expires = now() + $2 "
                "WHERE expires IS NULL OR expires <= clock_timestamp() RETURNING epoch",
                self._holder,
                timedelta(seconds=self._length),
            )
            if epoch is None:
                row = await connection.fetchrow("SELECT holder, since FROM head")
        if epoch is None:
            return f"{row['holder']}, since {rfc3339(row['since'])}" if row else "nobody: the database was emptied"
        self._epoch, self._until = epoch, began + self._length
        return None

    async def _take_if_there(self, before: str) -> str | None:
        """The same, but a database that does not answer leaves things as they were."""
        try:
            return await self._take()
        except FAILURES as error:
            log.warning("Cannot ask who the active server is; will try again", error=sentence(error))
            return before

    async def _renew(self) -> None:
        """Try until the database has answered."""
        while True:
            began = time.monotonic()
            try:
                answer = await self._execute(
                    "UPDATE head SET expires = now() + $2 WHERE epoch = $1",
                    self._epoch,
                    timedelta(seconds=self._length),
                )
            except (Unavailable, *FAILURES) as error:
                log.warning("Cannot renew the lease; will try again", error=sentence(error))
                await asyncio.sleep(_PAUSE)
                continue
            if answer == "UPDATE 1":
                self._until = began + self._length
            else:
                self._lose("another server has taken over")
            return

    async def _execute(self, statement: str, *values: object) -> str:
        connection = await self._connected()
        async with self._database.transaction(connection):
            return str(await connection.execute(statement, *values))

    async def _connected(self) -> asyncpg.Connection:
        """A connection to a schema that has a lease."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
            if self._epoch is None:
                await migrate(self._connection, self._database, known(), upto=MIGRATION)
        return self._connection

    def _lose(self, reason: str) -> None:
        self._loss = self._loss or reason
        self._is_lost.set()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
