"""Objects in the form that was asked for: whole, their metadata alone, or as rows of a table."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic_core import from_json, to_json
from starlette.requests import Request

from api.encoding import Encoder
from api.kube.columns import COLUMNS, TIMELESS, Scene
from api.kube.encoding import encode_items, encode_object
from api.kube.negotiation import PARTIAL_LISTS, PARTIALS, PLAIN, TABLES, Form, negotiate
from api.messages import admission_of, context_of
from api.parameters import text
from controller.resources.meta import API_VERSION, Resource

_TURN: Final = 500
"""Objects that are encoded in one go."""
_PARTS: Final = 16 * 1024 * 1024
"""Bytes of encoded parts that are kept, of each sort."""
Encode = Callable[[Resource], bytes]
ONE: Final = (PLAIN, *TABLES, *PARTIALS)
"""The forms of an object, and of the events of a watch."""
MANY: Final = (PLAIN, *TABLES, *PARTIAL_LISTS)
"""The forms of a list."""


class Showing(Protocol):
    """How one answer shows objects of one kind."""

    def one(self, obj: Resource) -> bytes:
        """An object."""

    async def many(self, meta: Mapping[str, Any], objects: Sequence[Resource]) -> bytes:
        """A list; `meta` is its metadata. It takes turns with everything else that the server does."""

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """An object of which only this metadata is known: a bookmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoders:
    """What of an object is encoded once a version, and kept."""

    whole: Encoder
    metadata: Encoder
    cells: Encoder


def encoders() -> Encoders:
    """For all kinds together."""
    return Encoders(whole=Encoder(encode_object), metadata=Encoder(_metadata, _PARTS), cells=Encoder(_cells, _PARTS))


def showing(request: Request, kind: str, kept: Encoders, forms: tuple[Form, ...] = ONE) -> Showing:
    """How this request wants to see objects of that kind. Raises APIError (406)."""
    form = negotiate(request, forms)
    if form is PLAIN:
        return Whole(kind, kept.whole.encode)
    if form.kind == "Table":
        nodes, now = admission_of(request).nodes, context_of(request).clock.now()
        scene = Scene(now=now, last_seen=nodes.last_seen)
        return Tables(kind, kept, form, scene, text(request, "includeObject") or "Metadata")
    return Partial(form.api_version, kept.metadata.encode)


class Whole:
    """Objects as they are."""

    def __init__(self, kind: str, encode: Encode) -> None:
        self._kind, self._encode = kind, encode

    def one(self, obj: Resource) -> bytes:
        """An object."""
        return self._encode(obj)

    async def many(self, meta: Mapping[str, Any], objects: Sequence[Resource]) -> bytes:
        """A list of the kind."""
        return encode_items(f"{self._kind}List", API_VERSION, to_json(meta), await _each(self._encode, objects))

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """An empty object."""
        return to_json({"kind": self._kind, "apiVersion": API_VERSION, "metadata": meta})


class Partial:
    """Metadata alone (PartialObjectMetadata)."""

    def __init__(self, api_version: str, encode: Encode) -> None:
        """`encode` encodes an object's metadata."""
        self._version, self._encode = api_version, encode

    def one(self, obj: Resource) -> bytes:
        """An object's metadata."""
        return b'{"kind":"PartialObjectMetadata","apiVersion":"%s","metadata":%s}' % (
            self._version.encode(),
            self._encode(obj),
        )

    async def many(self, meta: Mapping[str, Any], objects: Sequence[Resource]) -> bytes:
        """A list of them."""
        items = await _each(self.one, objects)
        return encode_items("PartialObjectMetadataList", self._version, to_json(meta), items)

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """The metadata that there is."""
        return to_json({"kind": "PartialObjectMetadata", "apiVersion": self._version, "metadata": meta})


class Tables:
    """Rows. In a watch each event is a table of one row, and only the first one names the columns."""

    def __init__(self, kind: str, kept: Encoders, form: Form, scene: Scene, include: str) -> None:
        """`include`: what a row holds beside its cells: None, Metadata or Object."""
        self._columns, self._scene, self._version = COLUMNS[kind], scene, form.api_version
        self._partial, self._cells = Partial(form.api_version, kept.metadata.encode), kept.cells.encode
        self._object = {"None": _nothing, "Object": kept.whole.encode}.get(include, self._partial.one)
        self._timed = tuple(column for column in self._columns if column.timed)
        self._named = False

    def one(self, obj: Resource) -> bytes:
        """A table of one row."""
        return self._table({"resourceVersion": obj.metadata.resource_version}, [self._row(obj)])

    async def many(self, meta: Mapping[str, Any], objects: Sequence[Resource]) -> bytes:
        """A table."""
        return self._table(meta, await _each(self._row, objects))

    def mark(self, meta: Mapping[str, Any]) -> bytes:
        """A table whose one row has empty cells."""
        row = {"cells": [""] * len(self._columns), "object": from_json(self._partial.mark(meta))}
        return self._table({"resourceVersion": meta.get("resourceVersion", "")}, [to_json(row)])

    def _row(self, obj: Resource) -> bytes:
        timed = tuple(to_json(column.cell(obj, self._scene)) for column in self._timed)
        return b'{"cells":%s,"object":%s}' % (self._cells(obj) % timed, self._object(obj))

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


def _metadata(obj: Resource) -> bytes:
    return obj.metadata.model_dump_json(by_alias=True, exclude_defaults=True).encode()


def _cells(obj: Resource) -> bytes:
    """A row's cells, with `%s` for each of those that change while the object does not."""
    cells = (
        b"%s" if column.timed else to_json(column.cell(obj, TIMELESS)).replace(b"%", b"%%")
        for column in COLUMNS[obj.kind]
    )
    return b"[%s]" % b",".join(cells)


async def _each(make: Callable[[Resource], bytes], objects: Sequence[Resource]) -> list[bytes]:
    """What is made of each object. A long list is not made in one go: everybody else would wait."""
    made: list[bytes] = []
    for start in range(0, len(objects), _TURN):
        if start:
            await asyncio.sleep(0)
        made += map(make, objects[start : start + _TURN])
    return made
