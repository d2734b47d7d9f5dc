"""The one task that writes. Whatever queued up while the last commit ran goes into the next one: a group commit.

Each batch locks the head, catches up with what other servers have written, and is staged on exactly that. So the
preconditions are checked against the newest objects, whoever wrote them, and revisions become visible in order.

A commit without an answer is never taken for a failure and never repeated blindly: the writer connects again and
asks which batch of its own was committed last. The lock on the head makes the answer final.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

import asyncpg
import structlog

from controller.resources.meta import Resource
from controller.store.base import NoPlace, Operation, StoreError, Unavailable
from controller.store.postgres.database import Database, commit, rollback
from controller.store.postgres.errors import FAILURES, is_of_one_write, passes, sentence
from controller.store.postgres.fence import Fence
from controller.store.postgres.mirror import Mirror, catch_up
from controller.store.postgres.rows import Head, Mark, Partitions, read_head, store
from controller.store.postgres.upkeep import Upkeep
from controller.store.staging import Staged
from controller.store.state import Sizes

PATIENCE = 5.0
"""Seconds that a write goes on trying while the database is away."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_IDLE = 1.0
"""Seconds between looks at what has grown old while nothing is written."""
_MOST, _MOST_BYTES = 1000, 8 << 20
"""How much goes into one commit."""

log = structlog.get_logger(__name__)


class NeverKnown(Exception):
    """A commit got no answer, and the database cannot be asked any more what became of it."""


class Ledger(Mirror, Protocol):
    """Whom the writer works for."""

    def stage(self, operations: Sequence[Operation]) -> Staged:
        """Stage a write on what was staged before. Raises what `Store.write` raises."""

    def unstage(self) -> None:
        """Forget what was staged and not published."""

    def sizes(self) -> Mapping[str, Sizes]:
        """The output sizes that are stored."""

    def committed(self, head: Head, batch: Sequence[Staged]) -> None:
        """These are durable: let them be seen."""

    def failed(self, reason: str, count: int) -> None:
        """So many writes could not be stored."""


@dataclass(slots=True, eq=False)
class Pending:
    """A write that somebody waits for."""

    operations: Sequence[Operation]
    size: int
    waiter: asyncio.Future[Sequence[Resource | None]]
    staged: Staged | None = None
    refusal: Exception | None = None

    def answer(self) -> None:
        """Tell what staging came to: that is now true for everybody."""
        if self.waiter.done():
            return
        if self.refusal is not None:
            self.waiter.set_exception(self.refusal)
        elif self.staged is not None:
            self.waiter.set_result(self.staged.results)

    def fail(self, reason: str) -> None:
        """Tell that it was not stored."""
        if not self.waiter.done():
            self.waiter.set_exception(Unavailable(reason))


