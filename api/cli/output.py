"""How objects are shown: `-o table|wide|json|yaml|name`."""

import json
import re
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from api.cli.kinds import Kind, title
from api.cli.tables import Object, columns_of, headings, line, now, row, widths_of
from api.escape import escape
from controller.strictyaml import write_document

_MISLEADING: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Format(StrEnum):
    """What `-o` takes where objects are listed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Shape(StrEnum):
    """What `-o` takes where there is one thing to show."""

    TEXT = "text"
    JSON = "json"


Output = Annotated[Shape, typer.Option("--output", "-o", metavar="FORMAT", help="text or json.")]


def say(text: str) -> None:
    """One line on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """One line on stderr, safe to show whatever it holds."""
    sys.stderr.write(escape(text) + "\n")
    sys.stderr.flush()


def say_json(data: Any) -> None:
    """Data as JSON for programs."""
    say(json_text(data, indent=2))


def json_text(data: Any, *, indent: int | None = None) -> str:
    """JSON that may as well be shown on a terminal."""
    return _written_out(json.dumps(data, indent=indent, ensure_ascii=False))


def yaml_text(data: Any) -> str:
    """YAML that may as well be shown on a terminal: the writer puts such characters into double quotes only."""
    return _written_out(write_document(data))


def _written_out(text: str) -> str:
    """The text with `\\uXXXX`, which JSON and YAML both read, for what would turn the writing or end a line."""
    return _MISLEADING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def show_one(obj: Object, kind: Kind, form: Format) -> None:
    """One object, asked for by its name."""
    if form is Format.JSON:
        say_json(_without_owners(obj))
    elif form is Format.YAML:
        sys.stdout.write(yaml_text(_without_owners(obj)))
    else:
        show_list([obj], kind, form)


def show_list(items: list[Object], kind: Kind, form: Format) -> None:
    """A list of objects of one kind."""
    if form in {Format.JSON, Format.YAML}:
        listed = {"apiVersion": "v1", "kind": "List", "items": [_without_owners(item) for item in items]}
        say_json(listed) if form is Format.JSON else sys.stdout.write(yaml_text(listed))
    elif form is Format.NAME:
        for item in items:
            say(escape(title(item)))
    elif items:
        Table(kind, wide=form is Format.WIDE).show(items)
    else:
        warn(f"no {kind.plural} found")


def _without_owners(obj: Object) -> Object:
    """The object as people read it: who owns which field is for programs."""
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


class Table:
    """A table that rows can be added to later; its columns are as wide as its first rows need."""

    def __init__(self, kind: Kind, *, wide: bool) -> None:
        self._columns = columns_of(kind, wide=wide)
        self._widths: list[int] = []

    def show(self, items: Iterable[Object]) -> None:
        """More rows."""
        rows = [row(item, self._columns, now()) for item in items]
        if not self._widths:
            rows.insert(0, headings(self._columns))
            self._widths = widths_of(rows)
        for cells in rows:
            say(line(cells, self._widths))
