"""The bulletin in the database: one batch a round from each member, and in it what the others have posted.

Its table is not in the write-ahead log, so that it costs next to nothing; a crash of the database empties it. On
every new connection, therefore, a member posts all that it has posted, with a mark that this is all, and reads all
that the others have. It does so again where its mark is gone: behind a pooler a crash need not show as a lost
connection. Of a member that has not posted again yet, what is known stays known.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import asyncpg
import structlog

from controller.bulletin import Heard, Value
from controller.store.base import Unavailable
from controller.store.postgres.database import Database
from controller.store.postgres.errors import FAILURES, sentence
from controller.store.postgres.fence import Fence

_KEPT: Final = 600
"""Rounds for which it can be read that something was taken down."""
_SWEEP: Final = 60
"""Rounds between two looks at what need be kept no longer."""
_SLICE: Final = 1000
"""Posts stored by one statement: many large ones would take longer than a statement may."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

Heading: TypeAlias = tuple[str, str]
"""Topic and key, which is JSON: a text of PostgreSQL cannot hold all that a key can."""

_ALL: Final[Heading] = ("", "")
"""The mark: what a member has posted before this batch, and is not in it, is gone."""

log = structlog.get_logger(__name__)


class Posts:
    """This server's end of it (`controller.bulletin.Bulletin`), with a connection of its own."""

    def __init__(self, database: Database, fence: Fence, period: float) -> None:
        self._database = database
        self._fence = fence
        self._period = period
        self._round = 0
        self._mine: dict[Heading, str | None] = {}
        self._unsent: dict[Heading, str | None] = {}
        self._sender: str | None = None
        self._others = Others()

    def post(self, topic: str, key: str, value: Value | None) -> None:
        """Have it sent with the next batch."""
        heading = topic, json.dumps(key)
        self._unsent[heading] = None if value is None else json.dumps(value, allow_nan=False)
        self._mine[heading] = self._unsent[heading]
        if value is None:
            del self._mine[heading]

    def listen(self, topic: str, heard: Heard) -> None:
        """Tell what is known, and what will be."""
        self._others.listen(topic, heard)

    async def run(self) -> None:
        """Post and read, connecting anew whenever that fails."""
        pause = _FIRST_PAUSE
        while True:
            begun = time.monotonic()
            try:
                await self._serve()
            except (Unavailable, *FAILURES) as error:
                reason = str(error) if isinstance(error, Unavailable) else sentence(error)
                log.warning("Cannot reach the other servers' bulletin; will connect again", error=reason)
            if time.monotonic() - begun > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _serve(self) -> None:
        connection = await self._database.connect()
        self._sender = None
        self._others.begin_anew()
        try:
            while True:
                self._round += 1
                await self._send(connection)
                await self._read(connection)
                await asyncio.sleep(self._period)
        finally:
            connection.terminate()

    async def _send(self, connection: asyncpg.Connection) -> None:
        """One batch; the first one on a connection, or under a new id, replaces all that there may be."""
        me = self._fence.place
        whole = me != self._sender
        batch = {**self._mine, _ALL: "true"} if whole else self._unsent
        self._unsent = {}
        if me is None:
            return
        try:
            await self._store(connection, me, batch, whole=whole)
        except asyncpg.ForeignKeyViolationError:
            self._sender = None  # not a member any more: the membership finds that out by itself
        else:
            self._sender = me

    async def _store(
        self, connection: asyncpg.Connection, me: str, batch: Mapping[Heading, str | None], *, whole: bool
    ) -> None:
        if not batch and self._round % _SWEEP:
            return
        rows = [(topic, key, text) for (topic, key), text in batch.items()]
        async with self._database.transaction(connection):
            # First the member, then its posts: so does an expulsion, and neither waits for the other for ever.
            await connection.execute("SELECT FROM members WHERE id = $1 FOR KEY SHARE", me)
            await connection.execute(
                "DELETE FROM bulletin WHERE member = $1 AND ($3 OR value IS NULL AND posted < $2)",
                me,
                self._round - _KEPT,
                whole,
            )
            for start in range(0, len(rows), _SLICE):
                await connection.execute(
                    "INSERT INTO bulletin (member, posted, topic, key, value) "
                    "SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[]) "
                    "ON CONFLICT (member, topic, key) DO UPDATE SET posted = excluded.posted, value = excluded.value",
                    me,
                    self._round,
                    *zip(*rows[start : start + _SLICE], strict=True),
                )

    async def _read(self, connection: asyncpg.Connection) -> None:
        """What is new, or all of it after so long a time that something taken down may not be told of any more."""
        self._others.forget_after(self._period * _KEPT / 2)
        async with self._database.transaction(connection, "REPEATABLE READ, READ ONLY"):
            rows = await connection.fetch(
                "SELECT id, topic, key, posted, value, "
                "EXISTS (SELECT FROM bulletin WHERE (member, topic, key) = ($3, $4, $5)) AS mine FROM members "
                "LEFT JOIN unnest($1::text[], $2::bigint[]) AS known (member, upto) ON known.member = id "
                "LEFT JOIN bulletin ON bulletin.member = id AND posted > coalesce(upto, 0) "
                "WHERE id <> $3",
                list(self._others.upto),
                list(self._others.upto.values()),
                self._fence.last_place,
                *_ALL,
            )
        self._others.take(rows)
        if not all(row["mine"] for row in rows):
            self._sender = None  # the table was emptied, and a pooler kept the connection


