"""What applying and updating do to an object and to the owners of its fields. Pure: trees in, trees out.

    applied(live, wish, owners, …) -> the tree as it becomes, and its owners; raises FieldConflicts
    updated(old, new, owners, …)   -> the owners after somebody has replaced one tree by the other

A field has any number of owners. Applying it takes it along; applying another value than its owners' is a conflict
unless forced; a field that its last owner no longer applies is removed. An update takes what it changes from all.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from controller.ownership import fields
from controller.ownership.fields import Index, Path, Tree, leaves

Operation = Literal["Apply", "Update"]
APPLY: Final[Operation] = "Apply"
UPDATE: Final[Operation] = "Update"

BEFORE: Final = "before-first-apply"
"""Owns what was there before anybody applied anything."""
_MOST: Final = 64
"""Owners of one object. More updaters than that share the last one's entry, as in Kubernetes."""
_OTHERS: Final = "ancient-changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A manager, by one of the two operations. `time` is RFC 3339, of the last change of its set."""

    manager: str
    operation: Operation
    time: str
    paths: frozenset[Path]

    def is_(self, manager: str, operation: Operation) -> bool:
        """Whether this is that one."""
        return (self.manager, self.operation) == (manager, operation)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldConflict:
    """A field that was applied with another value than its owner's."""

    manager: str
    operation: Operation
    path: Path

    @property
    def field(self) -> str:
        """As Kubernetes writes it: `.spec.address`."""
        return "".join(f".{key}" for key in self.path)


class FieldConflicts(Exception):
    """Others own fields that were applied with other values."""

    def __init__(self, conflicts: Sequence[FieldConflict]) -> None:
        super().__init__(f"Apply failed with {len(conflicts)} conflict{'s' if len(conflicts) > 1 else ''}")
        self.conflicts = tuple(conflicts)


def owners_of(managed_fields: Iterable[dict[str, Any]]) -> tuple[Owner, ...]:
    """The owners in `metadata.managedFields`; entries that make no sense, or are of a subresource, are left out."""
    return tuple(
        Owner(
            manager=str(entry.get("manager", "")),
            operation=entry["operation"],
            time=str(entry.get("time", "")),
            paths=fields.decode(entry.get("fieldsV1")),
        )
        for entry in managed_fields
        if entry.get("operation") in (APPLY, UPDATE) and not entry.get("subresource")
    )


def to_managed_fields(owners: Iterable[Owner], api_version: str) -> tuple[dict[str, Any], ...]:
    """`metadata.managedFields` of these owners."""
    return tuple(
        {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": api_version,
            "time": owner.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.encode(owner.paths),
        }
        for owner in sorted(owners, key=lambda o: (o.operation, o.time, o.manager))
        if owner.paths
    )


def applied(
    live: Tree,
    wish: Tree,
    owners: Sequence[Owner],
    *,
    manager: str,
    force: bool,
    time: str,
    normal: Callable[[Tree], Tree],
) -> tuple[Tree, tuple[Owner, ...]]:
    """`live` with everything in `wish`, and without what this manager alone applied before and does not any more.

    `normal` checks a tree and writes its values as they are stored (`60s` is `1m0s` then), so that they compare.
    Raises FieldConflicts, unless forced, and what `normal` raises.
    """
    wanted = _normal(live, leaves(wish), normal)
    others = [owner for owner in owners if not owner.is_(manager, APPLY)]
    before = next((owner for owner in owners if owner.is_(manager, APPLY)), None)
    differing = [path for path, value in wanted.items() if fields.get(live, path) != value]
    conflicts = list(_conflicts(others, differing))
    if conflicts and not force:
        raise FieldConflicts(conflicts)
    taken = {c.path for c in conflicts}
    others = [replace(owner, paths=owner.paths - taken) for owner in others]
    tree = deepcopy(live)
    kept = Index((path, None) for path in (*wanted, *(p for owner in others for p in owner.paths)))
    for path in (before.paths if before else frozenset()) - wanted.keys():
        if not kept.touches(path):
            fields.remove(tree, path)
    for path, value in wanted.items():
        fields.put(tree, path, value)
    mine = Owner(manager=manager, operation=APPLY, time=time, paths=frozenset(wanted))
    if before is not None and before.paths == mine.paths:
        mine = before
    return tree, _present((*others, mine), tree)


def updated(old: Tree, new: Tree, owners: Sequence[Owner], *, manager: str, time: str) -> tuple[Owner, ...]:
    """The owners after `manager` has made `new` of `old`: what it changed is its own now."""
    was, is_ = leaves(old), leaves(new)
    changed = frozenset(path for path, value in is_.items() if path not in was or was[path] != value)
    if not changed:
        return _present(owners, new)
    manager = _admitted(owners, manager)
    taken = Index((path, None) for path in changed)
    kept = [
        replace(owner, paths=frozenset(path for path in owner.paths if not taken.touches(path)))
        for owner in owners
        if not owner.is_(manager, UPDATE)
    ]
    before = next((owner.paths for owner in owners if owner.is_(manager, UPDATE)), frozenset[Path]())
    mine = Owner(manager=manager, operation=UPDATE, time=time, paths=before | changed)
    return _present((*kept, mine), new)


def _normal(live: Tree, wanted: dict[Path, Any], normal: Callable[[Tree], Tree]) -> dict[Path, Any]:
    merged = deepcopy(live)
    for path, value in wanted.items():
        fields.put(merged, path, value)
    stored = normal(merged)
    return {path: fields.get(stored, path) for path in wanted if fields.get(stored, path) is not fields.NOTHING}


def _conflicts(owners: Sequence[Owner], differing: Iterable[Path]) -> Iterator[FieldConflict]:
    """Who else owns what differs, in the order of the fields and then of the owners."""
    owned = Index((path, place) for place, owner in enumerate(owners) for path in owner.paths)
    for path in differing:
        for found, place in sorted(owned.touching(path), key=lambda pair: (pair[1], pair[0])):
            owner = owners[place]
            yield FieldConflict(manager=owner.manager, operation=owner.operation, path=found)


def _present(owners: Iterable[Owner], tree: Tree) -> tuple[Owner, ...]:
    """The owners, with what is still there: nobody owns what is gone."""
    there = leaves(tree)
    return tuple(replace(owner, paths=frozenset(p for p in owner.paths if p in there)) for owner in owners)


def _admitted(owners: Sequence[Owner], manager: str) -> str:
    """The name under which an updater is entered: entries are bounded."""
    known = any(owner.is_(manager, UPDATE) for owner in owners)
    return manager if known or len(owners) < _MOST else _OTHERS
