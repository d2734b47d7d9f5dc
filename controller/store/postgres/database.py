"""The database: where it is, how a connection to it is made, and how every transaction begins.

Nothing is ever set on a connection beyond a transaction, so a pooler may hand each transaction to another one.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from controller.store.base import Unavailable
from controller.store.postgres.errors import FAILURES

STATEMENT_TIMEOUT: Final = 10
"""Seconds that the database may take for one statement."""

IDLE_TIMEOUT: Final = 2
"""Seconds after which the database ends a writing transaction that nobody goes on with: a server that was stopped in
the middle of one holds up all others."""

READING_TIMEOUT: Final = 60
"""The same for one that only reads: taking many objects apart takes its time, and holds up nobody."""

CONNECT_TIMEOUT: Final = 5
_ANSWER_TIMEOUT: Final = STATEMENT_TIMEOUT + 2
"""Seconds to wait for an answer: a cut network gives none."""

_OURS: Final = ("schema", "pgbouncer")

Mode = Literal["READ COMMITTED", "REPEATABLE READ, READ ONLY"]


class Database:
    """A schema in a database, from `registry.dsn`.

    The dsn is PostgreSQL's URL, with two parameters of ours: `schema` (vendetta), and `pgbouncer=true` where the
    address is that of a pooler in transaction mode.
    """

    def __init__(self, *, url: str, schema: str, pooled: bool) -> None:
        self._url = url
        self.schema = schema
        self.pooled = pooled
        self._begin = (
            f"SET LOCAL search_path = {quoted(schema)}; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}s'; "
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
        )

    @classmethod
    def of(cls, dsn: str) -> Self:
        """Raises Unavailable for what is no such URL. The message repeats nothing of it: it may hold a password."""
        try:
            parts = urlsplit(dsn)
            given = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise Unavailable("registry.dsn: it is not a URL; use postgresql://USER@HOST/DATABASE") from None
        schema = given.get("schema", ["vendetta"])[-1]
        pooled = given.get("pgbouncer", ["false"])[-1]
        if parts.scheme not in ("postgres", "postgresql") or "\0" in dsn:
            raise Unavailable("registry.dsn: the postgres store needs postgresql://USER@HOST/DATABASE")
        if pooled not in ("true", "false") or not 0 < len(schema.encode()) < 64:
            raise Unavailable("registry.dsn: pgbouncer is true or false, and schema a name of at most 63 bytes")
        rest = urlencode({key: values[-1] for key, values in given.items() if key not in _OURS})
        return cls(url=parts._replace(query=rest).geturl(), schema=schema, pooled=pooled == "true")

    async def connect(self) -> asyncpg.Connection:
        """A new connection, to a server that takes writes."""
        try:
            return await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT,
                command_timeout=_ANSWER_TIMEOUT,
                statement_cache_size=0 if self.pooled else 100,
                target_session_attrs=SessionAttribute.read_write,
            )
        except (asyncpg.ClientConfigurationError, ssl.SSLError, ValueError) as error:
            raise Unavailable(f"registry.dsn: cannot connect with it ({type(error).__name__})") from None

    @asynccontextmanager
    async def transaction(self, connection: asyncpg.Connection, mode: Mode = "READ COMMITTED") -> AsyncIterator[None]:
        """A transaction in our schema. A connection on which one did not end well is closed."""
        try:
            await self.begin(connection, mode)
            yield
            await commit(connection)
        except asyncpg.PostgresError:
            await rollback(connection)
            raise
        except BaseException:
            connection.terminate()
            raise

    async def begin(self, connection: asyncpg.Connection, mode: Mode = "READ COMMITTED") -> None:
        """Begin one, in one round trip."""
        idle = IDLE_TIMEOUT if mode == "READ COMMITTED" else READING_TIMEOUT
        patience = f"SET LOCAL idle_in_transaction_session_timeout = '{idle}s'"
        await connection.execute(f"BEGIN ISOLATION LEVEL {mode}; {patience}; {self._begin}")


async def commit(connection: asyncpg.Connection) -> None:
    """Commit. After any error here nobody knows what became of it."""
    answer = await connection.execute("COMMIT")
    if answer != "COMMIT":
        raise asyncpg.InterfaceError(f"the database answered {answer} to a COMMIT")


async def rollback(connection: asyncpg.Connection) -> None:
    """Leave nothing behind; a connection on which that fails is closed."""
    try:
        await connection.execute("ROLLBACK")
    except FAILURES:
        connection.terminate()


def quoted(identifier: str) -> str:
    """The identifier as SQL."""
    return '"' + identifier.replace('"', '""') + '"'
