"""What this server knows of the database, and how it catches up with what others have written."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import asyncpg

from controller.resources.meta import Resource
from controller.resources.scheme import SchemaTooNew, decode
from controller.store.base import Change, ChangeType, Unavailable
from controller.store.postgres.rows import Head
from controller.store.state import Sizes

_PAGE = 500


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


async def catch_up(connection: asyncpg.Connection, head: Head, mirror: Mirror) -> None:
    """Take over all up to a head. The transaction must see that head, and nothing newer."""
    if mirror.revision() < head.compacted:
        mirror.reload(head, await read_objects(connection), await read_sizes(connection, -1))
    sizes = await read_sizes(connection, mirror.appended()) if mirror.appended() < head.appended else {}
    while mirror.revision() < head.revision:
        rows = await connection.fetch(
            "SELECT revision, type, kind, at, announce, schema, body FROM history "
            "WHERE revision > $1 AND revision <= $2 ORDER BY revision LIMIT $3",
            mirror.revision(),
            head.revision,
            _PAGE,
        )
        if not rows or rows[0]["revision"] > mirror.revision() + 1:
            raise Unavailable(f"history after revision {mirror.revision()} is missing from the database")
        mirror.absorb([(to_change(row), len(row["body"])) for row in rows], sizes)
    mirror.absorb((), sizes)
    mirror.absorbed(head)


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


async def read_sizes(connection: asyncpg.Connection, since: int) -> dict[str, Sizes]:
    """Output sizes that have changed since, by command uid."""
    rows = await connection.fetch(
        "SELECT command, stdout, stderr FROM logs WHERE changed > $1 AND command IS NOT NULL", since
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
