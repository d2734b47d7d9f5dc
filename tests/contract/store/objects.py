"""What the store's tests are made of: a clock that is set by hand, backends, and small objects."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from controller.resources.command import Command, CommandSpec
from controller.resources.meta import ObjectMeta, Resource
from controller.resources.node import Node, NodeSpec
from controller.store.base import Append, Create, Expired, Store, Stream, Update
from controller.store.open import open_store


@dataclass
class SetClock:
    """Wall time that moves only when it is told to."""

    at: datetime = field(default_factory=lambda: datetime(2026, 1, 13, 18, 17, 0, 500_000, tzinfo=UTC))

    def now(self) -> datetime:
        """The time it was set to."""
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move it."""
        self.at += by


class Backend(Protocol):
    """A kind of store. `open` makes one that is not started; a durable backend opens the same data each time."""

    durable: bool
    clock: SetClock

    def open(self, **options: Any) -> Store:
        """A store on this backend's data."""


@dataclass
class MemoryBackend:
    """Every store is a new one."""

    clock: SetClock
    durable: bool = False

    def open(self, **options: Any) -> Store:
        """A store on this backend's data."""
        return open_store("memory", clock=self.clock, **options)


@dataclass
class SQLiteBackend:
    """Every store has the same file."""

    clock: SetClock
    path: str
    durable: bool = True

    def open(self, **options: Any) -> Store:
        """A store on this backend's data."""
        return open_store("sqlite", self.path, clock=self.clock, **options)


@dataclass
class PostgresBackend:
    """Every store has the same schema of the same database."""

    clock: SetClock
    dsn: str
    durable: bool = True

    def open(self, **options: Any) -> Store:
        """A store on this backend's data."""
        return open_store("postgres", self.dsn, clock=self.clock, **options)


def node(name: str, *, labels: Mapping[str, str] | None = None, **spec: Any) -> Node:
    return Node(metadata=ObjectMeta(name=name, labels=dict(labels or {})), spec=NodeSpec(**spec))


def command(name: str) -> Command:
    return Command(metadata=ObjectMeta(name=name), spec=CommandSpec(node="n", action="true"))


async def create(store: Store, obj: Resource) -> Resource:
    (stored,) = await store.write(Create(obj=obj))
    assert stored is not None
    return stored


async def update(store: Store, obj: Resource) -> Resource:
    (stored,) = await store.write(Update(obj=obj))
    assert stored is not None
    return stored


def labelled(obj: Resource, **labels: str) -> Resource:
    """The object with these labels."""
    return obj.model_copy(update={"metadata": obj.metadata.model_copy(update={"labels": labels})})


def at_version(obj: Resource, version: str) -> Resource:
    """The object as if it had been read at that version."""
    return obj.model_copy(update={"metadata": obj.metadata.model_copy(update={"resource_version": version})})


def revision(obj: Resource) -> int:
    return int(obj.metadata.resource_version)


NOON = datetime(2026, 1, 13, 12, 0, 0, 123_456, tzinfo=UTC)


def append(uid: str, offset: int, data: bytes, stream: Stream = "stdout") -> Append:
    return Append(command_uid=uid, stream=stream, offset=offset, data=data, at=NOON)


async def until_expired(store: Store, since: int) -> None:
    """Compaction runs in the background: wait for it, with a limit."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            async with store.watch(since=since):
                await asyncio.sleep(0.01)
        except Expired:
            return
    raise AssertionError(f"history after {since} is still there")
