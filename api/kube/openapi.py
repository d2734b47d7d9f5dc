"""What the kinds look like, for `kubectl explain` and for what kubectl asks before it writes: OpenAPI v3 and v2.

Made from the models and from the route table: a parameter or a patch that is not there is not described, and kubectl
goes by that.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.kube.documents import document, hash_of
from api.kube.kinds import Served
from api.kube.negotiation import PLAIN, Form, negotiate
from api.kube.structural import META, REF, component_of, components, structural
from api.messages import JSON
from api.parameters import Parameter
from api.routing import Operation, Path
from controller.resources.meta import API_VERSION, GROUP, VERSION

Schema = dict[str, Any]

V3: Final = f"/openapi/v3/apis/{API_VERSION}"
_INFO: Final = {"title": "Vendetta", "version": VERSION}
_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_TAG: Final = f"{GROUP}_{VERSION}".replace(".", "_")
_OBJECT: Final = {"GET": "get", "PUT": "put", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION: Final = {"GET": "list", "POST": "post", "DELETE": "deletecollection"}
"""What Kubernetes calls each method, on an object and on a collection."""
_STATUS: Final = f"{META}.Status"
_LIST_META: Final = f"{META}.ListMeta"
_SHARED: Final[dict[str, Schema]] = {
    _LIST_META: {
        "description": "What a list says about itself.",
        "type": "object",
        "properties": {
            "continue": {"type": "string", "description": "Where the next page begins."},
            "remainingItemCount": {"type": "integer", "format": "int64", "description": "How many are left."},
            "resourceVersion": {"type": "string", "description": "What to watch from."},
        },
    },
    _STATUS: {
        "description": "The outcome of a request that has no object as its answer.",
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": REF.format(model=_LIST_META)}]},
            "status": {"type": "string"},
            "message": {"type": "string"},
            "reason": {"type": "string"},
            "code": {"type": "integer", "format": "int32"},
            "details": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    },
}


class OpenAPI:
    """The documents. They are made when somebody first asks for them."""

    def __init__(self, kinds: Sequence[Served], paths: Callable[[], Iterable[Path]]) -> None:
        self._body = cache(lambda: to_json(describe(kinds, paths())))

    async def index(self, request: Request) -> Response:
        """Which documents there are; the hash in a URL is the document's."""
        negotiate(request, (PLAIN,))
        url = f"{V3}?hash={hash_of(self._body())}"
        return document(request, to_json({"paths": {f"apis/{API_VERSION}": {"serverRelativeURL": url}}}), JSON)

    async def group(self, request: Request) -> Response:
        """The document of the one version."""
        negotiate(request, (PLAIN,))
        return document(request, self._body(), JSON)


async def legacy(request: Request) -> Response:
    """OpenAPI v2, which describes nothing here: old clients then leave the checking to the server."""
    form = negotiate(request, (PLAIN, Form(media=_PROTOBUF)))
    if form is PLAIN:
        return document(request, to_json({"swagger": "2.0", "info": _INFO, "paths": {}, "definitions": {}}), JSON)
    return document(request, _LEGACY, _PROTOBUF)


def _field(number: int, value: bytes) -> bytes:
    """A field of a protobuf message, of wire type 2."""
    return bytes([number << 3 | 2, len(value)]) + value


_LEGACY: Final = (
    _field(1, b"2.0")
    + _field(2, _field(1, _INFO["title"].encode()) + _field(2, _INFO["version"].encode()))
    + _field(8, b"")
)
"""openapi.v2.Document with `swagger`, `info` and no `paths`."""


def describe(kinds: Sequence[Served], paths: Iterable[Path]) -> Schema:
    """The document, OpenAPI 3.0, of what is served of these kinds."""
    schemas = components([served.model for served in kinds])
    for served in kinds:
        schemas[component_of(served.kind)]["x-kubernetes-group-version-kind"] = [_gvk(served)]
        schemas[component_of(f"{served.kind}List")] = _list(served)
    by_template = {path.template: path for path in paths}
    described = dict(pair for served in kinds for pair in _paths(served, by_template))
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": described,
        "components": {"schemas": dict(sorted({**schemas, **_SHARED}.items()))},
    }


def _gvk(served: Served, suffix: str = "") -> dict[str, str]:
    return {"group": GROUP, "version": VERSION, "kind": served.kind + suffix}


def _list(served: Served) -> Schema:
    item = {"allOf": [{"$ref": REF.format(model=component_of(served.kind))}], "default": {}}
    return {
        "description": f"A list of {served.plural}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": REF.format(model=_LIST_META)}], "default": {}},
            "items": {"type": "array", "items": item},
        },
        "x-kubernetes-group-version-kind": [_gvk(served, "List")],
    }


def _paths(served: Served, by_template: dict[str, Path]) -> Iterator[tuple[str, Schema]]:
    """The paths of a kind that the route table has."""
    collection = f"/apis/{API_VERSION}/{served.plural}"
    one = f"{collection}/{{name}}"
    for template, actions in ((collection, _COLLECTION), (one, _OBJECT), (f"{one}/status", _OBJECT)):
        operations = by_template[template].operations
        yield (
            template,
            {
                method.lower(): _operation(served, actions[method], operation, template)
                for method, operation in operations.items()
            }
            | ({"parameters": [_NAME]} if actions is _OBJECT else {}),
        )


_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The object's name.",
    "schema": {"type": "string", "uniqueItems": True},
}


def _operation(served: Served, action: str, operation: Operation, template: str) -> Schema:
    part = "Status" if template.endswith("/status") else ""
    described: Schema = {
        "tags": [_TAG],
        "description": operation.summary,
        "operationId": f"{action}{served.kind}{part}",
        "parameters": [_parameter(p) for p in operation.parameters],
        "responses": {str(status): _answer(served, action) for status in operation.responses},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(served),
    }
    if operation.body is not None:
        media = (*operation.body_types, *operation.body_others)
        whole = {"$ref": REF.format(model=component_of(served.kind))}
        schema = whole if action in {"post", "put"} else {"type": "object"}
        described["requestBody"] = {"required": True, "content": {kind: {"schema": schema} for kind in media}}
    return described


def _parameter(parameter: Parameter) -> Schema:
    schema = {**structural(dict(parameter.schema)), "uniqueItems": True}
    return {"name": parameter.name, "in": parameter.where, "description": parameter.description, "schema": schema}


def _answer(served: Served, action: str) -> Schema:
    name = component_of({"list": f"{served.kind}List"}.get(action, served.kind))
    name = _STATUS if action in {"delete", "deletecollection"} else name
    return {"description": "OK", "content": {JSON: {"schema": {"$ref": REF.format(model=name)}}}}
