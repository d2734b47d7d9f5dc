"""Fields that a newer version of this program has stored: shown to nobody, and kept where they are.

While servers are replaced one by one, this version reads, changes and stores objects that the next one has written
too. What it does not know of them must survive that.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import ValidationError

from controller.resources.meta import Resource

R = TypeVar("R", bound=Resource)

_KEPT: Final = "newer"
_UNKNOWN: Final = "extra_forbidden"
"""Pydantic's name for the mistake of having a field that the model has not."""


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a list, by all that this version knows of it. It keeps its fields while nothing of that changes."""

    known: str


Path: TypeAlias = tuple[str | Item, ...]
Unknown: TypeAlias = tuple[tuple[Path, Any], ...]


def read(model: type[R], fields: dict[str, Any], error: ValidationError) -> R:
    """The object, if nothing but unknown fields keeps it from validating. They are taken out of `fields`.

    Raises ValidationError.
    """
    found: list[tuple[Sequence[str | int], Any]] = []
    while True:
        mistakes = error.errors(include_input=False, include_url=False, include_context=False)
        if any(mistake["type"] != _UNKNOWN for mistake in mistakes):
            raise error
        found += [_take(fields, mistake["loc"]) for mistake in mistakes]
        try:
            obj = model.model_validate_json(json.dumps(fields))
        except ValidationError as next_error:
            error = next_error
        else:
            known = json.loads(obj.model_dump_json(by_alias=True))
            _keep(obj, tuple((_path(known, steps), value) for steps, value in found))
            return obj


def kept(obj: Resource) -> Unknown:
    """What this version does not know of the object."""
    extra = obj.__pydantic_extra__
    found: Unknown = extra[_KEPT] if extra else ()
    return found


def carry(old: Resource, new: Resource) -> Resource:
    """The new form of an object, with what is kept of the old one. `new` is the caller's own."""
    _keep(new, kept(old))
    return new


def rejoin(body: bytes, unknown: Unknown) -> bytes:
    """The object's JSON with these fields in their places, as far as those are still there."""
    known, fields = json.loads(body), json.loads(body)
    for path, value in unknown:
        _put(known, fields, path, value)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _keep(obj: Resource, unknown: Unknown) -> None:
    object.__setattr__(obj, "__pydantic_extra__", {_KEPT: unknown} if unknown else None)


def _take(fields: Any, loc: Iterable[str | int]) -> tuple[Sequence[str | int], Any]:
    """Remove what is there; returns the steps that lead to it, and what it was."""
    *way, last = loc
    steps: list[str | int] = []
    for step in way:
        if isinstance(step, int) or step in fields:  # a step that is not there names a member of a union
            fields = fields[step]
            steps.append(step)
    return [*steps, last], fields.pop(last)


def _path(known: Any, steps: Sequence[str | int]) -> Path:
    path: list[str | Item] = []
    for step in steps[:-1]:
        known = known[step]
        path.append(step if isinstance(step, str) else Item(_text(known)))
    return (*path, str(steps[-1]))


def _put(known: Any, fields: Any, path: Path, value: Any) -> None:
    *way, last = path
    for step in way:
        place = _find(known, step)
        if place is None:
            return
        known, fields = known[place], fields[place]
    if isinstance(fields, dict) and isinstance(last, str):
        fields.setdefault(last, value)


def _find(known: Any, step: str | Item) -> str | int | None:
    if isinstance(step, str):
        return step if isinstance(known, dict) and step in known else None
    texts = [_text(item) for item in known] if isinstance(known, list) else []
    return texts.index(step.known) if step.known in texts else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
