"""Fields as paths from the top, and sets of paths in the form that Kubernetes stores (`FieldsV1`)."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, Generic, TypeVar

Path = tuple[str, ...]
Tree = dict[str, Any]
T = TypeVar("T")

NOTHING: Final = object()
"""What is where no value is; it equals nothing else."""


def leaves(tree: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """Everything that can be owned: scalars, and lists as a whole. An empty map holds nothing."""
    found: dict[Path, Any] = {}
    for key, value in tree.items():
        path = (*above, key)
        if isinstance(value, Mapping):
            found |= leaves(value, path)
        else:
            found[path] = value
    return found


def overlap(one: Path, other: Path) -> bool:
    """Whether they are the same field, or one is within the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


class Index(Generic[T]):
    """Many fields, each with something of its own, to be asked which of them touch another one (see `overlap`)."""

    def __init__(self, entries: Iterable[tuple[Path, T]]) -> None:
        self._at: dict[Path, list[T]] = {}
        self._within: dict[Path, list[Path]] = {}
        for path, item in entries:
            if path not in self._at:
                for end in range(1, len(path)):
                    self._within.setdefault(path[:end], []).append(path)
            self._at.setdefault(path, []).append(item)

    def touching(self, path: Path) -> Iterator[tuple[Path, T]]:
        """Those that are the same, that it is within, and that are within it."""
        around = [path[:end] for end in range(1, len(path) + 1) if path[:end] in self._at]
        for found in (*around, *self._within.get(path, ())):
            for item in self._at[found]:
                yield found, item

    def touches(self, path: Path) -> bool:
        """Whether there is one."""
        return next(self.touching(path), None) is not None


def get(tree: Tree, path: Path) -> Any:
    """The value there, or NOTHING."""
    value: Any = tree
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return NOTHING
        value = value[key]
    return value


def put(tree: Tree, path: Path, value: Any) -> None:
    """Set the value there; what is in the way is replaced."""
    *above, last = path
    for key in above:
        within = tree.get(key)
        if not isinstance(within, dict):
            within = tree[key] = {}
        tree = within
    tree[last] = deepcopy(value)


def remove(tree: Tree, path: Path) -> None:
    """Remove the value there, and the maps that are empty then."""
    key, *rest = path
    within = tree.get(key)
    if not rest:
        tree.pop(key, None)
    elif isinstance(within, dict):
        remove(within, tuple(rest))
        if not within:
            del tree[key]


def encode(paths: Iterable[Path]) -> Tree:
    """`FieldsV1` of a set of paths."""
    fields: Tree = {}
    for path in sorted(paths):
        within = fields
        for key in path:
            within = within.setdefault(f"f:{key}", {})
    return fields


def decode(fields: Any) -> frozenset[Path]:
    """The paths of a `FieldsV1`. What is within a list, and all else that is unknown here, counts for the whole."""
    return frozenset(_decode(fields, ()))


def _decode(fields: Any, above: Path) -> Iterator[Path]:
    inner = [key for key in fields if key.startswith("f:")] if isinstance(fields, dict) else []
    if not inner and above:
        yield above
    for key in inner:
        yield from _decode(fields[key], (*above, key.removeprefix("f:")))
