"""The schema: numbered files, each applied once, in order, all or none, and recognised by its checksum later."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from controller.store.base import Unavailable
from controller.store.sqlite.file import APPLICATION_ID
from controller.store.sqlite.transaction import transaction

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


def known() -> Sequence[Migration]:
    """The migrations that come with this version, in order."""
    found = []
    for file in resources.files("controller.store").joinpath("schema").iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append(Migration(number=int(match[1]), name=file.name, sql=file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring the database to the newest schema. Raises Unavailable for one that is foreign, newer or altered."""
    with transaction(connection):
        applied = _applied(connection)
        _check(applied, migrations)
        for migration in migrations:
            if migration.number not in applied:
                _apply(connection, migration)


def _applied(connection: sqlite3.Connection) -> dict[int, str]:
    """Checksums by number; marks an empty database as ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and tables:
        raise Unavailable("the file is the database of another program: name another file in registry.dsn")
    if not tables:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT)")
    return dict(connection.execute("SELECT number, checksum FROM migrations"))


def _check(applied: dict[int, str], migrations: Sequence[Migration]) -> None:
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


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    for statement in _statements(migration.sql):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO migrations (number, name, checksum) VALUES (?, ?, ?)",
        (migration.number, migration.name, migration.checksum),
    )


def _statements(sql: str) -> Iterator[str]:
    """One at a time: `executescript` would end the transaction first."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
