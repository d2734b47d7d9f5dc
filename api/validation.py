"""What pydantic found wrong, as fields and reasons. Values never appear: they may be secrets."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

_MALFORMED: Final = frozenset({"json_invalid", "json_type"})
_SECRETS: Final = frozenset({"password", "token", "private_key", "secret", "privateKey"})
_LIMIT: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One field that is wrong: a path such as `spec.params.timeout`, and why."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def is_malformed(error: ValidationError) -> bool:
    """Whether the bytes are not JSON at all."""
    return any(e["type"] in _MALFORMED for e in _errors(error))


def causes_of(error: ValidationError) -> tuple[Cause, ...]:
    """The fields that are wrong, each once, at most twenty.

    What may be of several types is not told to be of the wrong one where something within it is wrong.
    """
    errors = _errors(error)
    wrong_within = {above for found in errors for above in _above(found["loc"])}
    causes: dict[str, Cause] = {}
    for found in errors:
        cause = _cause(found)
        if not (found["type"].endswith("_type") and cause.field in wrong_within):
            causes.setdefault(cause.field, cause)
    return tuple(causes.values())[:_LIMIT]


def _errors(error: ValidationError) -> list[Any]:
    return list(error.errors(include_input=False, include_url=False, include_context=False))


def _cause(found: dict[str, Any]) -> Cause:
    path = _path(found["loc"])
    last = str(found["loc"][-1]) if found["loc"] else ""
    if found["type"] == "extra_forbidden":
        if last in _SECRETS:
            return Cause(
                field=path,
                message="secrets are not accepted here: put it into the credentials directory and name it "
                "in credential_ref",
                reason="FieldValueForbidden",
            )
        return Cause(field=path, message="unknown field", reason="FieldUnknown")
    if found["type"] == "missing":
        return Cause(field=path, message="required", reason="FieldValueRequired")
    return Cause(field=path, message=found["msg"].removeprefix("Value error, "))


def _path(loc: tuple[str | int, ...]) -> str:
    """`spec.services[0].port`; pydantic's names of union members and of keys are left out."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not _is_member(part):
            path += f".{part[:64]}" if path else part[:64]
    return path


def _above(loc: tuple[str | int, ...]) -> set[str]:
    """The paths of what that place is within."""
    return {_path(loc[:end]) for end in range(len(loc))} - {_path(loc)}


def _is_member(part: str) -> bool:
    """Whether this is the name that pydantic gives to a member of a union, and no field's."""
    return (
        "[" in part
        or "(" in part
        or part.startswith("constrained-")
        or part in {"str", "bool", "int", "float", "SecretRef", "FlatSecretRef"}
    )
