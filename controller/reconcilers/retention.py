"""What is removed when it has served its time: finished commands, and the ids that stayed reserved after them.

A removed command leaves a `Reservation`, so that its id is not taken again for a while (contract C-8).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from controller.duration import SECOND
from controller.reservations import expired, reservation
from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.runtime.clock import Clock
from controller.settings import RetentionSettings
from controller.store.base import AlreadyExists, Conflict, Create, Delete, NotFound, Store

log = structlog.get_logger(__name__)

PAUSE = 10.0
BITE = 200


class Retention:
    """`sweep` is one pass: a bounded bite, so that no pass is long."""

    def __init__(self, store: Store, clock: Clock, settings: RetentionSettings) -> None:
        self._store = store
        self._clock = clock
        self._keep = timedelta(seconds=settings.commands / SECOND)
        self._most = settings.max_commands
        self._reserve = timedelta(seconds=settings.reserved_ids / SECOND)

    async def sweep(self) -> int:
        """Remove what is due; returns how many commands went."""
        now = self._clock.now()
        due = self._due(now)[:BITE]
        for command in due:
            await self._remove(command)
        for record in self._store.list("Reservation").items:
            if expired(record, now, self._reserve):
                await self._try_delete(record)
        if due:
            log.info("commands removed", count=len(due))
        return len(due)

    def _due(self, now: datetime) -> Sequence[Command]:
        ended = [
            c
            for c in self._store.list("Command").items
            if isinstance(c, Command) and c.ended and c.status.finished is not None
        ]
        ended.sort(key=lambda c: c.status.finished or now)
        surplus = max(0, len(ended) - self._most) if self._most else 0
        old = sum(1 for c in ended if c.status.finished is not None and now - c.status.finished >= self._keep)
        return ended[: max(surplus, old)]

    async def _remove(self, command: Command) -> None:
        delete = Delete(kind="Command", name=command.name, version=command.metadata.resource_version)
        try:
            await self._store.write(delete, Create(obj=reservation(command)))
        except AlreadyExists:
            await self._try_delete(command)
        except (Conflict, NotFound):
            return

    async def _try_delete(self, obj: Resource) -> None:
        try:
            await self._store.write(
                Delete(kind=obj.kind, name=obj.name, version=obj.metadata.resource_version, uid=obj.uid)
            )
        except (Conflict, NotFound):
            return
