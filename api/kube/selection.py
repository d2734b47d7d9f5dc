"""What a list or a watch is narrowed to: labels, and the one field selector there is, `metadata.name`."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from api.errors import bad_request
from api.parameters import text
from controller.resources.meta import Resource
from controller.store.selector import Selector

_FIELD: Final = "metadata.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Both must hold; None selects everything."""

    labels: Selector | None = None
    name: str | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.labels is None and self.name is None

    def has_name(self, obj: Resource) -> bool:
        """Whether the name is the one that was selected."""
        return self.name is None or obj.name == self.name

    def matches(self, obj: Resource) -> bool:
        """Whether the object is selected."""
        return self.has_name(obj) and (self.labels is None or self.labels.matches(obj.metadata.labels))


def selection_of(request: Request) -> Selection:
    """The selection asked for. Raises SelectorError and APIError (400)."""
    labels, fields = text(request, "labelSelector"), text(request, "fieldSelector")
    return Selection(labels=None if labels is None else Selector.parse(labels), name=_name(fields))


def _name(fields: str | None) -> str | None:
    if fields is None:
        return None
    key, _, value = fields.partition("=")
    if key != _FIELD or not value:
        raise bad_request(f"fieldSelector: only {_FIELD}=NAME is supported")
    return value.removeprefix("=")
