"""The informer: turns the store's history into calls, from a consistent list on and without a gap.

It knows no kind. Listeners are called in order, on the loop, and must not block. When history has been compacted
under it, it lists again, tells what is gone as gone and every other object as if new: listeners are level-triggered
and do not mind to hear a thing twice.
"""

from collections.abc import Callable, Sequence

from controller.resources.meta import Resource
from controller.store.base import ChangeType, Expired, Store, Watch

Listener = Callable[[Resource, bool], None]
"""Called with an object and whether it is there (False: it was deleted)."""

BATCH = 500
IDLE = 5.0


class Informer:
    """Feeds listeners with every object of the given kinds, as it is and as it becomes."""

    def __init__(self, store: Store, kinds: Sequence[str], listeners: Sequence[Listener]) -> None:
        self._store = store
        self._kinds = tuple(kinds)
        self._listeners = tuple(listeners)
        self._watch: Watch | None = None
        self._known: dict[tuple[str, str], Resource] = {}

    async def begin(self) -> None:
        """Tell what there is now, before the first round."""
        self._watch = await self._list_and_watch()

    async def round(self) -> None:
        """One round of the loop: the next changes, or a moment without any."""
        try:
            if self._watch is None:
                self._watch = await self._list_and_watch()
            for change in await self._watch.batch(BATCH, IDLE):
                self._tell(change.obj, there=change.type is not ChangeType.DELETED)
        except Expired:
            self._watch = None

    def resync(self) -> None:
        """Tell every object again."""
        for kind in self._kinds:
            for obj in self._store.list(kind).items:
                self._tell(obj, there=True)

    async def _list_and_watch(self) -> Watch:
        revision = self._store.revision()
        before = tuple(self._known.values())
        for obj in before:
            present = self._store.get(obj.kind, obj.name)
            if present is None or present.uid != obj.uid:
                self._tell(obj, there=False)
        self.resync()
        watch = self._store.watch(frozenset(self._kinds), since=revision)
        return await watch.__aenter__()

    def _tell(self, obj: Resource, *, there: bool) -> None:
        if there:
            self._known[obj.kind, obj.name] = obj
        else:
            self._known.pop((obj.kind, obj.name), None)
        for listener in self._listeners:
            listener(obj, there)
