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
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(migrations)")]
    if "compatible_with" not in columns:
        connection.execute("ALTER TABLE migrations ADD COLUMN compatible_with INTEGER")
    rows = connection.execute("SELECT number, checksum, compatible_with FROM migrations")
    return {number: Applied(checksum=checksum, compatible_with=oldest) for number, checksum, oldest in rows}


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
