"""The OpenAPI 3.1 document, made from the route table and the models, so that it cannot drift from either."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from api import schema_rules as rules
from api.errors import speaks_kube
from api.parameters import Parameter
from api.routing import SHORT_ID, Operation, Path, Reply
from controller.resources.types import COMMAND_ID, NODE_ID

Schema = dict[str, Any]
Key = tuple[str, JsonSchemaMode]

_REF: Final = "#/components/schemas/{model}"
NO_NUL: Final = r"^[^\u0000]*$"
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
_PLACEHOLDER: Final = re.compile(r"{(\w+)(?::\w+)?}")

_DESCRIPTION: Final = (
    "Manages fleets of machines over plain SSH. `/api/v1` is flat JSON, `/apis/vendetta.dev/v1` follows the "
    "Kubernetes API conventions; both show the same objects."
)
_FLAT_ERROR: Final[Schema] = {
    "type": "object",
    "description": "What went wrong.",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
            },
        },
        "request_id": {"type": "string"},
    },
}
_STATUS: Final[Schema] = {
    "type": "object",
    "description": "What went wrong, as a Kubernetes Status.",
    "required": ["kind", "apiVersion", "status", "message", "reason", "code"],
    "properties": {
        "kind": {"const": "Status"},
        "apiVersion": {"const": "v1"},
        "metadata": {"type": "object"},
        "status": {"const": "Failure"},
        "message": {"type": "string"},
        "reason": {"type": "string"},
        "code": {"type": "integer"},
        "details": {"type": "object"},
    },
}


def document(paths: Iterable[Path], *, version: str, auth: bool) -> Schema:
    """The document of these paths. `auth`: callers need a token."""
    table = tuple(paths)
    models = _Models(table)
    described = {_PLACEHOLDER.sub(r"{\1}", path.template): _path(path, models, auth=auth) for path in table}
    components: Schema = {"schemas": {"Error": _FLAT_ERROR, "Status": _STATUS, **models.components}}
    if auth:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vendetta Coordination Server",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({path.tag for path in table if path.tag})],
        "paths": dict(sorted(described.items())),
        "components": components,
    }


class _Models:
    """The schemas of all models, generated together so that they share their parts."""

    def __init__(self, paths: Iterable[Path]) -> None:
        adapters: dict[Key, TypeAdapter[Any]] = {}
        for model, mode in _types(paths):
            adapters.setdefault((_name(model), mode), TypeAdapter(model))
        inputs = [(name, mode, adapter) for (name, mode), adapter in adapters.items()]
        schemas, definitions = TypeAdapter.json_schemas(inputs, by_alias=True, ref_template=_REF)
        self._schemas = {key: rules.apply(schema) for key, schema in schemas.items()}
        parts: Mapping[str, Any] = definitions.get("$defs", {})
        self.components = {name: rules.apply(schema, name) for name, schema in sorted(parts.items())}

    def of(self, model: Any, mode: JsonSchemaMode) -> Schema:
        """The schema of a body (validation) or an answer (serialization)."""
        if isinstance(model, Mapping):
            return dict(model)
        return self._schemas[(_name(model), mode)]


def _types(paths: Iterable[Path]) -> Iterator[tuple[Any, JsonSchemaMode]]:
    for operation in (o for path in paths for o in path.operations.values()):
        if operation.body is not None and not isinstance(operation.body, Mapping):
            yield operation.body, "validation"
        for _, model, _ in (reply for told in operation.responses.values() for reply in _replies(told)):
            if model is not None and not isinstance(model, Mapping):
                yield model, "serialization"


def _name(model: Any) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _path(path: Path, models: _Models, *, auth: bool) -> Schema:
    described: Schema = {
        method.lower(): _operation(path, method, operation, models, auth=auth)
        for method, operation in path.operations.items()
    }
    names = _PLACEHOLDER.findall(path.template)
    if names:
        described["parameters"] = [_path_parameter(path.template, name) for name in names]
    return described


def _path_parameter(template: str, name: str) -> Schema:
    patterns = {("nodes", "id"): NODE_ID, ("nodes", "name"): NODE_ID, ("commands", "id"): COMMAND_ID,
                ("commands", "name"): COMMAND_ID}  # fmt: skip
    before = template.split("/{", 1)[0].rpartition("/")[2]
    known = patterns.get((before, name))
    schema = {"type": "string", "pattern": f"^{(known or SHORT_ID).pattern}$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _operation(path: Path, method: str, operation: Operation, models: _Models, *, auth: bool) -> Schema:
    error = {"$ref": _REF.format(model="Status" if speaks_kube(path.template) else "Error")}
    described: Schema = {
        "operationId": _operation_id(method, path.template),
        "summary": operation.summary,
        "tags": [path.tag] if path.tag else [],
        "responses": {
            **{str(status): _reply(reply, models) for status, reply in operation.responses.items()},
            **_errors(path, operation, error),
        },
    }
    if operation.handler.__doc__:
        described["description"] = operation.handler.__doc__.strip()
    if operation.parameters:
        described["parameters"] = [_parameter(p) for p in operation.parameters]
    if operation.body is not None:
        schema = models.of(operation.body, "validation")
        if MERGE_PATCH in operation.body_types:
            schema = rules.merge_form(schema, models.components)
        if operation.body_rule is not None:
            schema = {"allOf": [schema, operation.body_rule]}
        schemas = {**dict.fromkeys(operation.body_types, schema), **operation.body_others}
        content = {media: {"schema": body} for media, body in schemas.items()}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    if auth and not operation.open:
        described["security"] = [{"bearer": []}]
    return described


def _operation_id(method: str, template: str) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", template) if word]
    return method.lower() + "".join(word.capitalize() for word in words)


def _parameter(parameter: Parameter) -> Schema:
    schema = dict(parameter.schema)
    example = schema.pop("example", None)
    if schema.get("type") == "string" and not schema.keys() & {"enum", "pattern"}:
        schema["pattern"] = NO_NUL
    described: Schema = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.required,
        "schema": schema,
    }
    return described if example is None else {**described, "example": example}


def _replies(told: Reply | tuple[Reply, ...]) -> tuple[Reply, ...]:
    """One reply, or one for each media type."""
    return (told,) if isinstance(told[0], str) else told


def _reply(told: Reply | tuple[Reply, ...], models: _Models) -> Schema:
    replies = _replies(told)
    content = {media: _content(model, media, models) for _, model, media in replies if model or media != JSON}
    described = {"description": replies[0][0]}
    return {**described, "content": content} if content else described


def _content(model: Any, media: str, models: _Models) -> Schema:
    if model is not None:
        return {"schema": models.of(model, "serialization")}
    return {"schema": {"type": "string"}} if media.startswith("text/") else {}


def _errors(path: Path, operation: Operation, error: Schema) -> Schema:
    """The errors that the operation can end in; `default` is for those of layers in front (408, 429, 503)."""
    statuses = [] if operation.open and operation.body is None else [400, 401, 403]
    if "{" in path.template or operation.body is not None:
        statuses.append(404)
    if operation.body is not None:
        statuses += [409, 413, 415]
    elif operation.responses.keys() & {202, 204} or "DELETE" in path.operations:
        statuses.append(409)
    if any(p.name == "If-Match" for p in operation.parameters):
        statuses.append(412)
    if any(p.name == "continue" for p in operation.parameters):
        statuses.append(410)
    if speaks_kube(path.template) and operation.body is not None:
        statuses.append(422)
    content = {"application/json": {"schema": error}}
    errors = {str(s): {"description": HTTPStatus(s).phrase, "content": content} for s in sorted({*statuses, 405})}
    return {**errors, "default": {"description": "Something else went wrong.", "content": content}}