class Others:
    """What the other members have posted, as far as this server has read, and who wants to hear of it."""

    def __init__(self) -> None:
        self.upto: dict[str, int] = {}
        """The newest batch of each that was read."""
        self._posts: dict[str, dict[Heading, Value]] = {}
        self._heard: defaultdict[str, list[Heard]] = defaultdict(list)
        self._read_at = time.monotonic()

    def listen(self, topic: str, heard: Heard) -> None:
        """Tell what is known of a topic, and from then on what is new."""
        self._heard[topic].append(heard)
        for member, posts in self._posts.items():
            for (of, key), value in posts.items():
                if of == topic:
                    heard(json.loads(key), member, value)

    def begin_anew(self) -> None:
        """Have all of it read again."""
        self.upto = {}

    def forget_after(self, seconds: float) -> None:
        """Begin anew if the last reading is longer ago."""
        if time.monotonic() - self._read_at > seconds:
            self.begin_anew()

    def take(self, rows: Iterable[asyncpg.Record]) -> None:
        """Take over what was read: a row for each post, and one at least for each member."""
        fresh: dict[str, dict[Heading, str | None]] = {}
        upto: dict[str, int] = {}
        for row in rows:
            member, posts = row["id"], fresh.setdefault(row["id"], {})
            upto[member] = max(upto.get(member, self.upto.get(member, 0)), row["posted"] or 0)
            if row["topic"] is not None:
                posts[row["topic"], row["key"]] = row["value"]
        self.upto = upto
        self._read_at = time.monotonic()
        for member in self._posts.keys() - fresh.keys():
            self._apply(member, dict.fromkeys(self._posts[member]))
            del self._posts[member]
        for member, posts in fresh.items():
            if _ALL in posts:
                self._apply(member, dict.fromkeys(self._posts.get(member, {}).keys() - posts.keys()))
            self._apply(member, posts)

    def _apply(self, member: str, posts: Mapping[Heading, str | None]) -> None:
        known = self._posts.setdefault(member, {})
        for heading, text in posts.items():
            if text is None and known.pop(heading, None) is not None:
                self._tell(heading, member, None)
            elif text is not None and heading != _ALL:
                known[heading] = json.loads(text)
                self._tell(heading, member, known[heading])

    def _tell(self, heading: Heading, member: str, value: Value | None) -> None:
        topic, key = heading
        for heard in self._heard.get(topic, ()):
            try:
                heard(json.loads(key), member, value)
            except Exception:
                log.exception("Something that listens to the bulletin failed", topic=topic)
