"""The schema: numbered files, each applied once, in order, all or none, and recognised by its checksum later."""

import sqlite3
from collections.abc import Iterator, Sequence

from controller.store.base import Unavailable
from controller.store.migrations import Applied, Migration, check_applied, read_migrations, schema_files
from controller.store.sqlite.file import APPLICATION_ID
from controller.store.sqlite.transaction import transaction


def known() -> Sequence[Migration]:
    """The migrations that come with this version, in order."""
    return read_migrations(schema_files())


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring the database to the newest schema. Raises Unavailable for one that is foreign, newer or altered."""
    with transaction(connection):
        applied = _applied(connection)
        check_applied(applied, migrations)
        for migration in migrations:
            if migration.number not in applied:
                _apply(connection, migration)


def _applied(connection: sqlite3.Connection) -> dict[int, Applied]:
    """What the database has, by number; marks an empty one as ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and tables:
        raise Unavailable("the file is the database of another program: name another file in registry.dsn")
    if not tables:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT)")
    if "compatible_with" not in _columns(connection):
        connection.execute("ALTER TABLE migrations ADD COLUMN compatible_with INTEGER")
    return read_applied(connection)


def read_applied(connection: sqlite3.Connection) -> dict[int, Applied]:
    """What the database has, by number. Raises Unavailable for one of another program."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise Unavailable("the file is the database of another program, or empty")
    oldest = "compatible_with" if "compatible_with" in _columns(connection) else "NULL"
    rows = connection.execute(f"SELECT number, checksum, {oldest} FROM migrations")  # noqa: S608 - one of two words
    return {number: Applied(checksum=checksum, compatible_with=with_) for number, checksum, with_ in rows}


def _columns(connection: sqlite3.Connection) -> list[str]:
    return [name for _, name, *_ in connection.execute("PRAGMA table_info(migrations)")]


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    for statement in _statements(migration.sql):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO migrations (number, name, checksum, compatible_with) VALUES (?, ?, ?, ?)",
        (migration.number, migration.name, migration.checksum, migration.compatible_with),
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
