"""Staged writes as rows: one statement a table, however many rows there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import asyncpg

from controller.resources.scheme import SCHEMA
from controller.store.base import ChangeType, Unavailable
from controller.store.postgres.migrate import known
from controller.store.staging import Key, Staged, StagedAppend, StagedChange
from controller.store.state import Sizes

HISTORY_SPAN: Final = 20_000
"""Revisions of one partition of the history."""

LOG_SPAN: Final = 5_000
"""Commands whose output is in one partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The row that orders all writes."""

    uid: str
    revision: int
    compacted: int
    appended: int
    bytes: int
    generation: int
    oldest: int


HEAD: Final = "uid, head.revision AS newest, compacted, appended, head.bytes, generation, oldest"
"""Its columns, named so that those of the history can stand beside them."""


async def read_head(connection: asyncpg.Connection, *, lock: bool = False) -> Head:
    """The head; nobody else can move one that was locked until this transaction ends."""
    return to_head(await connection.fetchrow(f"SELECT {HEAD} FROM head{' FOR UPDATE' if lock else ''}"))  # noqa: S608 - constants


def to_head(row: asyncpg.Record | None) -> Head:
    """The row that holds `HEAD`. Raises Unavailable if there is none, or if this version may not use the schema."""
    if row is None:
        raise Unavailable("the database was emptied under the server: restore it, or restart for an empty one")
    head = Head(
        uid=row["uid"],
        revision=row["newest"],
        compacted=row["compacted"],
        appended=row["appended"],
        bytes=row["bytes"],
        generation=row["generation"],
        oldest=row["oldest"],
    )
    if head.oldest > known()[-1].number:
        raise Unavailable(
            "a newer version has changed the store's schema, and this one cannot work with it: replace this server"
        )
    return head


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a server knows its own batch by, should the commit get no answer; and where to tell of it."""

    server: UUID
    batch: int
    channel: str


