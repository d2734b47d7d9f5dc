"""What this server knows of the database, and how it catches up with what others have written."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import asyncpg

from controller.resources.meta import Resource
from controller.resources.scheme import SchemaTooNew, decode
from controller.store.base import Change, ChangeType, Unavailable
from controller.store.postgres.database import quoted
from controller.store.postgres.rows import HEAD, Head, to_head
from controller.store.state import Sizes

_PAGE: Final = 500
_CHANGE: Final = "revision, type, kind, at, announce, schema, body"


class Mirror(Protocol):
    """The objects and sizes in memory. Everything is taken over in order; what is known already is passed over."""

    def revision(self) -> int:
        """The newest change that was taken over."""

    def appended(self) -> int:
        """The newest output that was taken over, in the count of `head.appended`."""

    def absorb(self, changes: Sequence[tuple[Change, int]], sizes: Mapping[str, Sizes]) -> None:
        """Take over changes, each with the size of its body, and the output sizes that they may speak of."""

    def absorbed(self, head: Head) -> None:
        """All up to this head was taken over."""

    def reload(self, head: Head, objects: Sequence[Resource], sizes: Mapping[str, Sizes]) -> None:
        """Begin anew: the changes since are no longer in the history."""


async def look(connection: asyncpg.Connection, schema: str, mirror: Mirror) -> tuple[Head, bool]:
    """Take over what there is, outside a transaction: the head and what lies before it are one statement.

    Returns the head, and whether all up to it is known now: not where the mirror is more than a page behind it, or
    where the history does not reach back to the mirror.
    """
    place, since = quoted(schema), mirror.revision()
    rows = await connection.fetch(
        f"SELECT {HEAD}, change.* FROM {place}.head LEFT JOIN LATERAL (SELECT {_CHANGE} FROM {place}.history "  # noqa: S608 - constants
        "WHERE revision > $1 AND revision <= head.revision ORDER BY revision LIMIT $2) AS change ON true",
        since,
        _PAGE,
    )
    head = to_head(rows[0] if rows else None)
    if since < head.compacted or head.revision > since + _PAGE:
        return head, False
    behind = mirror.appended() < head.appended
    sizes = await read_sizes(connection, mirror.appended(), f"{place}.") if behind else {}
    _absorb(rows if head.revision > since else (), mirror, sizes)
    mirror.absorbed(head)
    return head, True


async def catch_up(connection: asyncpg.Connection, head: Head, mirror: Mirror) -> None:
    """Take over all up to a head. The transaction must see that head, and nothing newer."""
    if mirror.revision() < head.compacted:
        mirror.reload(head, await read_objects(connection), await read_sizes(connection, -1))
    sizes = await read_sizes(connection, mirror.appended()) if mirror.appended() < head.appended else {}
    while mirror.revision() < head.revision:
        rows = await connection.fetch(
            f"SELECT {_CHANGE} FROM history WHERE revision > $1 AND revision <= $2 ORDER BY revision LIMIT $3",  # noqa: S608 - constants
            mirror.revision(),
            head.revision,
            _PAGE,
        )
        if not rows:
            raise _missing(mirror)
        _absorb(rows, mirror, sizes)
    _absorb((), mirror, sizes)
    mirror.absorbed(head)


def _absorb(rows: Sequence[asyncpg.Record], mirror: Mirror, sizes: Mapping[str, Sizes]) -> None:
    """Hand over changes that follow what is known; what came to be known since they were asked for is not read."""
    new = [row for row in rows if row["revision"] > mirror.revision()]
    if new and new[0]["revision"] > mirror.revision() + 1:
        raise _missing(mirror)
    mirror.absorb([(to_change(row), len(row["body"])) for row in new], sizes)


def _missing(mirror: Mirror) -> Unavailable:
    return Unavailable(f"history after revision {mirror.revision()} is missing from the database")


def to_change(row: asyncpg.Record) -> Change:
    """A row of the history as a change. Raises Unavailable if this version cannot read it."""
    obj = _decode(row["kind"], f"at revision {row['revision']}", row["schema"], row["body"])
    return Change(
        type=ChangeType(row["type"]), revision=row["revision"], obj=obj, at=row["at"], announce=row["announce"]
    )


async def read_objects(connection: asyncpg.Connection) -> Sequence[Resource]:
    """All objects."""
    rows = await connection.fetch("SELECT kind, name, schema, body FROM objects")
    return [_decode(row["kind"], repr(row["name"]), row["schema"], row["body"]) for row in rows]


async def read_sizes(connection: asyncpg.Connection, since: int, place: str = "") -> dict[str, Sizes]:
    """Output sizes that have changed since, by command uid. Outside a transaction of ours, name the `place`."""
    rows = await connection.fetch(
        f"SELECT command, stdout, stderr FROM {place}logs WHERE changed > $1 AND command IS NOT NULL",  # noqa: S608 - a constant
        since,
    )
    return {row["command"]: (row["stdout"], row["stderr"]) for row in rows}


def _decode(kind: str, which: str, schema: int, body: bytes) -> Resource:
    try:
        return decode(kind, schema, body)
    except SchemaTooNew as error:
        raise Unavailable(str(error)) from error
    except (KeyError, ValueError) as error:
        raise Unavailable(
            f"the stored {kind} {which} cannot be read by this version of the server: "
            "use the version that wrote it, or restore a backup"
        ) from error
