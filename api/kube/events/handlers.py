"""Handlers of events: the same for both shapes and all paths."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from api.context import Context
from api.errors import APIError, not_found
from api.kube.events.body import checked, data_of
from api.kube.events.shape import FieldSelector, shaped, to_core
from api.kube.events.table import partial, table
from api.kube.events.told import NAMESPACE, reported_events, told_events
from api.kube.negotiation import PARTIAL_LISTS, PARTIALS, PLAIN, TABLES, negotiate
from api.messages import JSON, MERGE_PATCH, answer, check_type, context_of, merge_patch, object_of
from api.parameters import flag, number, text
from controller.resources.meta import ObjectMeta
from controller.resources.record import Record
from controller.resources.types import rfc3339
from controller.store.base import AlreadyExists, Create, Delete, Update

STRATEGIC: Final = "application/strategic-merge-patch+json"
"""What client-go's recorders send to count an event again. No list of an event would be merged by it."""

_TURN: Final = 500


class Handlers:
    """The handlers of one version, `v1` or `events.k8s.io/v1`."""

    def __init__(self, version: str) -> None:
        self._version = version

    async def list(self, request: Request) -> Response:
        """The events of late, or of the objects that are selected; `continue` goes on after an event's name."""
        if flag(request, "watch"):
            raise APIError(405, "MethodNotAllowed", "events cannot be watched: watch the objects they are about")
        form, context = negotiate(request, (PLAIN, *TABLES, *PARTIAL_LISTS)), context_of(request)
        selector = FieldSelector(text(request, "fieldSelector"))
        namespace = request.path_params.get("namespace", NAMESPACE)
        limit, after = number(request, "limit"), text(request, "continue") or ""
        found: list[dict[str, Any]] = []
        if namespace == NAMESPACE:
            found = [core async for core in _all(context, selector) if selector.matches(core)]
        found.sort(key=_name)
        page = [core for core in found if _name(core) > after]
        meta: dict[str, Any] = {"resourceVersion": str(context.store.revision())}
        if limit and len(page) > limit:
            meta |= {"continue": _name(page[limit - 1]), "remainingItemCount": len(page) - limit}
            page = page[:limit]
        if form in TABLES:
            return answer(table(form, meta, page, context.clock.now()))
        if form is not PLAIN:
            parts = [partial(form, core) for core in page]
            return answer({"kind": form.kind, "apiVersion": form.api_version, "metadata": meta, "items": parts})
        items = [shaped(core, self._version) for core in page]
        return answer({"kind": "EventList", "apiVersion": self._version, "metadata": meta, "items": items})

    async def get(self, request: Request) -> Response:
        """One event, by its name."""
        form, core = negotiate(request, (PLAIN, *TABLES, *PARTIALS)), await self._find(request)
        if form in PARTIALS:
            return answer(partial(form, core))
        if form is not PLAIN:
            meta = {"resourceVersion": core["metadata"].get("resourceVersion", "")}
            return answer(table(form, meta, (core,), context_of(request).clock.now()))
        return answer(shaped(core, self._version))

    async def create(self, request: Request) -> Response:
        """Take an event that somebody reports: 201."""
        check_type(request, (JSON,))
        if request.path_params["namespace"] != NAMESPACE:
            raise not_found("namespaces", request.path_params["namespace"][:63])
        event = checked(to_core(object_of(await request.body()), self._version))
        name = event.metadata.name or f"{event.metadata.generateName or 'event-'}{secrets.token_hex(8)}"
        record = Record(kind="Event", metadata=ObjectMeta(name=name), data=data_of(event))
        try:
            stored = (await context_of(request).store.write(Create(obj=record)))[0]
        except AlreadyExists:
            raise APIError(409, "AlreadyExists", f'events "{name}" already exists') from None
        return answer(shaped(_core(stored), self._version), 201)

    async def patch(self, request: Request) -> Response:
        """Change an event that was reported, by a merge patch."""
        check_type(request, (MERGE_PATCH, STRATEGIC))
        record = self._reported(request)
        whole = merge_patch(shaped(_core(record), self._version), object_of(await request.body()))
        return await self._store(request, record, whole)

    async def replace(self, request: Request) -> Response:
        """Replace an event that was reported."""
        check_type(request, (JSON,))
        return await self._store(request, self._reported(request), object_of(await request.body()))

    async def delete(self, request: Request) -> Response:
        """Remove an event that was reported. Those that the server tells by itself pass."""
        record = self._reported(request)
        await context_of(request).store.write(Delete(kind="Event", name=record.name))
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})

    async def _store(self, request: Request, record: Record, whole: dict[str, Any]) -> Response:
        event = checked(to_core(whole, self._version))
        changed = record.model_copy(update={"data": data_of(event)})
        stored = (await context_of(request).store.write(Update(obj=changed)))[0]
        return answer(shaped(_core(stored), self._version))

    async def _find(self, request: Request) -> dict[str, Any]:
        context, name = context_of(request), request.path_params["name"]
        async for core in _all(context, FieldSelector(f"involvedObject.name={name.rpartition('.')[0]}")):
            if _name(core) == name:
                return core
        return _core(self._reported(request))

    def _reported(self, request: Request) -> Record:
        name = request.path_params["name"]
        record = context_of(request).store.get("Event", name)
        if request.path_params["namespace"] != NAMESPACE or not isinstance(record, Record):
            raise not_found("events", name[:128])
        return record


async def _all(context: Context, selector: FieldSelector) -> AsyncIterator[dict[str, Any]]:
    """Events of core/v1 that may be selected. It takes turns with everything else that the server does."""
    told = (event.core for event in told_events(context, selector.exactly("involvedObject.name")))
    for number_, core in enumerate(_chain(told, (_core(record) for record in reported_events(context)))):
        yield core
        if number_ % _TURN == 0:
            await asyncio.sleep(0)


def _chain(*parts: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield from part


def _core(record: Any) -> dict[str, Any]:
    assert isinstance(record, Record)
    meta = record.metadata
    created = meta.creation_timestamp
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": meta.name,
            "namespace": NAMESPACE,
            "uid": meta.uid,
            "creationTimestamp": None if created is None else rfc3339(created),
            "resourceVersion": meta.resource_version,
        },
        **record.data,
    }


def _name(core: dict[str, Any]) -> str:
    name: str = core["metadata"]["name"]
    return name
