"""The two shapes of an event, and what a field selector sees of it."""

import re
from typing import Any, Final

from api.errors import bad_request
from api.kube.selection import check_count

CORE: Final = "v1"
GROUPED: Final = "events.k8s.io/v1"

_RENAMED: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "count": "deprecatedCount",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "source": "deprecatedSource",
}
"""core/v1 → events.k8s.io/v1; what is not here has one name in both."""
_BACK: Final = {new: old for old, new in _RENAMED.items()}

FIELDS: Final = (
    "involvedObject.apiVersion",
    "involvedObject.fieldPath",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.uid",
    "metadata.name",
    "metadata.namespace",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
"""What can be selected, as in Kubernetes; `regarding` for `involvedObject` in the newer shape."""


def shaped(core: dict[str, Any], version: str) -> dict[str, Any]:
    """An event of core/v1 in the shape of that version."""
    if version == CORE:
        return core
    return {**renamed(core), "apiVersion": GROUPED}


def renamed(core: dict[str, Any]) -> dict[str, Any]:
    """The same values under the names of the newer shape."""
    return {_RENAMED.get(key, key): value for key, value in core.items()}


def to_core(event: dict[str, Any], version: str) -> dict[str, Any]:
    """An event in the shape of that version as core/v1."""
    if version == CORE:
        return event
    return {**{_BACK.get(key, key): value for key, value in event.items()}, "apiVersion": CORE}


_REQUIREMENT: Final = rf"(?:{'|'.join(map(re.escape, FIELDS))})(?:=|==|!=)[A-Za-z0-9._-]*"
PATTERN: Final = rf"^{_REQUIREMENT}(?:,{_REQUIREMENT})*$"
"""Field selectors in their usual form."""


class FieldSelector:
    """`involvedObject.name=n1,type!=Normal`: all of it must hold."""

    def __init__(self, text: str | None) -> None:
        """Raises APIError (400)."""
        parts = [part for part in (text or "").split(",") if part.strip()]
        check_count(len(parts))
        self._requirements = [_requirement(part) for part in parts]

    def exactly(self, field: str) -> str | None:
        """The value that a field must have, if there is one."""
        return next((v for f, wanted, v in self._requirements if f == field and wanted), None)

    def matches(self, core: dict[str, Any]) -> bool:
        """Whether an event of core/v1 is selected."""
        return all((_field(core, field) == value) == wanted for field, wanted, value in self._requirements)


def _requirement(part: str) -> tuple[str, bool, str]:
    for operator, wanted in (("!=", False), ("==", True), ("=", True)):
        field, found, value = part.partition(operator)
        if found:
            field = field.strip().replace("regarding.", "involvedObject.", 1)
            if field not in FIELDS:
                break
            return field, wanted, value.strip()
    raise bad_request(f"fieldSelector: {part[:80]!r} cannot be selected; there are {', '.join(FIELDS)}")


def _field(core: dict[str, Any], field: str) -> str:
    if field == "source":
        field = "source.component"
    value: Any = core
    for key in field.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
