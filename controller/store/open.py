"""Opening a store by the name of its provider (contract A-6)."""

from collections.abc import Callable

from controller.store.base import Announce, Store, Unavailable
from controller.store.engine import inert, silent
from controller.store.history import HistoryLimits
from controller.store.staging import Clock

PROVIDERS = ("memory", "sqlite", "postgres")


def open_store(
    provider: str,
    dsn: str | None = None,
    *,
    clock: Clock,
    announce: Announce = silent,
    limits: HistoryLimits = HistoryLimits(),  # noqa: B008 - frozen
    failpoint: Callable[[str], None] = inert,
    lease: float = 15.0,
) -> Store:
    """The store of that provider, not started yet.

    `dsn` is where `sqlite` keeps its file: a path, or `sqlite:///relative/path` or `sqlite:////absolute/path`; for
    `postgres` a URL (`controller.store.postgres.database`).
    `lease` is how many seconds another server waits for a sign of life before it takes over.
    Raises Unavailable with a sentence for the administrator.
    """
    match provider:
        case "memory":
            from controller.store.memory import MemoryStore  # noqa: PLC0415

            return MemoryStore(clock=clock, announce=announce, limits=limits)
        case "sqlite":
            if not dsn:
                raise Unavailable("registry.dsn: the sqlite store needs a path for its file")
            from controller.store.sqlite.store import SQLiteStore  # noqa: PLC0415

            return SQLiteStore(dsn, clock=clock, announce=announce, limits=limits, failpoint=failpoint)
        case "postgres":
            if not dsn:
                raise Unavailable("registry.dsn: the postgres store needs postgresql://USER@HOST/DATABASE")
            try:
                from controller.store.postgres.store import PostgresStore  # noqa: PLC0415
            except ModuleNotFoundError as error:
                raise Unavailable(
                    f"registry.provider: postgres needs {error.name}: pip install 'vendetta[postgres]'"
                ) from error
            return PostgresStore(dsn, clock=clock, announce=announce, limits=limits, failpoint=failpoint, lease=lease)
    raise Unavailable(f"registry.provider: {provider!r} is not one of {', '.join(PROVIDERS)}")
