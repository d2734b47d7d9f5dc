"""JSON schemas of what has no model here: lists, statuses, discovery."""

from typing import Any

from controller.resources.meta import Resource

Schema = dict[str, Any]


def list_schema(model: type[Resource]) -> Schema:
    """A list of that kind."""
    return _object(
        kind={"const": f"{model.__name__}List"},
        apiVersion={"type": "string"},
        metadata={"type": "object"},
        items={"type": "array", "items": {"type": "object"}},
    )


def status_schema() -> Schema:
    """A Kubernetes `Status`."""
    schema = _object(
        kind={"const": "Status"},
        apiVersion={"const": "v1"},
        metadata={"type": "object"},
        status={"enum": ["Success", "Failure"]},
    )
    schema["properties"] |= {
        "message": {"type": "string"},
        "reason": {"type": "string"},
        "code": {"type": "integer"},
        "details": {"type": "object"},
    }
    return schema


def creation_rule(*, named: bool) -> Schema:
    """What a body to create needs: no version yet, and a name (or a prefix for one) where none is minted."""
    name = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"}
    metadata: Schema = {"type": "object", "properties": {"resourceVersion": {"const": ""}}}
    if not named:
        return {"properties": {"metadata": metadata}}
    metadata = {**metadata, "properties": {**metadata["properties"], "name": name}, "required": ["name"]}
    return {"properties": {"metadata": metadata}, "required": ["metadata"]}


def merge_schema() -> Schema:
    """A merge patch: any part of the object, null to remove something."""
    return {"type": "object", "description": "JSON merge patch (RFC 7396) of the object."}


def api_group_list() -> Schema:
    """The groups."""
    return _object(kind={"const": "APIGroupList"}, groups={"type": "array", "items": {"type": "object"}})


def api_group() -> Schema:
    """One group."""
    return _object(kind={"const": "APIGroup"}, name={"type": "string"}, versions={"type": "array"})


def api_resource_list() -> Schema:
    """The resources of a version."""
    return _object(kind={"const": "APIResourceList"}, groupVersion={"type": "string"}, resources={"type": "array"})


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": sorted(properties)}
