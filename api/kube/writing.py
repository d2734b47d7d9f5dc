"""What all writes on this face have in common: rehearsals, who asks, unknown fields, the object's identity."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.errors import bad_request, conflict
from api.messages import JSON, admission_of, caller_of, warning
from api.parameters import text
from controller.admission import Admission, Caller
from controller.admission.ownership import LONGEST_MANAGER
from controller.resources.meta import Resource

_MOST_WARNINGS: Final = 16


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer of these bytes of JSON."""
    return Response(body, status, headers={"Cache-Control": "no-store", **(headers or {})}, media_type=JSON)


def admission_for(request: Request) -> Admission:
    """The gate, or with `dryRun` one behind which nothing is stored."""
    admission = admission_of(request)
    return admission.rehearsal() if text(request, "dryRun") else admission


def writer_of(request: Request) -> Caller:
    """Who asks, and which program: the field manager that it names, or what it calls itself."""
    agent = request.headers.get("user-agent", "").partition("/")[0]
    manager = text(request, "fieldManager") or "".join(c for c in agent if c.isprintable())[:LONGEST_MANAGER]
    return replace(caller_of(request), manager=manager or "unknown")


def is_strict(request: Request, default: str = "Strict") -> bool:
    """Whether an unknown field is an error."""
    return (text(request, "fieldValidation") or default) == "Strict"


def warnings(request: Request, fields: Iterable[str], default: str = "Strict") -> dict[str, str]:
    """A warning about each unknown field, where the client wants them."""
    if (text(request, "fieldValidation") or default) != "Warn":
        return {}
    return warned(f'unknown field "{name}"' for name in fields)


def warned(sentences: Iterable[str]) -> dict[str, str]:
    """The header with these warnings, the first few of them."""
    told = [warning(sentence)["Warning"] for sentence in sentences][:_MOST_WARNINGS]
    return {"Warning": ", ".join(told)} if told else {}


def check_identity(old: Resource, asked: Resource, name: str) -> None:
    """Raises APIError where a body is about another object than its path."""
    if asked.metadata.name not in {"", name}:
        raise bad_request("metadata.name is not the name in the path")
    if asked.metadata.uid not in {"", old.uid}:
        raise conflict("the object's uid is another: it was removed and created again")
