"""Bodies of the Kubernetes face: whole objects, read strictly. A write is of the wish, or of the status alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from api.errors import APIError, bad_request
from api.limits import MAX_JSON_DEPTH, MOST_VALUES
from controller.resources.meta import API_VERSION, Resource

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded(Generic[R]):
    """An object, and the names of fields that were dropped because nothing here knows them."""

    obj: R
    dropped: tuple[str, ...] = ()


def decode(model: type[R], body: dict[str, Any], *, strict: bool) -> Decoded[R]:
    """The object in a body. Unknown fields: an error when strict, dropped otherwise.

    Raises APIError (400) for another kind or version, and ValidationError.
    """
    return _read(model, {key: value for key, value in body.items() if key != "status"}, strict=strict)


def decode_status(model: type[R], body: dict[str, Any], old: dict[str, Any], *, strict: bool) -> Decoded[R]:
    """The object in a body that is about its status: of the wish there is what was there before."""
    return _read(model, {**body, "spec": old.get("spec", {})}, strict=strict)


def _read(model: type[R], wish: dict[str, Any], *, strict: bool) -> Decoded[R]:
    _check_kind(model, wish)
    _check_bounds(wish)
    dropped: list[str] = []
    while True:
        try:
            return Decoded(obj=model.model_validate_json(to_json(wish)), dropped=tuple(dropped))
        except ValidationError as error:
            unknown = [] if strict else _unknown(error)
            removed = [path for path in unknown if _remove(wish, path)]
            if not removed:
                raise
            dropped += [".".join(map(str, path)) for path in removed]


def _check_bounds(body: dict[str, Any]) -> None:
    """Bodies are bounded before they are parsed; what a patch makes of an object is here. Raises APIError (422)."""
    left, level = MOST_VALUES, list[Any]([body])
    for _ in range(MAX_JSON_DEPTH):
        inside = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        left -= len(inside)
        if left < 0:
            raise APIError(422, "Invalid", f"the object is not valid: it holds more than {MOST_VALUES} values")
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return
    raise APIError(422, "Invalid", f"the object is not valid: it is nested more than {MAX_JSON_DEPTH} levels deep")


def _check_kind(model: type[Resource], body: dict[str, Any]) -> None:
    if body.get("apiVersion", API_VERSION) != API_VERSION:
        raise bad_request(f"apiVersion must be {API_VERSION}")
    if body.get("kind", model.__name__) != model.__name__:
        raise bad_request(f"kind must be {model.__name__}")


def _unknown(error: ValidationError) -> list[Sequence[str | int]]:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [e["loc"] for e in found if e["type"] == "extra_forbidden"]


def _remove(whole: Any, path: Sequence[str | int]) -> bool:
    """Remove what is at that path, a copy of a parsed body; False when there is no such thing."""
    *parents, last = path
    try:
        for part in parents:
            whole = whole[part]
        del whole[last]
    except (KeyError, IndexError, TypeError):
        return False
    return True
