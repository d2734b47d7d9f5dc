"""What is removed when it has served its time: finished commands, the ids that stayed reserved after them, and more.

A removed command whose id the caller chose leaves a `Reservation`, so that it is not taken again for a while (C-8).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from controller.admission.deletion import marked
from controller.admission.joining import outdated
from controller.duration import SECOND
from controller.reservations import expired, reserving
from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.runtime.clock import Clock
from controller.settings import RetentionSettings
from controller.store.base import AlreadyExists, Conflict, Delete, NotFound, Store, Update

R = TypeVar("R", bound=Resource)

log = structlog.get_logger(__name__)

PAUSE = 10.0
BITE = 200
BITES = 100
EVENTS_KEPT = timedelta(hours=1)
MOST_EVENTS = 5_000


class Retention:
    """`sweep` is one pass: as many bites as are due, up to a bound."""

    def __init__(self, store: Store, clock: Clock, settings: RetentionSettings) -> None:
        self._store = store
        self._clock = clock
        self._keep = timedelta(seconds=settings.commands / SECOND)
        self._most = settings.max_commands
        self._most_bytes = settings.max_output_bytes
        self._reserve = timedelta(seconds=settings.reserved_ids / SECOND)

    async def sweep(self) -> int:
        """Remove what is due; returns how many commands and ids that was."""
        now = self._clock.now()
        commands = self._due(now)
        ids = [r for r in self._store.list("Reservation").items if expired(r, now, self._reserve)]
        removed = await self._each(self._remove, commands)
        tokens = [t for t in self._store.list("JoinToken").items if outdated(t, now)]
        removed += await self._each(self._try_delete, [*ids, *self._passed(now), *tokens])
        if commands:
            log.info("commands removed", count=min(len(commands), BITE * BITES))
        return removed

    async def _each(self, remove: Callable[[R], Awaitable[None]], due: Sequence[R]) -> int:
        """A bite at a time, each bite in one go: the store commits it together."""
        due = due[: BITE * BITES]
        for start in range(0, len(due), BITE):
            await asyncio.gather(*(remove(obj) for obj in due[start : start + BITE]))
        return len(due)

    def _due(self, now: datetime) -> Sequence[Command]:
        ended = [
            c
            for c in self._store.list("Command").items
            if isinstance(c, Command)
            and c.ended
            and c.status.finished is not None
            and c.metadata.deletion_timestamp is None
        ]
        ended.sort(key=lambda c: c.status.finished or now)
        surplus = max(0, len(ended) - self._most) if self._most else 0
        old = sum(1 for c in ended if c.status.finished is not None and now - c.status.finished >= self._keep)
        return ended[: max(surplus, old, self._before_the_output_kept(ended))]

    def _passed(self, now: datetime) -> Sequence[Resource]:
        """Events that others reported: of the last hour, and not too many."""
        events = sorted(self._store.list("Event").items, key=lambda event: _created(event, now))
        old = sum(1 for event in events if now - _created(event, now) >= EVENTS_KEPT)
        return events[: max(old, len(events) - MOST_EVENTS, 0)]

    def _before_the_output_kept(self, ended: Sequence[Command]) -> int:
        """How many of the oldest have to go, so that the output of the others fits. The newest always stays."""
        size = 0
        for index in range(len(ended) - 1, -1, -1):
            size += sum(self._store.output_sizes(ended[index].uid))
            if self._most_bytes and size > self._most_bytes:
                return min(index + 1, len(ended) - 1)
        return 0

    async def _remove(self, command: Command) -> None:
        """Remove it, or ask those who hold it back to let it go."""
        if command.metadata.finalizers:
            await self._mark(command)
            return
        delete = Delete(kind="Command", name=command.name, version=command.metadata.resource_version)
        try:
            await self._store.write(delete, *reserving(command))
        except AlreadyExists:
            await self._try_delete(command)
        except (Conflict, NotFound):
            return

    async def _mark(self, command: Command) -> None:
        try:
            await self._store.write(Update(obj=marked(command, self._clock.now())))
        except (Conflict, NotFound):
            return

    async def _try_delete(self, obj: Resource) -> None:
        try:
            await self._store.write(
                Delete(kind=obj.kind, name=obj.name, version=obj.metadata.resource_version, uid=obj.uid)
            )
        except (Conflict, NotFound):
            return


def _created(obj: Resource, now: datetime) -> datetime:
    return obj.metadata.creation_timestamp or now
