"""Moving a whole store: into another database, into a file, and back. What was written is read again and compared."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from controller.store.transfer import archive, sqlite
from controller.store.transfer.records import Header, Source, Tally, Target, TransferError, counted

Told = Callable[[str, Tally], None]
"""Hears, for each record, what is being done, and how far it has got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was moved."""

    header: Header
    tally: Tally
    live: bool
    """Whether a server uses the source: what it stores from now on is not in the target."""


async def copy(source: str, target: str, told: Told) -> Moved:
    """From one database into another, both given by their dsn. Raises TransferError."""
    async with AsyncExitStack() as stack:
        read = await stack.enter_async_context(open_source(source))
        return await _move(read, await stack.enter_async_context(open_target(target)), told)


async def backup(source: str, file: Path, told: Told) -> Moved:
    """Into a new file. Raises TransferError."""
    async with AsyncExitStack() as stack:
        read = await stack.enter_async_context(open_source(source))
        return await _move(read, await stack.enter_async_context(archive.open_target(file)), told)


async def restore(file: Path, target: str, told: Told) -> Moved:
    """From such a file. Raises TransferError."""
    async with AsyncExitStack() as stack:
        read = await stack.enter_async_context(archive.open_source(file))
        await read.header()
        return await _move(read, await stack.enter_async_context(open_target(target)), told)


def open_source(dsn: str) -> AbstractAsyncContextManager[Source]:
    """The store of that dsn, to be read."""
    return _postgres().open_source(dsn) if _is_postgres(dsn) else sqlite.open_source(dsn)


def open_target(dsn: str) -> AbstractAsyncContextManager[Target]:
    """The store of that dsn, to be filled."""
    return _postgres().open_target(dsn) if _is_postgres(dsn) else sqlite.open_target(dsn)


async def _move(source: Source, target: Target, told: Told) -> Moved:
    header, written, stored = await source.header(), Tally(), Tally()
    await target.fill(header, counted(source.records(), written, lambda tally: told("writing", tally)))
    async for _ in counted(target.records(), stored, lambda tally: told("verifying", tally)):
        pass
    if await target.header() != header or stored.checksum != written.checksum:
        raise TransferError("what was stored is not what was read: the target was given up")
    return Moved(header=header, tally=stored, live=source.live)


def _is_postgres(dsn: str) -> bool:
    if dsn in ("memory", "memory://"):
        raise TransferError("the memory store ends with its server: there is nothing to move")
    return dsn.startswith(("postgres://", "postgresql://"))


def _postgres() -> ModuleType:
    try:
        from controller.store.transfer import postgres  # noqa: PLC0415 - its driver is an extra
    except ModuleNotFoundError as error:
        raise TransferError(f"postgresql:// needs {error.name}: pip install 'vendetta[postgres]'") from error
    return postgres
