"""A place among the servers on one database.

A member's row says until when it counts, by the database's clock, and is renewed with every look at the others.
Whoever finds one outdated expels it. The member itself gives up earlier, by its own clock: a server that cannot reach
the database has stopped its work before another one may take it. What it may still write is up against the fence.
"""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from controller.membership import LOST, Ids, OnView, View
from controller.store.base import Unavailable
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, sentence
from controller.store.postgres.fence import Fence, unblock
from controller.store.postgres.rows import read_head

_LONGEST_LOOK: Final = 1.0
"""Seconds between two looks at the members, at most. A notification makes it sooner."""
_LOOKS: Final = 6
"""Looks in the time that a place is good for, at least."""
_SURE: Final = 2 / 3
"""The part of that time after which a server that could not renew gives up: the rest is for stopping its work."""
_PAUSE: Final = 0.5
"""Seconds between two attempts to renew."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""The same, to join."""
_LEAVING: Final = 5.0

log = structlog.get_logger(__name__)


def period(lease: float) -> float:
    """Seconds between two looks, for a place that is good for so many."""
    return min(_LONGEST_LOOK, lease / _LOOKS)


class Members:
    """This server's membership (`controller.membership.Membership`), and the connection that keeps it."""

    def __init__(self, database: Database, fence: Fence, *, lease: float, takes_shares: bool, address: str) -> None:
        self._database = database
        self._fence = fence
        self._lease = lease
        self._takes_shares = takes_shares
        self._address = address
        self._place = place_of(address)
        self._connection: asyncpg.Connection | None = None
        self._ids = Ids(self._place)
        self._former = self._me = self._ids.next()
        self._until = 0.0
        self._newest = self._told = LOST
        self._acknowledged = self._written = 0
        self._look_now = asyncio.Event()
        self._news = asyncio.Event()
        fence.put_up(lambda: self._lose("another server has expelled it"))

    @property
    def me(self) -> str:
        """This incarnation's id."""
        return self._me

    def view(self) -> View:
        """What was told last, or LOST: also when a server that was stopped has not noticed yet how late it is."""
        return self._told if time.monotonic() < self._until else LOST

    async def run(self, on_view: OnView) -> None:
        """Join, stay, and join again. Leaves when cancelled; after an error of `on_view` others wait for the end."""
        try:
            while True:
                await self._join()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._stay(), name="membership-lease")
                    await self._tell(on_view)
                await on_view(LOST)
        except asyncio.CancelledError:
            await self._leave()
            raise
        finally:
            self._shut_out()
            self._disconnect()

    async def _join(self) -> None:
        """Become a member under a new id, however long that takes."""
        self._former, self._me = self._me, self._ids.next()
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._enter()
            except (Unavailable, *FAILURES) as error:
                log.warning("Cannot join the servers on the store; will try again", error=_reason(error))
                self._disconnect()
            else:
                log.info("joined the servers on the store", member=self._me)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _enter(self) -> None:
        """One attempt. What an earlier one may have left is replaced."""
        began, connection = time.monotonic(), await self._connected()
        async with self._database.transaction(connection):
            await unblock(connection)
            await read_head(connection, lock=True)
            gone = [self._former, self._me, *await self._predecessors(connection)]
            await connection.execute("DELETE FROM members WHERE id = ANY($1::text[])", gone)
            await connection.execute(
                "INSERT INTO members (id, host, pid, address, place, since, expires, takes_shares) "
                "VALUES ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + $6, $7)",
                self._me,
                socket.gethostname(),
                os.getpid(),
                self._address,
                self._place,
                timedelta(seconds=self._lease),
                self._takes_shares,
            )
            await self._raise_generation(connection)
        self._until = began + self._lease * _SURE
        self._acknowledged = self._written = 0
        self._newest = self._told = LOST
        self._fence.let_in(self._me)

    async def _predecessors(self, connection: asyncpg.Connection) -> list[str]:
        """Members that listened where this one does, and whose process is gone: they need not be waited for."""
        rows = await connection.fetch("SELECT id, pid FROM members WHERE place = $1", self._place)
        return [row["id"] for row in rows if not _runs(row["pid"])]

    async def _stay(self) -> None:
        """Renew the place and look at the others, until the place is lost."""
        while self._has_place():
            self._look_now.clear()
            try:
                async with asyncio.timeout(self._until - time.monotonic()):
                    await self._look_until_answered()
            except TimeoutError:
                self._lose(f"its place could not be renewed for {self._lease * _SURE:g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(period(self._lease)):
                    await self._look_now.wait()

    async def _look_until_answered(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._look()
            except (Unavailable, *FAILURES) as error:
                log.warning("Cannot renew the place among the servers; will try again", error=_reason(error))
                self._disconnect()
                await asyncio.sleep(min(_PAUSE, period(self._lease)))
            else:
                self._until = began + self._lease * _SURE
                return

    async def _look(self) -> None:
        """Renew, with what was acknowledged, and see who else is there."""
        connection = await self._connected()
        acknowledged = self._acknowledged
        async with self._database.transaction(connection):
            await read_head(connection)  # or this version may not use the schema any more
            await unblock(connection)
            renewed = await connection.execute(
                "UPDATE members SET expires = clock_timestamp() + $2, seen = $3 WHERE id = $1",
                self._me,
                timedelta(seconds=self._lease),
                acknowledged,
            )
            rows = await connection.fetch(
                "SELECT generation, id, takes_shares, seen, members.expires <= clock_timestamp() AS outdated "
                "FROM head, members"
            )
            if acknowledged != self._written:
                await self._wake_others(connection)
        self._written = acknowledged
        if renewed != "UPDATE 1":
            self._lose("another server has expelled it")
            return
        self._see(rows)
        if any(row["outdated"] for row in rows):
            await self._expel(connection)

    def _see(self, rows: Sequence[asyncpg.Record]) -> None:
        generation, sharers = rows[0]["generation"], [row for row in rows if row["takes_shares"]]
        live = frozenset(row["id"] for row in sharers)
        self._newest = View(generation, live, all(row["seen"] >= generation for row in sharers))
        self._news.set()

    async def _expel(self, connection: asyncpg.Connection) -> None:
        """Remove whose time is over. Only then may others take what was theirs."""
        async with self._database.transaction(connection):
            await read_head(connection, lock=True)
            gone = await connection.fetch(
                "DELETE FROM members WHERE expires <= clock_timestamp() RETURNING id, host, pid"
            )
            if gone:
                await self._raise_generation(connection)
        for row in gone:
            log.warning(
                "expelled a server that gave no sign of life", member=row["id"], host=row["host"], pid=row["pid"]
            )
        self._look_now.set()

    async def _tell(self, on_view: OnView) -> None:
        """Tell each view as it comes, until the place is lost."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._has_place() and (view := self._due()) is not None:
                self._told = view
                await on_view(view)
                self._acknowledge(view)
            if not self._has_place():
                return

    def _due(self) -> View | None:
        """What is to be told next."""
        newest, told = self._newest, self._told
        if newest.generation != told.generation:
            return View(newest.generation, newest.live, settled=False)
        return newest if newest.settled and not told.settled else None

    def _acknowledge(self, view: View) -> None:
        if not view.settled and self._has_place():
            self._acknowledged = view.generation
            self._look_now.set()

    async def _leave(self) -> None:
        """Say that this server is gone and has stopped. Whoever cannot be told finds its time over."""
        self._shut_out()
        try:
            async with asyncio.timeout(_LEAVING):
                connection = await self._connected()
                async with self._database.transaction(connection):
                    await read_head(connection, lock=True)
                    if await connection.execute("DELETE FROM members WHERE id = $1", self._me) == "DELETE 1":
                        await self._raise_generation(connection)
        except (Unavailable, *FAILURES) as error:
            log.warning("Cannot leave the servers on the store; they will notice", error=_reason(error))

    async def _raise_generation(self, connection: asyncpg.Connection) -> None:
        await connection.execute("UPDATE head SET generation = generation + 1")
        await self._wake_others(connection)

    async def _wake_others(self, connection: asyncpg.Connection) -> None:
        await connection.execute("SELECT pg_notify($1, '')", _channel(self._database))

    def _has_place(self) -> bool:
        return self._fence.place is not None

    def _lose(self, reason: str) -> None:
        if self._has_place():
            log.warning("this server has lost its place; it stops its work and joins again", reason=reason)
            self._shut_out()

    def _shut_out(self) -> None:
        self._fence.shut_out()
        self._told = LOST
        self._look_now.set()
        self._news.set()

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
            if not self._database.pooled:
                await self._connection.add_listener(_channel(self._database), lambda *_: self._look_now.set())
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()


def place_of(address: str) -> str:
    """Where on which machine that address is. Two processes have it only one after the other."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/net').readlink()} {address}"


def _runs(pid: int) -> bool:
    """Whether another process has that number. In a new container it is this one's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _channel(database: Database) -> str:
    """Where changes of the members are told of. It only wakes, as `writer.channel` does."""
    return f"members {database.schema}"[:63]


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, Unavailable) else sentence(error)
