"""What a server reads from the file when it starts."""

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.resources.meta import Resource
from controller.resources.scheme import SchemaTooNew, decode
from controller.store.base import Unavailable
from controller.store.sqlite.transaction import transaction
from controller.store.state import Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Everything that is kept in memory. History after `compacted` is in the file."""

    uid: str
    revision: int
    compacted: int
    objects: Sequence[Resource]
    outputs: dict[str, Sizes]


def load(connection: sqlite3.Connection) -> Loaded:
    """Read it all; a new file gets its uid. Raises Unavailable for an object that cannot be read."""
    with transaction(connection):
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('uid', ?), ('compacted', 0)", (str(uuid.uuid4()),))
    (uid,) = connection.execute("SELECT value FROM meta WHERE key = 'uid'").fetchone()
    compacted = read_compacted(connection)
    (newest,) = connection.execute("SELECT max(revision) FROM history").fetchone()
    logs = connection.execute("SELECT command, stdout, stderr FROM logs WHERE command IS NOT NULL")
    return Loaded(
        uid=uid,
        revision=compacted if newest is None else newest,
        compacted=compacted,
        objects=list(_objects(connection)),
        outputs={command: (out, err) for command, out, err in logs},
    )


def read_compacted(connection: sqlite3.Connection) -> int:
    """The revision up to which history has been dropped."""
    (compacted,) = connection.execute("SELECT value FROM meta WHERE key = 'compacted'").fetchone()
    return int(compacted)


def _objects(connection: sqlite3.Connection) -> Iterator[Resource]:
    for kind, name, schema, body in connection.execute("SELECT kind, name, schema, body FROM objects"):
        try:
            yield decode(kind, schema, body)
        except SchemaTooNew as error:
            raise Unavailable(str(error)) from error
        except (KeyError, ValueError) as error:
            raise Unavailable(
                f"the stored {kind} {name!r} cannot be read by this version of the server: "
                "use the version that wrote it, or restore a backup"
            ) from error
