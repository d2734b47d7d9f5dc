"""Objects in the form that was asked for: whole, their metadata alone, or as rows of a table."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from pydantic_core import from_json, to_json
from starlette.requests import Request

from api.kube.columns import COLUMNS, Scene
from api.kube.encoding import encode_items
from api.kube.negotiation import PARTIAL_LISTS, PARTIALS, PLAIN, TABLES, Form, negotiate
from api.messages import admission_of, context_of
from api.parameters import text
from controller.resources.meta import API_VERSION, Resource

Encode = Callable[[Resource], bytes]
ONE: Final = (PLAIN, *TABLES, *PARTIALS)
"""The forms of an object, and of the events of a watch."""
MANY: Final = (PLAIN, *TABLES, *PARTIAL_LISTS)
"""The forms of a list."""


class Showing(Protocol):
    """How one answer shows objects of one kind."""

    def one(self, obj: Resource) -> bytes:
        """An object."""

    def many(self, meta: Mapping[str, Any], objects: Iterable[Resource]) -> bytes:
        """A list; `meta` is its metadata."""

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """An object of which only this metadata is known: a bookmark."""


def showing(request: Request, kind: str, encode: Encode, forms: tuple[Form, ...] = ONE) -> Showing:
    """How this request wants to see objects of that kind. Raises APIError (406)."""
    form = negotiate(request, forms)
    if form is PLAIN:
        return Whole(kind, encode)
    if form.kind == "Table":
        nodes, now = admission_of(request).nodes, context_of(request).clock.now()
        scene = Scene(now=now, last_seen=nodes.last_seen)
        return Tables(kind, encode, form, scene, text(request, "includeObject") or "Metadata")
    return Partial(form.api_version)


class Whole:
    """Objects as they are."""

    def __init__(self, kind: str, encode: Encode) -> None:
        self._kind, self._encode = kind, encode

    def one(self, obj: Resource) -> bytes:
        """An object."""
        return self._encode(obj)

    def many(self, meta: Mapping[str, Any], objects: Iterable[Resource]) -> bytes:
        """A list of the kind."""
        return encode_items(f"{self._kind}List", API_VERSION, to_json(meta), map(self._encode, objects))

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """An empty object."""
        return to_json({"kind": self._kind, "apiVersion": API_VERSION, "metadata": meta})


class Partial:
    """Metadata alone (PartialObjectMetadata)."""

    def __init__(self, api_version: str) -> None:
        self._version = api_version

    def one(self, obj: Resource) -> bytes:
        """An object's metadata."""
        meta = obj.metadata.model_dump_json(by_alias=True, exclude_defaults=True).encode()
        return b'{"kind":"PartialObjectMetadata","apiVersion":"%s","metadata":%s}' % (self._version.encode(), meta)

    def many(self, meta: Mapping[str, Any], objects: Iterable[Resource]) -> bytes:
        """A list of them."""
        return encode_items("PartialObjectMetadataList", self._version, to_json(meta), map(self.one, objects))

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """The metadata that there is."""
        return to_json({"kind": "PartialObjectMetadata", "apiVersion": self._version, "metadata": meta})


class Tables:
    """Rows. In a watch each event is a table of one row, and only the first one names the columns."""

    def __init__(self, kind: str, encode: Encode, form: Form, scene: Scene, include: str) -> None:
        """`include`: what a row holds beside its cells: None, Metadata or Object."""
        self._columns, self._scene, self._version = COLUMNS[kind], scene, form.api_version
        self._partial = Partial(form.api_version)
        self._object = {"None": _nothing, "Object": encode}.get(include, self._partial.one)
        self._named = False

    def one(self, obj: Resource) -> bytes:
        """A table of one row."""
        return self.many({"resourceVersion": obj.metadata.resource_version}, (obj,))

    def many(self, meta: Mapping[str, Any], objects: Iterable[Resource]) -> bytes:
        """A table."""
        return self._table(meta, [self._row(obj) for obj in objects])

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """A table whose one row has empty cells."""
        row = {"cells": [""] * len(self._columns), "object": from_json(self._partial.mark(meta))}
        return self._table({"resourceVersion": meta.get("resourceVersion", "")}, [to_json(row)])

    def _row(self, obj: Resource) -> bytes:
        cells = [column.cell(obj, self._scene) for column in self._columns]
        return b'{"cells":%s,"object":%s}' % (to_json(cells), self._object(obj))

    def _table(self, meta: Mapping[str, Any], rows: Iterable[bytes]) -> bytes:
        columns = [] if self._named else [column.definition() for column in self._columns]
        self._named = True
        return b'{"kind":"Table","apiVersion":"%s","metadata":%s,"columnDefinitions":%s,"rows":[%s]}' % (
            self._version.encode(),
            to_json(meta),
            to_json(columns),
            b",".join(rows),
        )


def _nothing(_obj: Resource) -> bytes:
    return b"null"
