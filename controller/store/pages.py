"""Lists in pages that all show one revision: what has changed since the first page is undone from the history."""

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from controller.resources.meta import Resource
from controller.store.base import Expired, InvalidCursor, Page
from controller.store.history import History
from controller.store.selector import Selector
from controller.store.state import State

_EVERYTHING = Selector()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a list goes on: after this name, as things were at this revision of this store."""

    store: str
    kind: str
    revision: int
    after: str

    def encode(self) -> str:
        """The cursor that clients see."""
        fields = [self.store, self.kind, self.revision, self.after]
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, cursor: str) -> "Place":
        """Raises InvalidCursor for what `encode` never made."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            fields = json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, RecursionError):
            raise InvalidCursor("the list cursor is not one that this server made: start the list again") from None
        match fields:
            case [str(store), str(kind), int(revision), str(after)] if type(revision) is int:
                return cls(store=store, kind=kind, revision=revision, after=after)
        raise InvalidCursor("the list cursor is not one that this server made: start the list again")


class Lister:
    """Lists the objects of one store."""

    def __init__(self, state: State, history: History, store_uid: str) -> None:
        self._state = state
        self._history = history
        self._uid = store_uid

    def page(self, kind: str, selector: Selector | None, limit: int, cursor: str | None) -> Page:
        """One page. Raises Expired, InvalidCursor, and ValueError for a negative limit."""
        if limit < 0:
            raise ValueError("the limit of a list is 0 (no limit) or more")
        place = None if cursor is None else self._check(kind, Place.decode(cursor))
        revision = self._state.revision if place is None else place.revision
        items = self._items(kind, revision, "" if place is None else place.after)
        matches = _matching(items, selector or _EVERYTHING)
        return self._cut(kind, revision, matches, limit)

    def _check(self, kind: str, place: Place) -> Place:
        if place.store != self._uid:
            raise Expired("the list cursor is from another store: start the list again")
        if place.kind != kind:
            raise InvalidCursor(f"the list cursor is for {place.kind[:80]!r}, not for {kind!r}: start the list again")
        return place

    def _items(self, kind: str, revision: int, after: str) -> Sequence[Resource]:
        """Everything of a kind after a name, as it was at that revision."""
        shelf = self._state.shelves[kind]
        undo = self._undo(kind, revision)
        if not undo:
            return shelf.all()[bisect_right(shelf.names, after) :] if after else shelf.all()
        then = {name: obj for name, obj in shelf.by_name.items() if name > after}
        then |= {name: obj for name, obj in undo.items() if obj is not None and name > after}
        return [then[name] for name in sorted(then) if undo.get(name, _EVERYTHING) is not None]

    def _undo(self, kind: str, revision: int) -> dict[str, Resource | None]:
        """Objects that have changed since that revision, as they were then; None: they did not exist."""
        if revision == self._state.revision:
            return {}
        undo: dict[str, Resource | None] = {}
        for entry in self._history.since(revision):
            obj = entry.change.obj
            if obj.kind == kind:
                undo.setdefault(obj.metadata.name, entry.old)
        return undo

    def _cut(self, kind: str, revision: int, matches: Sequence[Resource], limit: int) -> Page:
        if not limit or len(matches) <= limit:
            return Page(items=matches, revision=revision)
        items = tuple(islice(matches, limit))
        place = Place(store=self._uid, kind=kind, revision=revision, after=items[-1].metadata.name)
        return Page(items=items, revision=revision, next=place.encode(), remaining=len(matches) - limit)


def _matching(items: Sequence[Resource], selector: Selector) -> Sequence[Resource]:
    if not selector.requirements:
        return items
    return tuple(_select(items, selector))


def _select(items: Sequence[Resource], selector: Selector) -> Iterator[Resource]:
    return (obj for obj in items if selector.matches(obj.metadata.labels))
