"""Staged writes as rows.

All rows for one table go into one statement: each statement lets go of Python's lock, and a busy event loop may take
its time to hand it back.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from controller.resources.scheme import SCHEMA
from controller.store.base import ChangeType
from controller.store.staging import Key, Staged, StagedAppend, StagedChange

_ROWS = 64
"""The most rows of a statement; more would exceed what old libraries take."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Value = str | bytes | int | None


def to_stamp(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def from_stamp(stamp: int) -> datetime:
    """The time back."""
    return _EPOCH + timedelta(microseconds=stamp)


def store(connection: sqlite3.Connection, batch: Sequence[Staged]) -> None:
    """Store staged writes, in order."""
    changes = [change for staged in batch for change in staged.changes]
    _store_history(connection, changes)
    _store_objects(connection, changes)
    _store_output(connection, batch)


def _store_history(connection: sqlite3.Connection, changes: Sequence[StagedChange]) -> None:
    rows: list[tuple[Value, ...]] = []
    for staged in changes:
        change = staged.entry.change
        obj = change.obj
        rows.append(
            (
                change.revision,
                change.type.value,
                obj.kind,
                obj.metadata.name,
                to_stamp(change.at),
                change.announce,
                SCHEMA,
                staged.body,
            )
        )
    _insert(connection, "INSERT INTO history (revision, type, kind, name, at, announce, schema, body)", rows)


def _store_objects(connection: sqlite3.Connection, changes: Sequence[StagedChange]) -> None:
    """Of several changes of one object, the last one counts."""
    last: dict[Key, StagedChange] = {}
    for staged in changes:
        obj = staged.entry.change.obj
        last[obj.kind, obj.metadata.name] = staged
    gone = [key for key, staged in last.items() if staged.entry.change.type is ChangeType.DELETED]
    for kind, name in gone:
        del last[kind, name]
        connection.execute("DELETE FROM objects WHERE kind = ? AND name = ?", (kind, name))
    _insert(
        connection,
        "INSERT INTO objects (kind, name, schema, body)",
        [(kind, name, SCHEMA, staged.body) for (kind, name), staged in last.items()],
        "ON CONFLICT (kind, name) DO UPDATE SET schema = excluded.schema, body = excluded.body",
    )


def _store_output(connection: sqlite3.Connection, batch: Sequence[Staged]) -> None:
    appends: list[StagedAppend] = []
    for staged in batch:
        appends.extend(staged.appends)
        gone = [uid for uid, sizes in staged.outputs.items() if sizes is None]
        if gone:
            _append(connection, appends)
            appends = []
        for uid in gone:
            connection.execute("UPDATE logs SET command = NULL WHERE command = ?", (uid,))
    _append(connection, appends)


def _append(connection: sqlite3.Connection, appends: Sequence[StagedAppend]) -> None:
    sizes = {staged.append.command_uid: staged.sizes for staged in appends}
    _insert(
        connection,
        "INSERT INTO logs (command, stdout, stderr)",
        [(uid, out, err) for uid, (out, err) in sizes.items()],
        "ON CONFLICT (command) DO UPDATE SET stdout = excluded.stdout, stderr = excluded.stderr",
    )
    rows: list[tuple[Value, ...]] = []
    for staged in appends:
        append = staged.append
        rows.append(
            (append.command_uid, staged.position, append.stream, append.offset, to_stamp(append.at), append.data)
        )
    first = "(SELECT id FROM logs WHERE command = ?)"
    _insert(connection, "INSERT INTO output (log, position, stream, start, at, data)", rows, first=first)


def _insert(
    connection: sqlite3.Connection,
    into: str,
    rows: Sequence[tuple[Value, ...]],
    conflict: str = "",
    *,
    first: str = "?",
) -> None:
    """Insert rows, many to a statement. `first` computes the first column from the first value."""
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        row = f"({', '.join([first, *'?' * (len(some[0]) - 1)])})"
        values = ", ".join([row] * len(some))
        connection.execute(f"{into} VALUES {values} {conflict}", _flat(some))


def _flat(rows: Iterable[tuple[Value, ...]]) -> list[Value]:
    return [value for row in rows for value in row]