class Writer:
    """Owns the writing connection."""

    def __init__(
        self,
        database: Database,
        fence: Fence,
        ledger: Ledger,
        upkeep: Upkeep,
        *,
        failpoint: Callable[[str], None],
    ) -> None:
        self._database = database
        self._fence = fence
        self._ledger = ledger
        self._upkeep = upkeep
        self._failpoint = failpoint
        self._server = uuid4()
        self._partitions = Partitions()
        self._batch = 0
        self._connection: asyncpg.Connection | None = None
        self._queue: deque[Pending] = deque()
        self._wake = asyncio.Event()
        self._stopping = False

    def submit(self, pending: Pending) -> None:
        """Have a write committed."""
        self._queue.append(pending)
        self._wake.set()

    def is_backend(self, process: int) -> bool:
        """Whether that process of the database is the one that commits for this server."""
        connection = self._connection
        return connection is not None and not connection.is_closed() and connection.get_server_pid() == process

    def stop(self) -> None:
        """End once all that was submitted is done."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Take, commit, account."""
        try:
            while not (self._stopping and not self._queue):
                if self._queue:
                    await self._settle(self._take())
                    continue
                self._wake.clear()
                try:
                    async with asyncio.timeout(_IDLE):
                        await self._wake.wait()
                except TimeoutError:
                    await self._keep_up()
        finally:
            self._end()

    def _take(self) -> Sequence[Pending]:
        batch, size = [self._queue.popleft()], 0
        while self._queue and len(batch) < _MOST and size < _MOST_BYTES:
            size += self._queue[0].size
            batch.append(self._queue.popleft())
        return batch

    async def _settle(self, batch: Sequence[Pending]) -> None:
        """Commit a batch or tell everybody why not."""
        try:
            await self._persist(batch)
        except (NoPlace, NeverKnown) as error:
            for pending in batch:
                pending.fail(str(error))
        except (StoreError, *FAILURES) as error:
            if is_of_one_write(error) and len(batch) > 1:
                for pending in batch:
                    await self._settle([pending])
                return
            reason = str(error) if isinstance(error, StoreError) else sentence(error)
            self._refuse(batch, reason)
        except Exception as error:
            # Nothing is known to bring this about; if something does, it must not end the writer.
            log.exception("The store's writer met an error of its own")
            self._refuse(batch, repr(error))
        except BaseException:
            for pending in batch:
                pending.fail("the store was closed during this write: a restart will show whether it was applied")
            raise

    def _refuse(self, batch: Sequence[Pending], reason: str) -> None:
        log.error("Cannot write to the store", error=reason, lost=len(batch))
        self._ledger.failed(reason, len(batch))
        for pending in batch:
            pending.fail(f"the write could not be stored, nothing of it was applied: {reason}")

    async def _persist(self, batch: Sequence[Pending]) -> None:
        """Commit a batch, trying again while that may help."""
        deadline, pause = asyncio.get_running_loop().time() + PATIENCE, _FIRST_PAUSE
        while True:
            try:
                await self._attempt(batch)
            except FAILURES as error:
                if not passes(error) or asyncio.get_running_loop().time() + pause > deadline:
                    raise
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _attempt(self, batch: Sequence[Pending]) -> None:
        """One transaction for the whole batch. Raises when it is certain that nothing of it was stored."""
        connection = await self._connected()
        try:
            head, done = await self._prepare(connection, batch)
        except (StoreError, asyncpg.PostgresError):
            self._partitions.forget()
            await rollback(connection)
            raise
        except BaseException:
            self._partitions.forget()
            connection.terminate()
            raise
        finally:
            self._ledger.unstage()
        if not await self._commit(connection):
            self._partitions.forget()
            raise asyncpg.InterfaceError("the connection was lost before the commit")
        self._partitions.committed()
        self._ledger.committed(head, done)
        for pending in batch:
            pending.answer()
        await self._keep_up_now_and_then()

    async def _prepare(
        self, connection: asyncpg.Connection, batch: Sequence[Pending]
    ) -> tuple[Head, Sequence[Staged]]:
        """Everything but the commit."""
        await self._database.begin(connection)
        head = await self._fence.head(connection)
        await catch_up(connection, head, self._ledger)
        done = self._stage(batch)
        if not done:
            return head, ()
        self._batch += 1
        mark = Mark(server=self._server, batch=self._batch, channel=channel(self._database))
        head = await store(connection, self._partitions, head, done, self._ledger.sizes(), mark)
        self._failpoint("store.before-commit")
        return head, done

    def _stage(self, batch: Sequence[Pending]) -> Sequence[Staged]:
        self._ledger.unstage()
        done = []
        for pending in batch:
            pending.staged, pending.refusal = None, None
            try:
                pending.staged = self._ledger.stage(pending.operations)
            except (StoreError, ValueError) as error:
                pending.refusal = error
                continue
            if pending.staged.changes or pending.staged.appends:
                done.append(pending.staged)
        return done

    async def _commit(self, connection: asyncpg.Connection) -> bool:
        """Whether it was committed: told at once, or found out for as long as it takes."""
        try:
            await commit(connection)
        except FAILURES as error:
            log.warning("A commit was not answered; asking what became of it", error=sentence(error))
            connection.terminate()
            return await self._find_out()
        self._failpoint("store.after-commit")
        return True

    async def _find_out(self) -> bool:
        pause = _FIRST_PAUSE
        while True:
            try:
                connection = await self._connected()
                async with self._database.transaction(connection):
                    await self._head_after_all(connection)
                    last = await connection.fetchval("SELECT batch FROM commits WHERE server = $1", self._server)
            except (Unavailable, *FAILURES) as error:
                self._ledger.failed(sentence(error), 0)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return bool(last == self._batch)

    @staticmethod
    async def _head_after_all(connection: asyncpg.Connection) -> None:
        """Lock the head, if it is one that this version can read: waiting would not make it so."""
        try:
            await read_head(connection, lock=True)
        except Unavailable as error:
            raise NeverKnown(f"whether this write was stored is not known, and will not be: {error}") from error

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
        return self._connection

    async def _keep_up_now_and_then(self) -> None:
        if self._upkeep.is_due():
            await self._keep_up()

    async def _keep_up(self) -> None:
        """One round of cleaning up. It can wait: no failure of it is anybody's."""
        if self._fence.refusal():
            return
        try:
            await self._upkeep.run(await self._connected())
        except (Unavailable, *FAILURES) as error:
            log.warning("Cannot drop old history or output; will try again", error=sentence(error))

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        for pending in self._queue:
            pending.fail("the store is closed")


def channel(database: Database) -> str:
    """Where a commit is told of. It only wakes: whoever hears nothing looks by himself."""
    return f"vendetta {database.schema}"[:63]
