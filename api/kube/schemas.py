"""JSON schemas of what has no model here: lists, statuses, discovery."""

from typing import Any, Final

from pydantic import TypeAdapter

from api.schema_rules import NEVER_NULL
from controller.admission.status import CONDITION_TYPE, MOST_CONDITIONS
from controller.resources.meta import API_VERSION, Labels, Resource
from controller.resources.node import Node

Schema = dict[str, Any]

_NO_NUL: Final = r"^[^\u0000]*$"
_ONE_LINE: Final = r"^[^\u0000-\u001f\u007f]*$"
_NO_NUL_KEYS: Final = {"propertyNames": {"pattern": _NO_NUL}}


def list_schema(model: type[Resource]) -> Schema:
    """A list of that kind."""
    return _object(
        kind={"const": f"{model.__name__}List"},
        apiVersion={"type": "string"},
        metadata={"type": "object"},
        items={"type": "array", "items": {"type": "object"}},
    )


def removal_schema(model: type[Resource]) -> Schema:
    """The answer to a deletion: a `Status`, or the object where something holds it back."""
    return _object(
        kind={"enum": [model.__name__, "Status"]},
        apiVersion={"enum": [API_VERSION, "v1"]},
        metadata={"type": "object"},
        status={"type": ["object", "string"]},
    )


def creation_rule(*, named: bool) -> Schema:
    """What a body to create needs: no version yet, and a name (or a prefix for one) where none is minted."""
    first, rest = "[A-Za-z0-9]", "[A-Za-z0-9._-]"
    name = {"type": "string", "pattern": f"^{first}{rest}{{0,62}}$" if named else f"^(?:{first}{rest}{{0,127}})?$"}
    prefix = {"type": ["string", "null"], "pattern": f"^(?:{first}{rest}*)?$"}
    properties = {"resourceVersion": {"const": ""}, "name": name, "generateName": prefix}
    if not named:
        return {"properties": {"metadata": {"type": "object", "properties": properties}}}
    metadata = {"type": "object", "properties": properties, "required": ["name"]}
    return {"properties": {"metadata": metadata}, "required": ["metadata"]}


def merge_schema(model: type[Resource]) -> Schema:
    """What a merge patch may change; that null removes is added to the document for all patches alike."""
    labels = TypeAdapter(Labels).json_schema()
    notes = {"type": "object", "additionalProperties": {"type": "string", "pattern": _NO_NUL}, **_NO_NUL_KEYS}
    metadata = {"labels": labels, "annotations": notes}
    spec = _closed(**_NODE_PATCH) if model is Node else {**_closed(cancel={"type": "boolean"}), NEVER_NULL: True}
    return {
        "description": "JSON merge patch (RFC 7396) of the object.",
        "examples": [{"metadata": {"labels": {"env": "dev"}}}],
        **_closed(metadata=_closed(**metadata), spec=spec),
    }


LABELLING: Final = {"op": "add", "path": "/metadata/labels/env", "value": "dev"}
"""An operation that shows what a JSON patch is."""
OBSERVING: Final = {
    "op": "add",
    "path": "/status/conditions/-",
    "value": {
        "type": "example.com/DiskHealthy",
        "status": "True",
        "reason": "Checked",
        "lastTransitionTime": "2026-01-13T18:17:00Z",
    },
}
"""The same for a status."""


def json_patch_schema(example: Schema = LABELLING) -> Schema:
    """RFC 6902."""
    path = {"type": "string", "pattern": r"^(/([^/~\u0000]|~[01])*)*$"}
    operations = (
        [_operation(op, path=path, value={}) for op in ("add", "replace", "test")]
        + [_operation("remove", path=path)]
        + [_operation(op, path=path, **{"from": path}) for op in ("move", "copy")]
    )
    return {
        "description": "JSON patch (RFC 6902) of the object.",
        "type": "array",
        "maxItems": 10_000,
        "items": {"oneOf": operations},
        "examples": [[example]],
    }


def apply_schema(model: type[Resource]) -> Schema:
    """What is applied: as much of the object as its manager has a wish for."""
    return {
        "description": "The fields that this manager wants, as YAML or JSON (server-side apply).",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": model.__name__},
            "metadata": {"type": "object", "required": ["name"]},
            "spec": {"type": "object"},
        },
    }


def status_schema() -> Schema:
    """What may be written of a status: conditions. All that an object has besides is accepted, and left as it is."""
    condition = _closed(
        type={"type": "string", "pattern": f"^{CONDITION_TYPE.pattern}$"},
        status={"enum": ["True", "False", "Unknown"]},
        reason={"type": "string", "maxLength": 1024, "pattern": "^[A-Za-z][A-Za-z0-9]*$"},
        message={"type": "string", "maxLength": 4096, "pattern": _NO_NUL},
        lastTransitionTime={"type": "string", "format": "date-time"},
    )
    condition["required"] = ["type", "status", "reason", "lastTransitionTime"]
    return {
        "description": "The object; of it only conditions of others' types are taken.",
        **_closed(status=_closed(conditions={"type": "array", "maxItems": MOST_CONDITIONS, "items": condition})),
    }


def _operation(op: str, **needs: Schema) -> Schema:
    return {"type": "object", "properties": {"op": {"const": op}, **needs}, "required": ["op", *needs]}


def _closed(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _line(longest: int) -> Schema:
    return {"type": "string", "maxLength": longest, "pattern": _ONE_LINE}


def document_schema(kind: str) -> Schema:
    """A document of discovery: that kind, or the aggregated one."""
    return {"type": "object", "properties": {"kind": {"enum": [kind, "APIGroupDiscoveryList"]}}, "required": ["kind"]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


_NODE_PATCH: Final[Schema] = {
    "displayName": _line(255),
    "provider": _line(63),
    "address": _line(255),
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "unschedulable": {"type": "boolean"},
    "capabilities": {
        "type": "object",
        "additionalProperties": {"type": ["boolean", "number", "string"], "pattern": _NO_NUL},
        **_NO_NUL_KEYS,
    },
    "services": {"type": "array", "items": {"$ref": "#/components/schemas/Service-Input"}},
    "transport": {"$ref": "#/components/schemas/TransportSpec-Input"},
}
"""What may be changed of a node's spec; `transports` as `transport`, in a list."""
