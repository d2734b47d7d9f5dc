"""Pydantic's JSON schemas as Kubernetes' clients read them: OpenAPI 3.0, where every property has one type.

What has no counterpart there is left out: it is the server that checks.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from api import schema_rules as rules
from controller.resources.meta import GROUP, VERSION, Resource

Schema = dict[str, Any]

REF: Final = "#/components/schemas/{model}"
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
_OURS: Final = ".".join([*reversed(GROUP.split(".")), VERSION])
_SHARED: Final = frozenset({"ObjectMeta", "OwnerReference"})
"""Models that every Kubernetes object has, under the name that clients know."""
_ANYTHING: Final = {"x-kubernetes-preserve-unknown-fields": True}
_KEPT: Final = (
    "description",
    "default",
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "required",
    "type",
    "uniqueItems",
)


def component_of(model: str) -> str:
    """A model's name among the components: `dev.vendetta.v1.Node`."""
    return f"{META if model in _SHARED else _OURS}.{model}"


def components(models: Iterable[type[Resource]]) -> dict[str, Schema]:
    """The schemas of these kinds and of all their parts, by name."""
    inputs = [(model.__name__, "validation", TypeAdapter(model)) for model in models]
    _, definitions = TypeAdapter.json_schemas(inputs, by_alias=True, ref_template=REF)  # type: ignore[arg-type]
    parts: Mapping[str, Any] = definitions.get("$defs", {})
    return {component_of(name): structural(rules.apply(part)) for name, part in sorted(parts.items())}


def structural(schema: Schema) -> Schema:
    """One schema, converted."""
    if "$ref" in schema:
        return _reference(schema)
    if "anyOf" in schema:
        return _one_of_several(schema)
    if "const" in schema:
        schema = {"type": "string", "enum": [schema["const"]], **schema}
    converted: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if converted.get("default", "") is None:
        del converted["default"]
    for bound, limit in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if limit in schema:
            converted |= {bound: schema[limit], limit: True}
    return converted | _inside(schema)


def _inside(schema: Schema) -> Schema:
    """What the schema says of properties and items."""
    inside: Schema = {}
    if "properties" in schema:
        inside["properties"] = {name: structural(part) for name, part in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        inside["items"] = structural(schema["items"])
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        inside["additionalProperties"] = structural(others)
    elif others is True:
        inside |= _ANYTHING
    return inside


def _reference(schema: Schema) -> Schema:
    target = {"$ref": REF.format(model=component_of(schema["$ref"].rpartition("/")[2]))}
    described = {key: schema[key] for key in ("description",) if key in schema}
    return {"allOf": [target], **described} if described else target


def _one_of_several(schema: Schema) -> Schema:
    """The one that is not null; where there are more, anything, for no property has two types."""
    members = [member for member in schema["anyOf"] if member.get("type") != "null"]
    described = {key: schema[key] for key in ("description", "default") if schema.get(key) is not None}
    if len(members) == 1:
        return structural({**members[0], **described})
    return {**_ANYTHING, **described}
