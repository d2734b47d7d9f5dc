"""Making the schema, by one server at a time, while others may be using it."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final
from uuid import uuid4

import asyncpg

from controller.store.base import Unavailable
from controller.store.migrations import Applied, Migration, check_applied, read_migrations, schema_files
from controller.store.postgres.database import Database, quoted

_OURS: Final = "made by vendetta"
_PATIENCE: Final = "4s"
"""How long to wait until nobody reads: those who come meanwhile wait as well, and for no longer than they would."""


@cache
def known() -> Sequence[Migration]:
    """The migrations that come with this version, in order."""
    return read_migrations(schema_files().joinpath("postgres"))


async def migrate(connection: asyncpg.Connection, database: Database, migrations: Sequence[Migration]) -> None:
    """Bring the schema to the newest version, all or nothing.

    Raises Unavailable for a foreign, newer or altered one.

    The lock is the transaction's, which works through a pooler too. A server that finds all done changes nothing, and
    needs no right to.
    """
    async with database.transaction(connection):
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('vendetta'), hashtext($1))", database.schema)
        applied = await _applied(connection, database.schema)
        check_applied(applied, migrations)
        missing = [migration for migration in migrations if migration.number not in applied]
        if missing:
            await _apply(connection, applied, missing)


async def _applied(connection: asyncpg.Connection, schema: str) -> dict[int, Applied]:
    """What the schema has, by number; makes a schema that is not there."""
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
    return await read_applied(connection)


async def read_applied(connection: asyncpg.Connection) -> dict[int, Applied]:
    """What a schema of ours has, by number."""
    # The column came later than the table, and is added by whoever has something to apply.
    rows = await connection.fetch(
        "SELECT number, checksum, (to_jsonb(migrations) ->> 'compatible_with')::integer AS oldest FROM migrations"
    )
    return {row["number"]: Applied(checksum=row["checksum"], compatible_with=row["oldest"]) for row in rows}


async def _refuse_used(connection: asyncpg.Connection, schema: str) -> None:
    used = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1)", quoted(schema)
    )
    if used:
        raise Unavailable(
            f"the schema {schema!r} holds the tables of another program: name another with ?schema= in registry.dsn"
        )


async def _apply(
    connection: asyncpg.Connection, applied: Mapping[int, Applied], missing: Sequence[Migration]
) -> None:
    """Apply them, in order. Nobody is in the middle of a transaction meanwhile: all of them begin with `head`."""
    await connection.execute("ALTER TABLE migrations ADD COLUMN IF NOT EXISTS compatible_with integer")
    if applied:
        await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        await connection.execute("LOCK TABLE head IN ACCESS EXCLUSIVE MODE")
    for migration in missing:
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO migrations (number, name, checksum, compatible_with) VALUES ($1, $2, $3, $4)",
            migration.number,
            migration.name,
            migration.checksum,
            migration.compatible_with,
        )
    if not applied:
        await connection.execute("INSERT INTO head (uid) VALUES ($1)", str(uuid4()))
    await connection.execute("UPDATE head SET oldest = (SELECT max(compatible_with) FROM migrations)")
