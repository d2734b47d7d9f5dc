"""Watching: newline-delimited events from a revision on, without a gap (Kubernetes API concepts, "Efficient detection
of changes").
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from pydantic_core import to_json
from starlette.requests import Request

from api.auth.principal import Principal
from api.auth.revocation import still_counts
from api.context import Context
from api.errors import status_object, translate
from api.kube.selection import Selection
from api.kube.showing import Showing
from api.messages import JSON, context_of
from api.parameters import flag, number, text
from api.routing import principal_of
from api.streaming import Streaming
from api.waiting import first_of
from controller.resources.meta import Resource
from controller.store.base import Change, ChangeType, Expired, Unavailable, Watch

_BATCH: Final = 256
_PIECE: Final = 64 * 1024
"""Bytes that are sent in one go, about."""
_BOOKMARK_EVERY: Final = 60.0
_PATIENCE: Final = 1.0
"""Seconds after which a quiet watcher's token is looked at again."""
_SHORTEST, _LONGEST = 1800, 3600


async def watch(request: Request, kind: str, selection: Selection, show: Showing) -> Streaming:
    """The stream of events. Raises Expired (410) when the history from that revision on is gone."""
    context = context_of(request)
    given = text(request, "resourceVersion")
    since = None if given in {None, "0"} else int(given or 0)
    if since is not None:
        async with context.store.watch(frozenset({kind}), since=since):
            pass
    marked = flag(request, "sendInitialEvents")
    if since is None and not marked and text(request, "sendInitialEvents") is not None:
        since = context.store.revision()
    events = Events(
        context=context,
        principal=principal_of(request.scope),
        kind=kind,
        selection=selection,
        show=show,
        bookmarks=flag(request, "allowWatchBookmarks"),
        since=None if marked else since,
        marked=marked,
    )
    seconds = number(request, "timeoutSeconds") or random.randint(_SHORTEST, _LONGEST)  # noqa: S311
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return Streaming(request, events.stream(seconds), JSON, headers)


class Events:
    """One watcher: what it selects, and which objects it has been told of."""

    def __init__(
        self,
        *,
        context: Context,
        principal: Principal,
        kind: str,
        selection: Selection,
        show: Showing,
        bookmarks: bool,
        since: int | None,
        marked: bool,
    ) -> None:
        """`since` None: everything that is there comes first; `marked`: a bookmark tells where that ends."""
        self._context, self._principal, self._kind = context, principal, kind
        self._selection, self._show = selection, show
        self._bookmarks, self._since, self._marked = bookmarks, since, marked
        self._told: dict[str, bool] = {}

    async def stream(self, seconds: float) -> AsyncIterator[bytes]:
        """Events until the time is up, the token ends, the server stops, or history is gone."""
        store = self._context.store
        since = store.revision() if self._since is None else self._since
        present = self._present(since) if self._since is None else ()
        try:
            async with store.watch(frozenset({self._kind}), name=self._selection.name, since=since) as cursor:
                for piece in _pieces(present):
                    yield piece
                    await asyncio.sleep(0)  # a client who takes everything at once is not the only one
                async for piece in self._changes(cursor, seconds):
                    yield piece
        except (Expired, Unavailable) as error:
            yield b'{"type":"ERROR","object":%s}\n' % to_json(status_object(translate(error, kube=True)))

    def _present(self, revision: int) -> Iterator[bytes]:
        """Everything selected, as additions: what is there now, encoded as it is sent."""
        objects = self._context.store.list(self._kind, selector=self._selection.labels).items
        chosen = [obj for obj in objects if self._selection.has_fields(obj)]
        self._told.update((obj.name, True) for obj in chosen)
        return self._additions(chosen, revision)

    def _additions(self, objects: Iterable[Resource], revision: int) -> Iterator[bytes]:
        for obj in objects:
            yield _event("ADDED", self._show.one(obj))
        if self._marked:
            yield self._bookmark(revision, last_initial=True)

    async def _changes(self, cursor: Watch, seconds: float) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        stopping, end, bookmark = self._context.stopping, loop.time() + seconds, loop.time() + _BOOKMARK_EVERY
        while not stopping.is_set() and (left := end - loop.time()) > 0:
            batch = await self._batch(cursor, min(left, _PATIENCE))
            if not self._caller_counts():
                return
            if batch:
                for piece in _pieces(self._events(batch)):
                    yield piece
            elif self._bookmarks and loop.time() >= min(bookmark, end):
                yield self._bookmark(cursor.revision)
            else:
                continue
            bookmark = loop.time() + _BOOKMARK_EVERY

    def _caller_counts(self) -> bool:
        return still_counts(self._principal, self._context.store, self._context.clock.now())

    async def _batch(self, cursor: Watch, timeout: float) -> Iterable[Change]:
        """The next changes; none when the time is up or the server stops."""
        found: list[Change] = []

        async def take() -> None:
            found.extend(await cursor.batch(_BATCH, timeout=timeout))

        await first_of(take(), self._context.stopping.wait(), timeout=timeout + 1)
        return found

    def _events(self, batch: Iterable[Change]) -> Iterable[bytes]:
        for change in batch:
            kind = self._type(change)
            if kind is not None:
                yield _event(kind, self._show.one(change.obj))

    def _type(self, change: Change) -> str | None:
        """What a change is to this watcher: an object that no longer matches is gone, one that does now is new."""
        if self._selection.everything:
            return change.type.value
        name, matches = change.obj.name, self._selection.matches(change.obj)
        told = self._told.get(name, change.type is not ChangeType.ADDED)
        if change.type is ChangeType.DELETED:
            self._told.pop(name, None)
            return "DELETED" if told else None
        self._told[name] = matches
        if matches:
            return "MODIFIED" if told and change.type is ChangeType.MODIFIED else "ADDED"
        return "DELETED" if told else None

    def _bookmark(self, revision: int, *, last_initial: bool = False) -> bytes:
        meta: dict[str, object] = {"resourceVersion": str(revision)}
        if last_initial:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        return _event("BOOKMARK", self._show.mark(meta))


def _event(kind: str, obj: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), obj)


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, some at a time: a client who stops reading must not have all of them waiting for it in memory."""
    held, size = list[bytes](), 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
