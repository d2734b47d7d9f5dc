"""Making the schema, by one server at a time."""

from collections.abc import Sequence
from uuid import uuid4

import asyncpg

from controller.store.base import Unavailable
from controller.store.migrations import Migration, check_applied, read_migrations, schema_files
from controller.store.postgres.database import Database, quoted

_OURS = "made by vendetta"


def known() -> Sequence[Migration]:
    """The migrations that come with this version, in order."""
    return read_migrations(schema_files().joinpath("postgres"))


async def migrate(
    connection: asyncpg.Connection, database: Database, migrations: Sequence[Migration], *, upto: int | None = None
) -> None:
    """Bring the schema to the newest version, or to that of a number, all or nothing.

    Raises Unavailable for a foreign, newer or altered one.

    The lock is the transaction's, which works through a pooler too. A server that finds all done changes nothing, and
    needs no right to.
    """
    async with database.transaction(connection):
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('vendetta'), hashtext($1))", database.schema)
        applied = await _applied(connection, database.schema)
        check_applied(applied, migrations)
        for migration in migrations:
            if migration.number not in applied and (upto is None or migration.number <= upto):
                await _apply(connection, migration)
        if not applied:
            await connection.execute("INSERT INTO head (uid) VALUES ($1)", str(uuid4()))


async def _applied(connection: asyncpg.Connection, schema: str) -> dict[int, str]:
    """Checksums by number; makes a schema that is not there."""
    comment = await connection.fetchrow(
        "SELECT obj_description(oid, 'pg_namespace') AS text FROM pg_namespace WHERE nspname = $1", schema
    )
    if comment is None:
        await connection.execute(f"CREATE SCHEMA {quoted(schema)}")
    elif comment["text"] != _OURS:
        await _refuse_used(connection, schema)
    if comment is None or comment["text"] != _OURS:
        await connection.execute(f"COMMENT ON SCHEMA {quoted(schema)} IS '{_OURS}'")
        await connection.execute("CREATE TABLE migrations (number integer PRIMARY KEY, name text, checksum text)")
    rows = await connection.fetch("SELECT number, checksum FROM migrations")
    return {row["number"]: row["checksum"] for row in rows}


async def _refuse_used(connection: asyncpg.Connection, schema: str) -> None:
    used = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1)", quoted(schema)
    )
    if used:
        raise Unavailable(
            f"the schema {schema!r} holds the tables of another program: name another with ?schema= in registry.dsn"
        )


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(migration.sql)
    await connection.execute(
        "INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)",
        migration.number,
        migration.name,
        migration.checksum,
    )
