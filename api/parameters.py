"""Query parameters: declared beside the operation, checked before its handler runs."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from api.errors import bad_request
from api.validation import Cause
from controller.duration import parse_duration

PARSED: Final = "vendetta.query"
DURATION: Final = "go-duration"
"""A schema's format for Go durations."""
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_KEY = rf"(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?/)?{_NAME}"
_REQUIREMENT = rf"(?:!?{_KEY}|{_KEY}(?:==?|!=){_NAME}|{_KEY} (?:not)?in \({_NAME}(?:,{_NAME})*\))"

SELECTOR: Final[Mapping[str, Any]] = {
    "type": "string",
    "maxLength": 4096,
    "pattern": rf"^(?:{_REQUIREMENT}(?:,{_REQUIREMENT})*)?$",
    "example": "env=dev,tier!=db",
}
"""Kubernetes' label selectors, in their usual form; `controller.store.selector` reads them."""

Value = str | int

_INTEGER = re.compile(r"-?[0-9]{1,18}")

BOOLEAN: Final[Mapping[str, Any]] = {"type": "string", "enum": ["true", "1", "false", "0"]}
"""A yes or no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query or header parameter, for the OpenAPI document and for refusing unknown or malformed ones."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    where: str = "query"
    required: bool = False
    usual: bool = False
    """The schema's pattern shows the usual form; whoever reads the value accepts more, and checks it."""


def parse(declared: Iterable[Parameter], query: str) -> dict[str, Value]:
    """The parameters given, converted. Raises APIError (400) for unknown and malformed ones."""
    known = {p.name: p for p in declared if p.where == "query"}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise bad_request("the query is not valid: it must be UTF-8, with at most 100 parameters") from None
    parsed: dict[str, Value] = {}
    for name, text in pairs:
        if name not in known:
            raise _unknown(name, known)
        if name in parsed:
            raise bad_request(f"parameter {name} is given more than once")
        try:
            parsed[name] = _convert(text, known[name])
        except ValueError as error:
            raise bad_request(f"parameter {name}: {error}", Cause(field=name, message=str(error))) from None
    return parsed


def text(request: Request, name: str) -> str | None:
    """A parameter's text, or None where it was not given (or is empty)."""
    value = request.scope[PARSED].get(name)
    return value if isinstance(value, str) and value else None


def number(request: Request, name: str, default: int = 0) -> int:
    """A parameter's number."""
    value = request.scope[PARSED].get(name)
    return value if isinstance(value, int) else default


def flag(request: Request, name: str) -> bool:
    """Whether a boolean parameter is set."""
    return request.scope[PARSED].get(name) in {"true", "1"}


def _unknown(name: str, known: Iterable[str]) -> Exception:
    near = difflib.get_close_matches(name, list(known), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    shown = name[:64]
    return bad_request(f'unknown parameter "{shown}"{hint}', Cause(field=shown, message="unknown parameter"))


def _convert(value: str, parameter: Parameter) -> Value:
    schema = parameter.schema
    if "\x00" in value:
        raise ValueError("a NUL character is not allowed")
    if schema.get("type") == "integer":
        return _integer(value, schema)
    if "enum" in schema and value not in schema["enum"]:
        raise ValueError(f"must be one of {', '.join(schema['enum'])}")
    if schema.get("format") == DURATION:
        parse_duration(value)
    if parameter.usual and value:
        return value
    if len(value) > schema.get("maxLength", len(value)):
        raise ValueError(f"must be at most {schema['maxLength']} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise ValueError("is not in the form that the documentation shows")
    return value


def _integer(value: str, schema: Mapping[str, Any]) -> int:
    if not _INTEGER.fullmatch(value):
        raise ValueError("must be a number")
    number = int(value)
    if number < schema.get("minimum", number) or number > schema.get("maximum", number):
        raise ValueError(f"must be from {schema.get('minimum')} to {schema.get('maximum', 'any')}")
    return number
