"""Ids of commands: `cmd_<number>_<node>`, the number a persisted microsecond counter (contract C-8).

A block of numbers, ten seconds long, is reserved by one write; most ids are then minted without any. After a
restart, or on another replica, minting begins above every block that was ever reserved, so no number comes twice,
even when the machine's clock went back.
"""

import asyncio
from typing import Final

from controller.admission.errors import Refused
from controller.admission.registry import Registry
from controller.resources.meta import ObjectMeta
from controller.resources.record import Record
from controller.runtime.clock import Clock
from controller.store.base import AlreadyExists, Conflict, Create, NotFound, Update

BLOCK: Final = 10_000_000
"""Microseconds, and so numbers, that are reserved at once."""

_NAME: Final = "command"
_ATTEMPTS: Final = 20


class CommandIds:
    """Mints ids. Safe for any number of tasks in one process and of processes on one store."""

    def __init__(self, *, store: Registry, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._last, self._end = 0, 0
        self._reserving = asyncio.Lock()

    async def mint(self, node: str) -> str:
        """A new id for a command on that node."""
        return f"cmd_{await self._next()}_{node}"

    async def _next(self) -> int:
        while True:
            number = max(self._last + 1, self._now())
            if number < self._end:
                self._last = number
                return number
            async with self._reserving:
                if max(self._last + 1, self._now()) >= self._end:
                    await self._reserve()

    async def _reserve(self) -> None:
        """Take the block that begins now, or where the newest one reserved by anybody ends."""
        for _ in range(_ATTEMPTS):
            await self._store.current()
            known = self._store.get("Counter", _NAME)
            start = max(self._now(), _mark(known), self._last + 1)
            data = {"mark": start + BLOCK}
            record = Record(kind="Counter", metadata=ObjectMeta(name=_NAME), data={**data})
            write = Create(obj=record) if known is None else Update(obj=known.model_copy(update={"data": data}))
            try:
                await self._store.write(write)
            except (Conflict, AlreadyExists, NotFound):
                continue
            self._last, self._end = start - 1, start + BLOCK
            return
        raise Refused("could not reserve a command id: the counter is being changed by too many others")

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


def _mark(record: object) -> int:
    mark = record.data.get("mark") if isinstance(record, Record) else None
    return mark if isinstance(mark, int) else 0
