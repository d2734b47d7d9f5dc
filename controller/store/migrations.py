"""The schema of a database: numbered files, each applied once, in order, and recognised by its checksum later."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from controller.store.base import Unavailable

_FILE = re.compile(r"(\d{3})_\w+\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file of SQL statements."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What its text is recognised by."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def schema_files() -> Traversable:
    """The folder of SQLite's migrations, which holds the other backends' folders."""
    return resources.files("controller.store").joinpath("schema")


def read_migrations(folder: Traversable) -> Sequence[Migration]:
    """The migrations of a folder, in order."""
    found = []
    for file in folder.iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append(Migration(number=int(match[1]), name=file.name, sql=file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def check_applied(applied: Mapping[int, str], migrations: Sequence[Migration]) -> None:
    """Raises Unavailable when what was applied (checksums by number) is newer than we are, or has another text."""
    known_numbers = {migration.number: migration for migration in migrations}
    newest = max(known_numbers, default=0)
    for number, checksum in applied.items():
        if number > newest:
            raise Unavailable(
                f"the store's schema has version {number}, this server knows {newest}: use the newer version again"
            )
        if number not in known_numbers or known_numbers[number].checksum != checksum:
            raise Unavailable(
                f"the store's schema was made by another text of migration {number}: "
                "use the version of the server that made it"
            )