class Partitions:
    """Those that are known to be there, so that nobody has to ask: the one in use is never dropped."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._made: set[str] = set()

    async def ensure(self, connection: asyncpg.Connection, table: str, span: int, number: int) -> None:
        """Make the partition that holds this number, unless it is there."""
        name = f"{table}_{number - number % span}"
        if name not in self._known | self._made:
            if await ensure_partition(connection, table, span, number):
                self._made.add(name)
            else:
                self._known.add(name)

    def committed(self) -> None:
        """What was made is there for good."""
        self._known, self._made = self._known | self._made, set()

    def forget(self) -> None:
        """Something went wrong: ask again."""
        self._known.clear()
        self._made.clear()


async def store(
    connection: asyncpg.Connection,
    partitions: Partitions,
    head: Head,
    batch: Sequence[Staged],
    before: Mapping[str, Sizes],
    mark: Mark,
) -> Head:
    """Store staged writes, in order, over a head that this transaction has locked; returns the head that follows.

    `before`: the output sizes that are stored. Everybody else waits meanwhile, so all but output is one statement.
    """
    changes = [change for staged in batch for change in staged.changes]
    if changes:
        for change in (changes[0], changes[-1]):
            await partitions.ensure(connection, "history", HISTORY_SPAN, change.entry.change.revision)
    appended = head.appended + any(staged.appends for staged in batch)
    await _store_output(connection, partitions, appended, batch, before)
    history = _history_rows(changes, head.bytes)
    gone, kept = _object_rows(changes)
    revision = changes[-1].entry.change.revision if changes else head.revision
    after = replace(head, revision=revision, appended=appended, bytes=history[-1][6] if history else head.bytes)
    await connection.execute(
        _STORE,
        *_columns(history, 8),
        SCHEMA,
        *_columns(gone, 2),
        *_columns(kept, 3),
        after.revision,
        after.appended,
        after.bytes,
        mark.server,
        mark.batch,
        mark.channel,
    )
    return after


_STORE: Final = """
WITH added AS (
    INSERT INTO history (revision, type, kind, name, at, announce, bytes, body, schema)
    SELECT *, $9 FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
        $7::bigint[], $8::bytea[])
), gone AS (
    DELETE FROM objects WHERE (kind, name) IN (SELECT * FROM unnest($10::text[], $11::text[]))
), kept AS (
    INSERT INTO objects (kind, name, body, schema)
    SELECT *, $9 FROM unnest($12::text[], $13::text[], $14::bytea[])
    ON CONFLICT (kind, name) DO UPDATE SET schema = excluded.schema, body = excluded.body
), moved AS (
    UPDATE head SET revision = $15, appended = $16, bytes = $17
), mine AS (
    INSERT INTO commits (server, batch, at) VALUES ($18, $19, now())
    ON CONFLICT (server) DO UPDATE SET batch = excluded.batch, at = excluded.at
)
SELECT pg_notify($20, '')
"""


def _columns(rows: Sequence[Sequence[Any]], count: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) or [()] * count


def _history_rows(changes: Sequence[StagedChange], size: int) -> Sequence[Sequence[Any]]:
    """Each with the bytes of all bodies up to it, where there were `size` before."""
    rows = []
    for staged in changes:
        change, size = staged.entry.change, size + len(staged.body)
        kind, name = change.obj.kind, change.obj.metadata.name
        rows.append((change.revision, change.type.value, kind, name, change.at, change.announce, size, staged.body))
    return rows


def _object_rows(changes: Sequence[StagedChange]) -> tuple[Sequence[Key], Sequence[tuple[str, str, bytes]]]:
    """The keys of what is gone, and the bodies of what is there. Of several changes of one object the last counts."""
    last: dict[Key, StagedChange] = {}
    for staged in changes:
        obj = staged.entry.change.obj
        last[obj.kind, obj.metadata.name] = staged
    gone = {key for key, staged in last.items() if staged.entry.change.type is ChangeType.DELETED}
    return list(gone), [(*key, staged.body) for key, staged in last.items() if key not in gone]


async def _store_output(
    connection: asyncpg.Connection,
    partitions: Partitions,
    appended: int,
    batch: Sequence[Staged],
    before: Mapping[str, Sizes],
) -> None:
    appends: list[StagedAppend] = []
    for staged in batch:
        appends.extend(staged.appends)
        gone = [uid for uid, sizes in staged.outputs.items() if sizes is None]
        if gone:
            await _append(connection, partitions, appended, appends, before)
            appends = []
            await connection.execute("UPDATE logs SET command = NULL WHERE command = ANY($1::text[])", gone)
    await _append(connection, partitions, appended, appends, before)


async def _append(
    connection: asyncpg.Connection,
    partitions: Partitions,
    appended: int,
    appends: Sequence[StagedAppend],
    before: Mapping[str, Sizes],
) -> None:
    if not appends:
        return
    sizes = {staged.append.command_uid: staged.sizes for staged in appends}
    new = [(uid, *pair) for uid, pair in sizes.items() if not any(before.get(uid, (0, 0)))]
    known = [(uid, *pair) for uid, pair in sizes.items() if any(before.get(uid, (0, 0)))]
    if known:
        await connection.execute(
            "UPDATE logs SET stdout = n.stdout, stderr = n.stderr, changed = $4 "
            "FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n (command, stdout, stderr) "
            "WHERE logs.command = n.command",
            *zip(*known, strict=True),
            appended,
        )
    if new:
        ids = await connection.fetch(
            "INSERT INTO logs (command, stdout, stderr, changed) "
            "SELECT *, $4 FROM unnest($1::text[], $2::bigint[], $3::bigint[]) RETURNING id",
            *zip(*new, strict=True),
            appended,
        )
        for number in {row["id"] // LOG_SPAN for row in ids}:
            await partitions.ensure(connection, "output", LOG_SPAN, number * LOG_SPAN)
    rows = [
        (s.append.command_uid, s.position, s.append.stream, s.append.offset, s.append.at, s.append.data)
        for s in appends
    ]
    await connection.execute(
        "INSERT INTO output (log, position, stream, start, at, data) "
        "SELECT logs.id, n.position, n.stream, n.start, n.at, n.data "
        "FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::timestamptz[], $6::bytea[]) "
        "AS n (command, position, stream, start, at, data) JOIN logs USING (command)",
        *zip(*rows, strict=True),
    )


async def ensure_partition(connection: asyncpg.Connection, table: str, span: int, number: int) -> bool:
    """Make the partition that holds this number; whether it was not there.

    Attaching, unlike creating in place, does not wait for a dump.
    """
    first = number - number % span
    name = f"{table}_{first}"
    if await connection.fetchval("SELECT to_regclass($1)", name) is not None:
        return False
    await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    await connection.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({first + span})"
    )
    return True
