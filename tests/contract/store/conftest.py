"""Every backend passes the same suite. A new one is added to BACKENDS."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from controller.store.base import Store
from controller.store.postgres.database import Database
from tests.contract.store.objects import Backend, MemoryBackend, PostgresBackend, SetClock, SQLiteBackend
from tests.support.postgres import fresh_dsn

BACKENDS: dict[str, Callable[[SetClock, Path], Backend]] = {
    "memory": lambda clock, _: MemoryBackend(clock),
    "postgres": lambda clock, _: PostgresBackend(clock, fresh_dsn()),
    "sqlite": lambda clock, tmp: SQLiteBackend(clock, str(tmp / "store" / "db")),
}


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, clock: SetClock, tmp_path: Path) -> Backend:
    return BACKENDS[request.param](clock, tmp_path)


@pytest.fixture(params=sorted(set(BACKENDS) - {"memory"}))
def durable(request: pytest.FixtureRequest, clock: SetClock, tmp_path: Path) -> Backend:
    """A backend that outlives its process."""
    return BACKENDS[request.param](clock, tmp_path)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    store = backend.open()
    await store.start()
    yield store
    await store.aclose()


@pytest.fixture
async def other(backend: PostgresBackend) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection to the schema of a PostgreSQL backend."""
    database = Database.of(backend.dsn)
    connection = await database.connect()
    await connection.execute(f"SET search_path = {database.schema}")
    yield connection
    await connection.close()
