"""Schemas as pydantic makes them, completed: rules that only validators know, and forms that readers understand."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from controller.duration import format_duration
from controller.resources.command import SUPPORTED_TYPES
from controller.resources.meta import API_VERSION

Schema = dict[str, Any]

GO_DURATION: Final = "go-duration"
NEVER_NULL: Final = "x-never-null"
"""Marks what a merge patch cannot remove."""
_SOME_TEXT: Final = r"^[^\u0000]+$"
_ENV_NAME: Final = "^(?!VENDETTA_)[A-Za-z_][A-Za-z0-9_]{0,127}$"


def apply(schema: Schema, name: str = "") -> Schema:
    """The schema, completed; `name` is the component's."""
    completed: Schema = _walk(schema)
    if name.endswith("-Output"):
        completed = _any_duration(completed)
    for known, complete in _RULES.items():
        if known in {name, name.removesuffix("-Input").removesuffix("-Output")}:
            completed = complete(completed)
    return completed


def _any_duration(schema: Any) -> Any:
    """What is answered is in the form that Go writes, which the usual form for bodies does not cover."""
    if isinstance(schema, list):
        return [_any_duration(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    loose = schema.get("format") == GO_DURATION
    return {key: _any_duration(value) for key, value in schema.items() if not (loose and key == "pattern")}


def merge_form(schema: Schema, components: Schema) -> Schema:
    """The schema of a merge patch of what the schema describes: null removes whatever is not required (RFC 7396)."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        return merge_form(components[name], components)
    patch = dict(schema)
    required = schema.get("required", ())
    if "properties" in schema:
        properties = schema["properties"].items()
        patch["properties"] = {
            key: merge_form(value, components) if key in required else _or_null(merge_form(value, components))
            for key, value in properties
        }
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        patch["additionalProperties"] = _or_null(merge_form(others, components))
    if others is False:
        patch["additionalProperties"] = {"type": "null"}  # to remove what is not there changes nothing
    if "anyOf" in schema:
        patch["anyOf"] = [merge_form(member, components) for member in schema["anyOf"]]
    return patch


def _or_null(schema: Schema) -> Schema:
    null = {"type": "null"}
    if schema == {} or NEVER_NULL in schema or null in schema.get("anyOf", ()):
        return schema
    return {"anyOf": [schema, null]}


def _walk(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_walk(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    walked = {key: _walk(value) for key, value in schema.items() if not _is_title(key, value)}
    return _default_as_text(_keys_by_name(walked))


def _is_title(key: str, value: Any) -> bool:
    """Titles that pydantic derives from names say nothing."""
    return key == "title" and isinstance(value, str)


def _keys_by_name(schema: Schema) -> Schema:
    """A map whose keys follow one pattern, with no others allowed."""
    patterns = schema.get("patternProperties")
    if not isinstance(patterns, dict) or len(patterns) != 1 or "additionalProperties" in schema:
        return schema
    (pattern, values), *_ = patterns.items()
    pattern = _ENV_NAME if pattern == _ENV_NAME.replace("(?!VENDETTA_)", "") else pattern
    rest = {key: value for key, value in schema.items() if key != "patternProperties"}
    return {**rest, "propertyNames": {"pattern": pattern}, "additionalProperties": values}


def _default_as_text(schema: Schema) -> Schema:
    if schema.get("format") == GO_DURATION and isinstance(schema.get("default"), int):
        return {**schema, "default": format_duration(schema["default"])}
    return schema


def _given(name: str, **rule: Any) -> Schema:
    """That the property is there, and not null or empty."""
    return {"required": [name], "properties": {name: rule}}


def _command(schema: Schema) -> Schema:
    """`type` is a known one; there is an action or a program."""
    properties = {**schema["properties"], "type": {"type": "string", "enum": [*SUPPORTED_TYPES], "default": "exec"}}
    program = _given("params", **_given("argv", type="array"))
    return {**schema, "properties": properties, "anyOf": [_given("action", minLength=1), program]}


def _params(schema: Schema) -> Schema:
    """A program has a name, and runs without a shell."""
    argv = schema["properties"]["argv"]
    rules: list[Schema] = [
        {**s, "minItems": 1, "prefixItems": [{"type": "string", "pattern": _SOME_TEXT}]}
        if s.get("type") == "array"
        else s
        for s in argv["anyOf"]
    ]
    both = {"required": ["argv", "shell"], "properties": {"argv": {"type": "array"}, "shell": {"type": "string"}}}
    return {**schema, "properties": {**schema["properties"], "argv": {**argv, "anyOf": rules}}, "not": both}


def _one_transport(schema: Schema) -> Schema:
    """Either `transport` or `transports`."""
    some = {"type": "array", "minItems": 1}
    both = {
        "required": ["transport", "transports"],
        "properties": {"transport": {"type": "object"}, "transports": some},
    }
    return {**schema, "not": both}


def _check(schema: Schema) -> Schema:
    """Exactly one way to check; a program runs on the node."""
    ways = [_given("http", type="object"), _given("tcp", const=True), _given("exec", type="array")]
    elsewhere = {
        "required": ["exec", "via"],
        "properties": {"exec": {"type": "array"}, "via": {"const": "controller"}},
    }
    return {**schema, "oneOf": ways, "not": elsewhere}


def _change(schema: Schema) -> Schema:
    """What may only be repeated as it was read is no part of a change."""
    repeated = {"id", "created_at", "updated_at", "last_seen", "conditions", "uid"}
    properties = {name: rule for name, rule in schema["properties"].items() if name not in repeated}
    return _one_transport({**schema, "properties": properties})


def _resource(schema: Schema, *, validation: bool) -> Schema:
    """The version is fixed; the status is the server's, whatever a client writes there."""
    properties = {**schema["properties"], "apiVersion": {"type": "string", "enum": [API_VERSION]}}
    if "status" in properties and validation:
        properties["status"] = {"description": "The server's own: whatever a client sends is ignored."}
    return {**schema, "properties": properties}


_RULES: Final[dict[str, Callable[[Schema], Schema]]] = {
    "CommandRequest": _command,
    "CommandSpec": _command,
    "FlatParams": _params,
    "CommandParams": _params,
    "Check": _check,
    "NodeRegistration": _one_transport,
    "NodeChange": _change,
    "NodeSpec": _one_transport,
    "Node-Input": partial(_resource, validation=True),
    "Node-Output": partial(_resource, validation=False),
    "Command-Input": partial(_resource, validation=True),
    "Command-Output": partial(_resource, validation=False),
}
