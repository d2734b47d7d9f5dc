"""`explain`: what a field is, from the OpenAPI document of the server that is asked."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.cli.errors import Misused

Schema = Mapping[str, Any]

_WIDTH: Final = 96
_REFERENCE: Final = "#/components/schemas/"
_SHOWN: Final = ("enum", "default", "minimum", "maximum")
_ANYTHING: Final = "x-kubernetes-preserve-unknown-fields"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a kind; its path is empty for the kind itself."""

    path: str
    type: str
    required: bool
    schema: Schema

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]

    @property
    def description(self) -> str:
        """What it is for; nothing, where nobody has said."""
        return str(self.schema.get("description", ""))

    def rules(self) -> Iterator[str]:
        """What a value has to be, line by line."""
        if "enum" in self.schema:
            yield "one of: " + ", ".join(map(str, self.schema["enum"]))
        if self.schema.get("default") not in (None, "", [], {}):
            yield f"default: {_plain(self.schema['default'])}"
        low, high = self.schema.get("minimum"), self.schema.get("maximum")
        if low is not None or high is not None:
            yield "from {} to {}".format(*("any" if bound is None else bound for bound in (low, high)))


class Explainer:
    """The fields of one kind."""

    def __init__(self, document: Schema, kind: str) -> None:
        """Raises Misused for a kind that the server does not describe."""
        self._schemas: Mapping[str, Schema] = document.get("components", {}).get("schemas", {})
        self.kind = kind
        root = next((s for s in self._schemas.values() if _is_kind(s, kind)), None)
        if root is None:
            raise Misused(f"the server does not describe {kind}")
        self._root = root

    def at(self, path: list[str]) -> Field:
        """The field there. Raises Misused where there is none, and names those that there are."""
        found = Field(path="", type=self.kind, required=False, schema=self._root)
        for name in path:
            inside = {field.name: field for field in self.within(found)}
            if name not in inside:
                where = found.path or self.kind
                there = f"there are {', '.join(inside)}" if inside else "it has no fields"
                raise Misused(f'there is no field "{name}" in {where}: {there}')
            found = inside[name]
        return found

    def within(self, field: Field) -> Iterator[Field]:
        """The fields of that field, or of what it is a list or a map of."""
        schema = self._innermost(field.schema)
        required = schema.get("required", ())
        for name, inner in sorted(schema.get("properties", {}).items()):
            path = f"{field.path}.{name}" if field.path else name
            whole = self._resolved(inner)
            yield Field(path=path, type=self._type(inner), required=name in required, schema=whole)

    def _resolved(self, schema: Schema) -> Schema:
        """The schema with what it refers to, and its own description before that one's."""
        reference = _reference(schema)
        return schema if reference is None else {**self._schemas[reference], **schema}

    def _innermost(self, schema: Schema) -> Schema:
        """The schema of the items, or values, however often there are lists in lists."""
        schema = self._resolved(schema)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), Mapping):
                return self._innermost(schema[key])
        return schema

    def _type(self, schema: Schema) -> str:
        """As kubectl writes it: `[]Service`, `map[string]string`."""
        reference = _reference(schema)
        if reference is not None:
            return reference.rpartition(".")[2]
        if isinstance(schema.get("items"), Mapping):
            return f"[]{self._type(schema['items'])}"
        if isinstance(schema.get("additionalProperties"), Mapping):
            return f"map[string]{self._type(schema['additionalProperties'])}"
        return str(schema.get("type", "any" if schema.get(_ANYTHING) else "object"))


def text_of(explainer: Explainer, field: Field, *, recursive: bool) -> str:
    """For people."""
    lines = [f"KIND:  {explainer.kind}"]
    if field.path:
        lines.append(f"FIELD: {field.path} <{field.type}>{' -required-' if field.required else ''}")
    lines += ["", *textwrap.wrap(field.description, _WIDTH), *field.rules()]
    inside = list(_tree(explainer, field, 1) if recursive else _list(explainer, field))
    return "\n".join([*lines, *(["", "FIELDS:", *inside] if inside else [])])


def data_of(explainer: Explainer, field: Field, *, recursive: bool, depth: int = 0) -> dict[str, Any]:
    """For programs: with the fields in it, and with `recursive` those in them."""
    told: dict[str, Any] = {
        "name": field.name or explainer.kind,
        "path": field.path,
        "type": field.type,
        "required": field.required,
        "description": field.description,
    }
    told |= {key: field.schema[key] for key in _SHOWN if key in field.schema}
    if recursive or depth == 0:
        inside = explainer.within(field)
        told["fields"] = [data_of(explainer, one, recursive=recursive, depth=depth + 1) for one in inside]
    return told


def _list(explainer: Explainer, field: Field) -> Iterator[str]:
    for inner in explainer.within(field):
        yield _head(inner, 1)
        yield from (f"      {line}" for line in textwrap.wrap(inner.description, _WIDTH - 6))
        yield from (f"      {line}" for line in inner.rules())


def _tree(explainer: Explainer, field: Field, depth: int) -> Iterator[str]:
    for inner in explainer.within(field):
        yield _head(inner, depth)
        yield from _tree(explainer, inner, depth + 1)


def _head(field: Field, depth: int) -> str:
    return f"{'  ' * depth}{field.name} <{field.type}>{' -required-' if field.required else ''}"


def _reference(schema: Schema) -> str | None:
    """The name of the schema that this one stands for."""
    target = schema.get("$ref") or next((part.get("$ref") for part in schema.get("allOf", ())), None)
    return None if target is None else str(target).removeprefix(_REFERENCE)


def _is_kind(schema: Schema, kind: str) -> bool:
    return any(gvk.get("kind") == kind for gvk in schema.get("x-kubernetes-group-version-kind", ()))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
