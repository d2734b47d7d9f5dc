"""Reading bodies and writing answers: what all handlers of both faces do alike."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api.auth.principal import Role
from api.context import Context
from api.errors import APIError, bad_request
from api.limits import MOST_VALUES
from api.routing import principal_of
from api.tracing import HERE
from controller.admission import Admission, Caller

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"

M = TypeVar("M", bound=BaseModel)


def context_of(request: Request) -> Context:
    """The server's parts."""
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


def admission_of(request: Request) -> Admission:
    """The gate that every change goes through."""
    admission = request.app.state.admission
    assert isinstance(admission, Admission)
    return admission


def caller_of(request: Request) -> Caller:
    """Who asks, in admission's terms."""
    principal = principal_of(request.scope)
    auth_off = not context_of(request).settings.auth.enabled
    return Caller(
        name=principal.name,
        admin=principal.may(Role.ADMIN),
        operator=principal.may(Role.OPERATOR),
        node_uid=principal.node_uid,
        trusted_local=auth_off and principal.local,
        traceparent=request.scope.get(HERE, ""),
    )


async def read_body(request: Request, model: type[M], types: Sequence[str] = (JSON,)) -> M:
    """The body as that model. Raises APIError (400, 415) and ValidationError."""
    check_type(request, types)
    body = await request.body()
    read = validated(model, body)
    if read.model_extra:
        object_of(body)  # what is not looked at must be JSON all the same
    return read


def validated(model: type[M], body: bytes) -> M:
    """JSON bytes as that model. Raises ValidationError, and APIError (400) for more values than any model has.

    That is looked at first: to tell what is wrong with each of a million values keeps the server from all else.
    """
    if body.count(b",") >= MOST_VALUES and _values_in(object_of(body)) > MOST_VALUES:
        raise bad_request(f"the request's body holds more than {MOST_VALUES} values")
    return model.model_validate_json(body)


def _values_in(body: dict[str, Any]) -> int:
    """How many there are in all maps and lists together."""
    count, level = 0, list[Any]([body])
    while level:
        inside = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        count += len(inside)
        level = [inner for inner in inside if isinstance(inner, dict | list)]
    return count


def object_of(body: bytes) -> dict[str, Any]:
    """JSON bytes as an object: no NaN, no lone surrogates, no bottomless nesting. Raises APIError (400)."""
    try:
        parsed = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the request's body is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise bad_request("the request's body must be a JSON object")
    return parsed


def check_type(request: Request, types: Sequence[str]) -> str:
    """The body's media type; the first of `types` where none is given. Raises APIError (415)."""
    given = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if not given:
        return types[0]
    if given not in types:
        raise APIError(
            415,
            "UnsupportedMediaType",
            f"the body must be {' or '.join(types)}",
            headers={"Accept": ", ".join(types)},
        )
    return given


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(
        to_json(content), status, headers={"Cache-Control": "no-store", **(headers or {})}, media_type=JSON
    )


def warning(text: str) -> dict[str, str]:
    """A `Warning` header (RFC 7234, 5.5) that HTTP can carry."""
    clean = "".join(c if 32 <= ord(c) < 127 else "?" for c in text[:400])
    quoted = clean.replace("\\", "\\\\").replace('"', '\\"')
    return {"Warning": f'299 - "{quoted}"'}


def etag(version: str) -> str:
    """The entity tag of an object's version."""
    return f'"{version}"'


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: objects are merged, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
