"""The PostgreSQL store: one database, any number of servers, nothing acknowledged is lost (contract A-6, G-4)."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from controller.bulletin import Bulletin
from controller.membership import Membership
from controller.resources.meta import Resource
from controller.store.base import Announce, Append, Change, Chunk, Operation, Stream, Unavailable
from controller.store.cursor import DurableArchive
from controller.store.engine import FAILURE_COUNTS, Engine, inert, silent
from controller.store.history import Entry, HistoryLimits
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, sentence
from controller.store.postgres.fence import Fence
from controller.store.postgres.follower import Follower
from controller.store.postgres.members import Members, period
from controller.store.postgres.migrate import known, migrate
from controller.store.postgres.mirror import read_objects, read_sizes
from controller.store.postgres.posts import Posts
from controller.store.postgres.reader import Reader
from controller.store.postgres.rows import Head, read_head
from controller.store.postgres.upkeep import Upkeep
from controller.store.postgres.writer import Pending, Writer
from controller.store.staging import Clock, Staged
from controller.store.state import Sizes

_FRESH = 2.0
"""Seconds after which what is known may be old: several looks have failed by then, or one hangs."""
_CLOSING = 10.0
"""Seconds to finish writes under way."""


class PostgresStore(Engine):
    """A store in a schema of a PostgreSQL database, which other servers may share."""

    def __init__(
        self,
        dsn: str,
        *,
        clock: Clock,
        announce: Announce = silent,
        limits: HistoryLimits = HistoryLimits(),  # noqa: B008 - frozen
        failpoint: Callable[[str], None] = inert,
        lease: float,
    ) -> None:
        super().__init__(clock=clock, announce=announce, limits=limits.in_memory())
        self._clock = clock
        self._database = Database.of(dsn)
        self._reader = Reader(self._database)
        self._archive = self._old = DurableArchive(self._reader, self._history)
        self._fence = Fence()
        self._lease = lease
        upkeep = Upkeep(self._database, self._fence, limits, clock.now, self._compacted)
        self._writer = Writer(self._database, self._fence, self, upkeep, failpoint=failpoint)
        self._follower = Follower(self._database, self, self._writer.is_backend)
        self._posts = Posts(self._database, self._fence, period(lease))
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: tuple[str, datetime] | None = None
        self._blind: str | None = None
        self._appended = 0
        self._seen = 0.0

    def membership(self, *, takes_shares: bool, address: str) -> Membership:
        """This server's place among those on the database. From here on it writes nothing without one."""
        return Members(self._database, self._fence, lease=self._lease, takes_shares=takes_shares, address=address)

    def bulletin(self) -> Bulletin:
        """What those servers tell each other."""
        return self._posts

    async def start(self) -> None:
        """Connect, migrate and load. Raises Unavailable with a sentence that says what to do."""
        try:
            await self._load()
        except (Unavailable, *FAILURES) as error:
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(f"cannot open the store in PostgreSQL: {sentence(error)}") from error
        self._opened()
        self._tasks = [
            asyncio.create_task(self._writer.run(), name="store-writer"),
            asyncio.create_task(self._follower.run(), name="store-follower"),
        ]
        if self._fence.is_up:
            self._tasks.append(asyncio.create_task(self._posts.run(), name="store-bulletin"))

    async def aclose(self) -> None:
        """Refuse writes, finish those under way (with a limit), end every watch, and disconnect."""
        self._refuse("the store is closed")
        self._writer.stop()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=_CLOSING)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._reader.close()
        self._end_waits()

    async def write(self, *operations: Operation) -> Sequence[Resource | None]:
        """Apply all or none; returns, for each operation, the object stored (None for Delete and Append).

        Raises NotFound, AlreadyExists, Conflict or Unavailable; then nothing was applied. A commit that the database
        did not answer is waited for until it is known what became of it.
        """
        if self._refusal:
            raise Unavailable(self._refusal)
        size = sum(len(operation.data) for operation in operations if isinstance(operation, Append))
        pending = Pending(operations, size, asyncio.get_running_loop().create_future())
        begun = time.perf_counter()
        self._writer.submit(pending)
        results = await pending.waiter
        self.meter.writes.add(time.perf_counter() - begun)
        return results

    async def current(self) -> None:
        """Return once everything is known that any server had committed before the call."""
        await self._follower.look()

    def failure(self) -> str | None:
        """Why writes fail, or what others write cannot be seen, at present."""
        if self._failed is not None and self._clock.now() - self._failed[1] <= FAILURE_COUNTS:
            return self._failed[0]
        return self._blind or self._fence.refusal()

    def staleness(self) -> float | None:
        """Seconds since all was known, when that is longer ago than a look at the database takes."""
        age = time.monotonic() - self._seen
        return age if age > _FRESH else None

    async def read_output(
        self, command_uid: str, *, stream: Stream | None = None, offset: int = 0, limit: int = 1 << 20
    ) -> Sequence[Chunk]:
        """Chunks from `offset` in the chosen view (None: both streams in read order), at most `limit` bytes."""
        out, err = self.output_sizes(command_uid)
        end = out + err if stream is None else out if stream == "stdout" else err
        wanted = min(limit, end - offset)
        return await self._reader.output(command_uid, stream, offset, wanted) if wanted > 0 else ()

    async def _load(self) -> None:
        connection, self._seen = await self._database.connect(), time.monotonic()
        try:
            await migrate(connection, self._database, known())
            async with self._database.transaction(connection, "REPEATABLE READ, READ ONLY"):
                head = await read_head(connection)
                self._state.load(head.revision, await read_objects(connection), await read_sizes(connection, -1))
        finally:
            connection.terminate()
        self.uid, self._appended, self._old.compacted = head.uid, head.appended, head.compacted

    def appended(self) -> int:
        """The newest output that is visible, in the count of `head.appended`."""
        return self._appended

    def sizes(self) -> Mapping[str, Sizes]:
        """The output sizes that are stored."""
        return self._state.outputs

    def stage(self, operations: Sequence[Operation]) -> Staged:
        """Stage a write on what was staged before."""
        return self._staging.stage(operations)

    def unstage(self) -> None:
        """Forget what was staged and not published."""
        self._staging.reset()

    def committed(self, head: Head, batch: Sequence[Staged]) -> None:
        """These are durable. The follower may have seen some of them already."""
        self._failed = None
        for staged in batch:
            for change in staged.changes:
                self._show(change.entry)
            self._show_sizes({append.append.command_uid: append.sizes for append in staged.appends})
        self._appended = max(self._appended, head.appended)

    def failed(self, reason: str, count: int) -> None:
        """So many writes could not be stored."""
        self.meter.failures += count
        self._failed = (reason, self._clock.now())

    def absorb(self, changes: Sequence[tuple[Change, int]], sizes: Mapping[str, Sizes]) -> None:
        """What others have written."""
        for change, size in changes:
            old = self._state.get(change.obj.kind, change.obj.metadata.name)
            self._show(Entry(change=change, old=old, size=size))
        self._show_sizes(sizes)

    def absorbed(self, head: Head) -> None:
        """All of it, up to that head."""
        self._appended = max(self._appended, head.appended)

    def reload(self, head: Head, objects: Sequence[Resource], sizes: Mapping[str, Sizes]) -> None:
        """Begin anew. Watches find out that history is missing; followers of output look again."""
        if head.revision > self._state.revision:
            self._state.load(head.revision, objects, dict(sizes))
            self._history.skip(head.revision)
            self._outputs.wake_all(0)

    def seen(self, head: Head, at: float) -> None:
        """This is how things stood at that time."""
        self._blind = None
        self._seen = at
        self._compacted(head.compacted)

    def blind(self, reason: str) -> None:
        """How things stand cannot be read at present."""
        self._blind = reason

    def _compacted(self, revision: int) -> None:
        self._old.compacted = max(self._old.compacted, revision)

    def _show(self, entry: Entry) -> None:
        """Make a change visible, unless it is already."""
        if entry.change.revision > self._state.revision:
            self._state.apply(entry.change)
            self._history.add(entry)

    def _show_sizes(self, sizes: Mapping[str, Sizes]) -> None:
        """They only grow. A command that is not here is gone."""
        for uid, (out, err) in sizes.items():
            known = self._state.outputs.get(uid)
            if known is not None and known != (out, err):
                grown = self._state.outputs[uid] = (max(known[0], out), max(known[1], err))
                self._outputs.wake(uid, sum(grown))
