"""Errors that a client is told, in one shape for each face (contract B-10).

Handlers raise `APIError`, or let an error of admission, of the store or of validation pass: `translate` knows them
all. `render` shapes it: `{"error": …, "request_id"}` under the document's paths, a Kubernetes `Status` where
Kubernetes' clients look. Nothing of the server's insides ever gets into a message.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.validation import Cause, causes_of, is_malformed
from controller import admission
from controller.store import base as store
from controller.store.selector import SelectorError

Scope = MutableMapping[str, Any]

REQUEST_ID: Final = "vendetta.request_id"
RETRY_AFTER: Final = 2
"""Seconds after which it is worth asking again of a store that was away."""


@dataclass(slots=True)
class APIError(Exception):
    """An answer other than success. `reason` is a Kubernetes status reason (NotFound, Conflict, …)."""

    status: int
    reason: str
    message: str
    causes: tuple[Cause, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


KNOWN: Final = (
    APIError,
    HTTPException,
    ValidationError,
    SelectorError,
    admission.AdmissionError,
    store.StoreError,
)
"""What `translate` can tell a client about; anything else is the server's own fault."""


def bad_request(message: str, *causes: Cause) -> APIError:
    """400: the request makes no sense, and here is why."""
    return APIError(400, "BadRequest", message, causes)


def not_found(kind: str, name: str) -> APIError:
    """404: no such object."""
    return APIError(404, "NotFound", f'{kind} "{name}" not found', details={"kind": kind, "name": name})


def conflict(message: str) -> APIError:
    """409: the object has changed, or the id is taken."""
    return APIError(409, "Conflict", message)


def forbidden(message: str) -> APIError:
    """403: known, and not permitted."""
    return APIError(403, "Forbidden", message)


_STATUS: Final[dict[type[Exception], tuple[int, str]]] = {
    admission.Denied: (403, "Forbidden"),
    admission.Refused: (409, "Conflict"),
    admission.IdTaken: (409, "AlreadyExists"),
    admission.Stale: (409, "Conflict"),
    admission.NotReportable: (409, "NotReportable"),
    store.NotFound: (404, "NotFound"),
    store.AlreadyExists: (409, "AlreadyExists"),
    store.Conflict: (409, "Conflict"),
    store.Expired: (410, "Expired"),
    store.InvalidCursor: (400, "BadRequest"),
    SelectorError: (400, "BadRequest"),
}

_HTTP: Final[dict[int, tuple[str, str]]] = {
    404: ("NotFound", "there is nothing at this path"),
    405: ("MethodNotAllowed", "this path does not support that method"),
    413: ("RequestEntityTooLarge", "the request's body is too large"),
}


def translate(error: Exception, *, kube: bool = False) -> APIError:
    """The one table from every known error to what a client is told. `kube`: as the Kubernetes face words it."""
    match error:
        case APIError():
            return error
        case ValidationError():
            return _invalid_body(error, kube=kube)
        case admission.Invalid():
            causes = tuple(
                Cause(field=p.field if kube else _flat(p.field), message=p.message) for p in error.problems
            )
            return _invalid(str(error), causes, kube=kube)
        case admission.Unknown():
            return not_found(f"{error.kind}s.vendetta.dev" if kube else error.kind, error.name[:128])
        case admission.BadJoinToken():
            challenge = {"WWW-Authenticate": 'Bearer realm="vendetta", error="invalid_token"'}
            return APIError(401, "Unauthorized", str(error), headers=challenge)
        case HTTPException():
            reason, message = _HTTP.get(error.status_code, ("BadRequest", "the request cannot be served"))
            return APIError(error.status_code, reason, message, headers=dict(error.headers or {}))
        case store.Unavailable():
            message, headers = "the store is not available: try again", {"Retry-After": str(RETRY_AFTER)}
            return APIError(503, "ServiceUnavailable", message, headers=headers)
    for known, (status, reason) in _STATUS.items():
        if isinstance(error, known):
            return APIError(status, reason, str(error))
    return APIError(500, "InternalError", "the server failed at this request; its log says why")


_KUBE: Final = frozenset({"/api", "/api/", "/version", "/version/"})


def speaks_kube(path: str) -> bool:
    """Whether a path is Kubernetes' own: `/api/v1` is the document's, but for what Kubernetes has there as well."""
    return path.startswith(("/apis", "/api/v1/events", "/api/v1/namespaces", "/openapi/")) or path in _KUBE


def render(error: APIError, scope: Scope) -> Response:
    """The response to a request that failed."""
    shape = _status if speaks_kube(str(scope.get("path", ""))) else _flat_error
    headers = {"Cache-Control": "no-store", **error.headers}
    body = to_json(shape(error, request_id(scope)))
    return Response(body, error.status, headers=headers, media_type="application/json")


def request_id(scope: Scope) -> str:
    """The id of this request; drawn here when no outer layer did."""
    known = scope.get(REQUEST_ID)
    if isinstance(known, str):
        return known
    scope[REQUEST_ID] = drawn = str(uuid4())
    return drawn


def status_object(error: APIError) -> dict[str, Any]:
    """A Kubernetes `Status` of a failure."""
    details = {**error.details}
    if error.causes:
        details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in error.causes]
    if "Retry-After" in error.headers:
        details["retryAfterSeconds"] = int(error.headers["Retry-After"])
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "code": error.status,
    }
    return status | ({"details": details} if details else {})


def _status(error: APIError, _request_id: str) -> dict[str, Any]:
    return status_object(error)


def _flat_error(error: APIError, request_id: str) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.reason, "message": error.message}
    details = {**error.details}
    if error.causes:
        details["causes"] = [{"field": c.field, "message": c.message} for c in error.causes]
    return {"error": told | ({"details": details} if details else {}), "request_id": request_id}


def _invalid_body(error: ValidationError, *, kube: bool) -> APIError:
    """What is wrong with a body; values never get into it."""
    if is_malformed(error):
        return bad_request("the request's body is not valid JSON: " + causes_of(error)[0].message)
    causes = causes_of(error)
    unknown = [c for c in causes if c.reason == "FieldUnknown"]
    if kube and unknown:
        fields = ", ".join(f'unknown field "{c.field}"' for c in unknown)
        return bad_request(f"strict decoding error: {fields}", *causes)
    return _invalid("the request's body is not valid", causes, kube=kube)


def _invalid(message: str, causes: tuple[Cause, ...], *, kube: bool) -> APIError:
    told = "; ".join(f"{c.field}: {c.message}" if c.field else c.message for c in causes[:5])
    whole = f"{message}: {told}" if told else message
    return APIError(422, "Invalid", whole, causes) if kube else bad_request(whole, *causes)


def _flat(path: str) -> str:
    """A resource's field as the flat body calls it."""
    return {"metadata.name": "id", "spec.node": "node_id"}.get(path, path.removeprefix("spec."))
