"""What admission needs of a store, and a store that only pretends to write."""

from collections.abc import Sequence
from typing import Protocol
from uuid import uuid4

from controller.resources.meta import Resource
from controller.runtime.clock import Clock
from controller.store.base import AlreadyExists, Append, Conflict, Create, NotFound, Operation, Page, Update
from controller.store.selector import Selector


class Registry(Protocol):
    """The part of `controller.store.base.Store` that admission uses, with the same guarantees."""

    def get(self, kind: str, name: str) -> Resource | None:
        """The object as this process knows it, or None."""

    async def current(self) -> None:
        """Return once everything is known that was committed before the call."""

    def list(self, kind: str, *, selector: Selector | None = None, limit: int = 0, cursor: str | None = None) -> Page:
        """Objects of a kind in order of name."""

    async def write(self, *operations: Operation) -> Sequence[Resource | None]:
        """Apply all or none."""


class Rehearsal:
    """Reads are real, writes are checked and answered as if they had happened (`dryRun`). Nothing is stored."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry, self._clock = registry, clock
        self.get, self.current, self.list = registry.get, registry.current, registry.list

    async def write(self, *operations: Operation) -> Sequence[Resource | None]:
        """What the write would return. Raises what it would raise."""
        return [self._rehearse(operation) for operation in operations]

    def _rehearse(self, operation: Operation) -> Resource | None:
        match operation:
            case Create(obj=obj):
                return self._created(obj)
            case Update(obj=obj):
                return self._updated(obj)
            case Append():
                return None
        if self.get(operation.kind, operation.name) is None:
            raise NotFound(f'{operation.kind} "{operation.name}" not found')
        return None

    def _created(self, obj: Resource) -> Resource:
        if self.get(obj.kind, obj.name) is not None:
            raise AlreadyExists(f'{obj.kind} "{obj.name}" already exists')
        now = self._clock.now().replace(microsecond=0)
        given = {"uid": obj.uid or str(uuid4()), "creation_timestamp": now, "generation": 1}
        return obj.model_copy(update={"metadata": obj.metadata.model_copy(update=given)})

    def _updated(self, obj: Resource) -> Resource:
        known = self.get(obj.kind, obj.name)
        if known is None:
            raise NotFound(f'{obj.kind} "{obj.name}" not found')
        if obj.metadata.resource_version not in {"", known.metadata.resource_version}:
            raise Conflict(f'{obj.kind} "{obj.name}" has changed')
        if getattr(obj, "spec", None) == getattr(known, "spec", None):
            return obj
        grown = {"generation": known.metadata.generation + 1}
        return obj.model_copy(update={"metadata": obj.metadata.model_copy(update=grown)})
