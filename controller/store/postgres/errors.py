"""What an error of the database means for a write."""

import errno

import asyncpg

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that the driver raises (a timeout is an OSError)."""

_PASSING = (
    asyncpg.TransactionRollbackError,  # class 40: serialization failure, deadlock
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.OperatorInterventionError,  # class 57: shutdown, restart, statement timeout, pg_terminate_backend
    asyncpg.TooManyConnectionsError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or a primary that is one no more: connect again
    asyncpg.InvalidCachedStatementError,
    asyncpg.InterfaceError,  # the connection is closed
    asyncpg.InternalClientError,  # the connection broke while it was in use; a standby where a primary was wanted
    OSError,
)

_THE_WRITES_OWN = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)


def passes(error: BaseException) -> bool:
    """Whether trying again soon may help."""
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return isinstance(error, _PASSING) and not isinstance(error, ValueError) and not full


def is_of_one_write(error: BaseException) -> bool:
    """Whether a single write of a batch has brought it about, so that the others would succeed without that one."""
    return isinstance(error, _THE_WRITES_OWN)


def sentence(error: BaseException) -> str:
    """The reason for people: never the address, never a value."""
    if isinstance(error, asyncpg.PostgresError):
        quotes = is_of_one_write(error) or not error.args
        return f"{type(error).__name__ if quotes else error.args[0]} ({error.sqlstate})"
    if isinstance(error, TimeoutError):
        return "the database did not answer in time"
    if isinstance(error, OSError):
        return f"cannot reach the database: {error.strerror or type(error).__name__}"
    return str(error)
