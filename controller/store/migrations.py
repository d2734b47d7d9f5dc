"""The schema of a database: numbered files, each applied once, in order, and recognised by its checksum later.

The first line of each names the oldest version that still works with the database after it, by the newest migration
that that version knows: `-- compatible-with: 003`. So servers can be replaced one by one. A migration that only adds
(tables, columns that have a default, indexes) names an older one; any other names itself.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from controller.store.base import Unavailable

_FILE = re.compile(r"(\d{3})_\w+\.sql")
_HEADER = re.compile(r"-- compatible-with: (\d{3})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file of SQL statements."""

    number: int
    name: str
    compatible_with: int
    """The oldest version that works with it."""
    sql: str

    @property
    def checksum(self) -> str:
        """What its text is recognised by."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One that a database has, as is recorded there."""

    checksum: str
    compatible_with: int | None
    """None: it was applied before this was recorded."""


def schema_files() -> Traversable:
    """The folder of SQLite's migrations, which holds the other backends' folders."""
    return resources.files("controller.store").joinpath("schema")


def read_migrations(folder: Traversable) -> Sequence[Migration]:
    """The migrations of a folder, in order. Raises ValueError for one without its first line."""
    found = []
    for file in folder.iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append(parse(int(match[1]), file.name, file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def parse(number: int, name: str, text: str) -> Migration:
    """A migration from its file. The checksum leaves the first line out, which came later than some files."""
    header = _HEADER.match(text)
    if header is None or int(header[1]) > number:
        raise ValueError(f"migration {name} must begin with a line '-- compatible-with: NNN', at most {number:03}")
    return Migration(number=number, name=name, compatible_with=int(header[1]), sql=text[header.end() :])


def check_applied(applied: Mapping[int, Applied], migrations: Sequence[Migration]) -> None:
    """Raises Unavailable when what was applied, by number, is not for us to use, or has another text than ours."""
    ours = {migration.number: migration for migration in migrations}
    newest = max(ours, default=0)
    for number, found in sorted(applied.items()):
        if number > newest:
            if found.compatible_with is None or found.compatible_with > newest:
                raise Unavailable(
                    f"the store's schema has version {number}, and this server, which knows {newest}, cannot work "
                    "with that: use the newer version again"
                )
        elif number not in ours or ours[number].checksum != found.checksum:
            raise Unavailable(
                f"the store's schema was made by another text of migration {number}: "
                "use the version of the server that made it"
            )
