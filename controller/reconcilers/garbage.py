"""Garbage collection: what belongs to objects that are all gone is removed (Kubernetes, "Owners and Dependents").

A command that is still under way is cancelled first, and goes when it has ended.
"""

from collections import Counter

import structlog

from controller.admission import Admission, AdmissionError, Caller
from controller.resources.command import Command
from controller.resources.meta import Resource

log = structlog.get_logger(__name__)

PAUSE = 5.0
COLLECTOR = Caller(name="garbage-collector", admin=True, operator=True)

Key = tuple[str, str]


class Garbage:
    """Who belongs to whom, kept up to date by the informer."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._there: Counter[str] = Counter()
        self._known: dict[Key, str] = {}
        self._owned: dict[Key, Resource] = {}

    def heard(self, obj: Resource, *, there: bool) -> None:
        """Take note of an object, or of its end."""
        key = (obj.kind, obj.name)
        if there and self._known.get(key) != obj.uid:
            self._gone(key)
            self._known[key] = obj.uid
            self._there[obj.uid] += 1
        elif not there:
            self._gone(key)
        if there and obj.metadata.owner_references:
            self._owned[key] = obj
        else:
            self._owned.pop(key, None)

    async def sweep(self) -> None:
        """Remove what has owners, and none of them is there."""
        for obj in tuple(self._owned.values()):
            if not any(self._there[owner.uid] for owner in obj.metadata.owner_references):
                await self._collect(obj)

    async def _collect(self, obj: Resource) -> None:
        try:
            if not isinstance(obj, Command):
                await self._admission.nodes.delete(obj.name, COLLECTOR)
            elif obj.ended:
                await self._admission.commands.delete(obj.name, COLLECTOR)
            elif not obj.spec.cancel:
                await self._admission.commands.cancel(obj.name, COLLECTOR)
            else:
                return
            log.info("collected, for its owners are gone", kind=obj.kind, name=obj.name)
        except AdmissionError as error:
            log.debug("not collected yet", kind=obj.kind, name=obj.name, reason=str(error))

    def _gone(self, key: Key) -> None:
        uid = self._known.pop(key, None)
        if uid is not None:
            self._there[uid] -= 1
            if not self._there[uid]:
                del self._there[uid]
