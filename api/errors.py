"""Errors that a client is told, in one shape for each face (contract B-10).

Handlers raise `APIError`; the outermost layer renders it: `{"error": …, "request_id"}` under the document's paths,
a Kubernetes `Status` under `/apis`. Nothing of the server's insides ever gets into a message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Cause:
    """One field that is wrong: a path such as `spec.params.timeout`, and why."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


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
