"""The keys there are: derived from the models, so that no list of them can go stale."""

import difflib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from controller.settings import SECRET, Section, Settings

Key = tuple[str, ...]
"""A setting's place: `("transports", "ssh", "base_dir")`."""

KeyKind = Literal["text", "boolean", "integer", "number", "list", "duration"]


def section_of(field: FieldInfo) -> type[Section] | None:
    """The model behind a field that is a section; None for a plain value."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _walk(model: type[Section], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield (*above, name), field
        else:
            yield from _walk(section, (*above, name))


KEYS: Final[dict[Key, FieldInfo]] = dict(_walk(Settings))
"""Every plain value by its key, in the document's order."""

SECTIONS: Final = frozenset(key[:n] for key in KEYS for n in range(1, len(key)))


def dotted(key: Key) -> str:
    """As people write it: `transports.ssh.base_dir`."""
    return ".".join(key)


def is_secret(key: Key) -> bool:
    """Whether the value must never be shown."""
    field = KEYS[key]
    return field.annotation is SecretStr or field.json_schema_extra == SECRET


def kind_of(key: Key) -> KeyKind:
    """What a value of this key looks like, seen from outside."""
    field = KEYS[key]
    if any(isinstance(m, BeforeValidator) for m in field.metadata):
        return "duration"
    plain = _plain_type(field.annotation)
    kinds: dict[Any, KeyKind] = {bool: "boolean", int: "integer", float: "number", tuple: "list"}
    return kinds.get(plain, "text")


def _plain_type(annotation: Any) -> Any:
    """The class under Optional, Annotated and type arguments."""
    while (origin := typing.get_origin(annotation)) is not None and origin is not tuple:
        annotation = typing.get_args(annotation)[0]
    return origin or annotation


def is_path(key: Key) -> bool:
    """Whether the model says that the value is a path."""
    return _plain_type(KEYS[key].annotation) is Path


def nearest(key: Key) -> str:
    """The known key that somebody most likely meant: a neighbour, the same name elsewhere, or the likest one."""
    above, name = key[:-1], key[-1]
    known = [*SECTIONS, *KEYS]
    neighbours = [k[-1] for k in known if k[:-1] == above]
    if close := difflib.get_close_matches(name, neighbours, n=1):
        return dotted((*above, close[0]))
    same_name = [k for k in KEYS if k[-1] == name]
    if same_name:
        return dotted(same_name[0])
    return difflib.get_close_matches(dotted(key), sorted(map(dotted, known)), n=1, cutoff=0)[0]
