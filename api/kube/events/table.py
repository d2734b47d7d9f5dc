"""Events as rows of a table, as `kubectl get events` shows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.kube.age import age
from api.kube.negotiation import Form

Core = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    name: str
    description: str
    cell: Callable[[Core, datetime], str]
    priority: int = 0


def _since(at: Any, now: datetime) -> str:
    """How long ago an event's time was."""
    try:
        return age((now - datetime.fromisoformat(str(at))).total_seconds())
    except (TypeError, ValueError):
        return "<unknown>"


def _last(core: Core, now: datetime) -> str:
    series = core.get("series") or {}
    return _since(series.get("lastObservedTime") or core.get("lastTimestamp") or core.get("eventTime"), now)


def _first(core: Core, now: datetime) -> str:
    return _since(core.get("firstTimestamp") or core.get("eventTime"), now)


def _object(core: Core, _now: datetime) -> str:
    about = core.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _source(core: Core, _now: datetime) -> str:
    return str((core.get("source") or {}).get("component") or core.get("reportingComponent") or "")


def _text(field: str) -> Callable[[Core, datetime], str]:
    return lambda core, _now: str(core.get(field) or "").strip()


_COLUMNS: Final = (
    _Column(name="Last Seen", description="Time since it was last seen.", cell=_last),
    _Column(name="Type", description="Normal or Warning.", cell=_text("type")),
    _Column(name="Reason", description="Why, as a constant.", cell=_text("reason")),
    _Column(name="Object", description="What it is about.", cell=_object),
    _Column(name="Source", description="Who reports it.", cell=_source, priority=1),
    _Column(name="Message", description="What happened.", cell=_text("message")),
    _Column(name="First Seen", description="Time since it was first seen.", cell=_first, priority=1),
    _Column(name="Count", description="How often.", cell=lambda core, _: str(core.get("count") or 1), priority=1),
    _Column(
        name="Name", description="The event's name.", cell=lambda core, _: str(core["metadata"]["name"]), priority=1
    ),
)


def table(form: Form, meta: Mapping[str, Any], events: Sequence[Core], now: datetime) -> dict[str, Any]:
    """A table of these events; a row holds its event's metadata."""
    return {
        "kind": "Table",
        "apiVersion": form.api_version,
        "metadata": meta,
        "columnDefinitions": [
            {
                "name": column.name,
                "type": "string",
                "format": "name" if column.name == "Name" else "",
                "description": column.description,
                "priority": column.priority,
            }
            for column in _COLUMNS
        ],
        "rows": [
            {"cells": [column.cell(core, now) for column in _COLUMNS], "object": partial(form, core)}
            for core in events
        ],
    }


def partial(form: Form, core: Core) -> dict[str, Any]:
    """An event's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": form.api_version, "metadata": core["metadata"]}
