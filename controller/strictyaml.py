"""YAML as this project reads it: a small, strict subset in which nothing means something else than it says.

PyYAML only splits the text into events; the values are made here. `NO` is text, `22:22` is text, `0755` is text, a
date is text, a key given twice is an error, and there are no anchors, aliases, merge keys or tags. Every value knows
its line, so that whoever validates it can say where it stands.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

KeyPath = tuple[str | int, ...]
"""Where a value is: mapping keys and list indices from the top."""

SIZE_LIMIT: Final = 1024 * 1024
DEPTH_LIMIT: Final = 64

_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where it is there: ten times as fast
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


class YAMLError(Exception):
    """The text is not YAML, or not the strict kind; `line` counts from 1 and is None where there is none."""

    def __init__(self, file: str, line: int | None, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}" if line is not None else f"{file}: {message}")
        self.file = file
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document: plain dicts, lists and scalars, and the line of each of them by its path."""

    data: Any
    lines: dict[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """The line of that value, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def read_documents(
    text: str | bytes,
    *,
    file: str = "<text>",
    size_limit: int = SIZE_LIMIT,
    depth_limit: int = DEPTH_LIMIT,
    json: bool = False,
) -> tuple[Document, ...]:
    """Every document in the text; none for an empty one. Raises YAMLError.

    `json=True` also lets through what JSON allows and YAML 1.1 does not: tabs between tokens, surrogate pairs.
    """
    source = _decoded(text, file, size_limit)
    if json:
        source = _JSON_PAIR.sub(_joined_pair, source.replace("\t", " "))
    try:
        return tuple(_Builder(file, depth_limit, yaml.parse(source, Loader=_PARSER)).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YAMLError(file, mark.line + 1 if mark else None, error.problem or "not valid YAML") from None
    except yaml.reader.ReaderError as error:
        line = source.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
        raise YAMLError(file, line, "a character that YAML does not allow") from None
    except yaml.YAMLError as error:
        raise YAMLError(file, None, str(error)) from None


def read_document(text: str | bytes, *, file: str = "<text>", size_limit: int = SIZE_LIMIT) -> Document:
    """The only document in the text; an empty text is a document of None. Raises YAMLError."""
    documents = read_documents(text, file=file, size_limit=size_limit)
    if len(documents) > 1:
        raise YAMLError(file, documents[1].lines[()], "a second document: only one is allowed here")
    return documents[0] if documents else Document(data=None, lines={(): 1})


def write_document(data: Any) -> str:
    """YAML for people that `read_document` reads back to the same data."""
    return yaml.dump(data, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=100)


class _Writer(yaml.SafeDumper):
    """Puts into quotes what would not read back as text, and repeats what is there twice instead of aliasing it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    lines = text.removesuffix("\n").split("\n")
    ambiguous = text in _CONSTANTS or text == "<<" or _INT.fullmatch(text) or _FLOAT.fullmatch(text)
    odd = not all(line.isprintable() for line in lines)  # PyYAML loses U+0085 and its like in other styles
    style = '"' if ambiguous or odd else "|" if len(lines) > 1 else None
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _write_text)


def _decoded(text: str | bytes, file: str, size_limit: int) -> str:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > size_limit:
        raise YAMLError(file, None, f"larger than {size_limit} bytes")
    try:
        decoded = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YAMLError(file, raw.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    if "\x00" in decoded:
        raise YAMLError(file, decoded.count("\n", 0, decoded.index("\x00")) + 1, "a NUL character is not allowed")
    return decoded


def _joined_pair(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return match[1] + chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


class _Builder:
    """Makes values from PyYAML's events, one document after the other."""

    def __init__(self, file: str, depth_limit: int, events: Iterator[Any]) -> None:
        self._file = file
        self._depth_limit = depth_limit
        self._events = events
        self._lines: dict[KeyPath, int] = {}

    def documents(self) -> Iterator[Document]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._lines = {}
                data = self._value(next(self._events), ())
                yield Document(data=data, lines=self._lines)

    def _value(self, event: Any, path: KeyPath) -> Any:
        self._lines.setdefault(path, event.start_mark.line + 1)
        self._plain_or_refused(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if len(path) >= self._depth_limit:
            raise self._error(event, f"nested more than {self._depth_limit} deep")
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._sequence(path)

    def _plain_or_refused(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._error(event, "anchors and aliases are not allowed")
        if event.tag is not None:
            raise self._error(event, f"tags such as {event.tag[:40]} are not allowed")

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in entries:
                first = self._lines[(*path, key)]
                raise self._error(event, f"the key {key[:80]!r} is here twice, first on line {first}")
            self._lines[(*path, key)] = event.start_mark.line + 1
            entries[key] = self._value(next(self._events), (*path, key))
        return entries

    def _key(self, event: Any) -> str:
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value == "<<":
            raise self._error(event, "merge keys are not allowed")
        self._plain_or_refused(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, "a key cannot be a mapping or a list")
        key = self._scalar(event)
        if not isinstance(key, str):
            raise self._error(event, f"the key {event.value[:80]} is not text: put it in quotes")
        return key

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if "\x00" in text:
            raise self._error(event, "a NUL character is not allowed")
        if _SURROGATE.search(text):
            raise self._error(event, "half of a surrogate pair is not a character")
        if not event.implicit[0]:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text):
            return self._integer(event, text)
        if _FLOAT.fullmatch(text):
            return self._real(event, text)
        return text

    def _integer(self, event: Any, text: str) -> int:
        if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**63:
            raise self._error(event, f"the number {text[:40]} does not fit 64 bits: put it in quotes if it is text")
        return number

    def _real(self, event: Any, text: str) -> float:
        number = float(text)
        if number in {float("inf"), float("-inf")}:
            raise self._error(event, f"the number {text[:40]} is too large: put it in quotes if it is text")
        return number

    def _error(self, event: Any, message: str) -> YAMLError:
        return YAMLError(self._file, event.start_mark.line + 1, message)
