"""What a list or a watch is narrowed to: by labels, and by the few fields that each kind has a selector for."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from api.errors import bad_request
from api.kube.kinds import Served
from api.parameters import text
from controller.resources.meta import Resource
from controller.store.selector import MOST, Selector

_NAME: Final = "metadata.name"
_TERM: Final = re.compile(r"(?:[^,\\]|\\.)+")
_PARTS: Final = re.compile(r"(?P<field>[^=!\\]+)(?P<operator>==|!=|=)(?P<value>(?:[^=!\\]|\\.)*)")
_ESCAPED: Final = re.compile(r"\\(.)")
_SHOWN: Final = 100

Value = Callable[[Any], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTerm:
    """One field that has, or has not, a value."""

    field: str
    get: Value
    value: str
    equal: bool

    def matches(self, obj: Resource) -> bool:
        """Whether it holds."""
        return (self.get(obj) == self.value) is self.equal


def parse_fields(selector: str, known: Mapping[str, Value]) -> tuple[FieldTerm, ...]:
    r"""The terms of `a=x,b!=y`; `\` goes before a comma, an equals sign or itself in a value.

    Raises APIError (400) for what does not parse, and for fields that there is no selector for.
    """
    fields, terms = {_NAME: _name_of, **known}, _TERM.findall(selector)
    check_count(len(terms))
    return tuple(_term(term, fields) for term in terms)


def check_count(terms: int) -> None:
    """Raises APIError (400) for more requirements than a field selector may have."""
    if terms > MOST:
        raise bad_request(f"invalid field selector: it has at most {MOST} requirements")


def _name_of(obj: Resource) -> str:
    return obj.name


def _term(term: str, fields: Mapping[str, Value]) -> FieldTerm:
    found = _PARTS.fullmatch(term)
    if found is None:
        raise bad_request(f"invalid field selector: {term[:_SHOWN]!r} is neither FIELD=VALUE nor FIELD!=VALUE")
    name = found["field"].strip()
    if name not in fields:
        supported = ", ".join(fields)
        raise bad_request(f"field label not supported: {name[:_SHOWN]} (supported: {supported})")
    value = _ESCAPED.sub(r"\1", found["value"])
    return FieldTerm(field=name, get=fields[name], value=value, equal=found["operator"] != "!=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """All of it must hold; nothing at all selects everything."""

    labels: Selector | None = None
    fields: tuple[FieldTerm, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.labels is None and not self.fields

    @property
    def name(self) -> str | None:
        """The one name that can be in it, where that is known."""
        return next((term.value for term in self.fields if term.field == _NAME and term.equal), None)

    def has_fields(self, obj: Resource) -> bool:
        """Whether the object's fields are the selected ones."""
        return all(term.matches(obj) for term in self.fields)

    def matches(self, obj: Resource) -> bool:
        """Whether the object is selected."""
        return self.has_fields(obj) and (self.labels is None or self.labels.matches(obj.metadata.labels))


def selection_of(request: Request, served: Served) -> Selection:
    """The selection asked for. Raises SelectorError and APIError (400)."""
    labels, fields = text(request, "labelSelector"), text(request, "fieldSelector")
    return Selection(
        labels=None if labels is None else Selector.parse(labels),
        fields=() if fields is None else parse_fields(fields, served.fields),
    )
