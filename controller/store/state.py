"""What is stored now: objects by kind in order of name, and how much output each command has."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence

from controller.resources.meta import Resource
from controller.store.base import Change, ChangeType

Sizes = tuple[int, int]
"""Bytes of (stdout, stderr)."""

COMMAND = "Command"
"""The kind whose objects have an output log."""


class Shelf:
    """Objects of one kind. Reading all of them again costs nothing until one changes."""

    __slots__ = ("_all", "by_name", "names")

    def __init__(self, objects: Iterable[Resource] = ()) -> None:
        self.by_name = {obj.metadata.name: obj for obj in objects}
        self.names = sorted(self.by_name)
        self._all: tuple[Resource, ...] | None = None

    def put(self, obj: Resource) -> None:
        """Add or replace."""
        name = obj.metadata.name
        if name not in self.by_name:
            insort(self.names, name)
        self.by_name[name] = obj
        self._all = None

    def drop(self, name: str) -> None:
        """Remove, if it is there."""
        if self.by_name.pop(name, None) is not None:
            del self.names[bisect_left(self.names, name)]
            self._all = None

    def all(self) -> tuple[Resource, ...]:
        """Everything, in order of name."""
        if self._all is None:
            self._all = tuple(self.by_name[name] for name in self.names)
        return self._all

    def after(self, name: str) -> Sequence[str]:
        """The names that sort after this one."""
        return self.names[bisect_right(self.names, name) :]


class State:
    """The visible objects. It is changed by published changes only, so it never shows what is not durable."""

    def __init__(self) -> None:
        self.revision = 0
        self.shelves: defaultdict[str, Shelf] = defaultdict(Shelf)
        self.outputs: dict[str, Sizes] = {}
        """By uid, one entry for each command that exists."""

    def load(self, revision: int, objects: Iterable[Resource], outputs: dict[str, Sizes]) -> None:
        """Begin, or begin anew, with what is stored."""
        self.revision = revision
        self.shelves.clear()
        kinds: defaultdict[str, list[Resource]] = defaultdict(list)
        for obj in objects:
            kinds[obj.kind].append(obj)
        for kind, found in kinds.items():
            self.shelves[kind] = Shelf(found)
        self.outputs = {obj.uid: outputs.get(obj.uid, (0, 0)) for obj in kinds[COMMAND]}

    def get(self, kind: str, name: str) -> Resource | None:
        """The object, or None."""
        return self.shelves[kind].by_name.get(name)

    def apply(self, change: Change) -> None:
        """Make one change visible."""
        obj = change.obj
        shelf = self.shelves[obj.kind]
        if change.type is ChangeType.DELETED:
            shelf.drop(obj.metadata.name)
        else:
            shelf.put(obj)
        if obj.kind == COMMAND:
            self._apply_output(change)
        self.revision = change.revision

    def _apply_output(self, change: Change) -> None:
        if change.type is ChangeType.DELETED:
            self.outputs.pop(change.obj.uid, None)
        else:
            self.outputs.setdefault(change.obj.uid, (0, 0))
