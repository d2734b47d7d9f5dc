"""Waiting for objects, level by level: look at all of them, then at each change, until all are as they should be."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from api.cli.client import Client
from api.cli.errors import Expired, Refused, Unreachable
from api.cli.goals import Goal, Gone
from api.cli.kinds import Kind, name_of
from api.cli.tables import Object

_PAUSE: Final = 0.2
Objects = Mapping[str, Object | None]
"""By name; None: there is none."""


class Waiting:
    """Objects of one kind, those named or those that a selector picks, and what each has to have been once."""

    def __init__(
        self, client: Client, kind: Kind, names: list[str], selector: str, goal: Goal, met: Callable[[str], None]
    ) -> None:
        """`met` is told of each object once."""
        self._client, self._kind, self._names = client, kind, names
        self._goal, self._tell = goal, met
        self._query = {"labelSelector": selector} if selector else {}
        if len(names) == 1:
            self._query |= {"fieldSelector": f"metadata.name={names[0]}"}
        self._objects: dict[str, Object | None] = {}
        self._uids: dict[str, str] = {}
        self._met: set[str] = set()

    def until(self, deadline: float) -> Objects:
        """What is still to be waited for when it is that time (monotonic); nothing, once all is as it should be.

        A server that goes away meanwhile is waited for as well. Raises CLIError.
        """
        version = self._look()
        while not self._done() and (left := deadline - time.monotonic()) > 0:
            try:
                version = self._follow(version, left) if version else self._look()
            except Expired:
                version = ""
            except Refused:
                raise
            except Unreachable:
                version = ""
                time.sleep(min(_PAUSE, left))
        return {name: obj for name, obj in self._objects.items() if name not in self._met}

    def _look(self) -> str:
        """The version of the list that was seen."""
        listed = self._client.list(self._kind, **self._query)
        there = {name_of(obj): obj for obj in listed["items"]}
        names = self._names or (self._objects.keys() if self._gone else set()) | there.keys()
        self._objects = {}
        for name in names:
            self._take(name, there.get(name))
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, version: str, left: float) -> str:
        """Take changes until there is nothing more to wait for; the version to go on from."""
        for event, obj in self._client.watch(self._kind, version, query=self._query, seconds=math.ceil(left)):
            version = obj["metadata"]["resourceVersion"]
            if event != "BOOKMARK" and (not self._names or name_of(obj) in self._names):
                self._take(name_of(obj), None if event == "DELETED" else obj)
            if self._done():
                return version
        time.sleep(min(_PAUSE, left))  # a server that ends each watch at once is not asked without a pause
        return version

    def _take(self, name: str, obj: Object | None) -> None:
        """The object as it is now. One that was created again is not the one that had to go."""
        uid = str((obj or {}).get("metadata", {}).get("uid", ""))
        if self._gone and uid != self._uids.setdefault(name, uid):
            obj = None
        if obj is not None or self._names or self._gone:
            self._objects[name] = obj
        else:
            self._objects.pop(name, None)
        if name not in self._met and self._goal.met(obj):
            self._met.add(name)
            self._tell(name)

    def _done(self) -> bool:
        """Whether there is nothing to wait for. Without any object, that is so only where all are to be gone."""
        return self._objects.keys() <= self._met and bool(self._met or self._gone)

    @property
    def _gone(self) -> bool:
        return isinstance(self._goal, Gone)
