"""Tables for people: plain columns that also suit grep and awk, one line an object."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from api.cli.kinds import Kind, name_of
from api.escape import escape

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading, and how to get its value out of an object. `wide` ones show with `-o wide` only."""

    heading: str
    value: Callable[[Object, datetime], Any]
    wide: bool = False


def _at(*path: str) -> Callable[[Object, datetime], Any]:
    def value(obj: Object, _now: datetime) -> Any:
        found: Any = obj
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return value


def _age_of(*path: str) -> Callable[[Object, datetime], str]:
    get = _at(*path)
    return lambda obj, now: age(get(obj, now), now)


def _ready(obj: Object, _now: datetime) -> str:
    conditions = obj.get("status", {}).get("conditions") or []
    return next((str(c.get("status")) for c in conditions if c.get("type") == "Ready"), "Unknown")


def _labels(obj: Object, _now: datetime) -> str:
    labels = obj.get("metadata", {}).get("labels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _action(obj: Object, _now: datetime) -> str:
    spec = obj.get("spec", {})
    argv = spec.get("params", {}).get("argv")
    return str(spec.get("action") or " ".join(argv or ()))[:60]


_NAME = Column(heading="NAME", value=lambda obj, _now: name_of(obj))
_AGE = Column(heading="AGE", value=_age_of("metadata", "creationTimestamp"))
COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Node": (
        _NAME,
        Column(heading="STATUS", value=_at("status", "phase")),
        Column(heading="READY", value=_ready),
        Column(heading="PROVIDER", value=_at("spec", "provider")),
        Column(heading="ADDRESS", value=_at("spec", "address")),
        _AGE,
        Column(heading="PORT", value=_at("spec", "port"), wide=True),
        Column(heading="LAST-SEEN", value=_age_of("status", "lastSeen"), wide=True),
        Column(heading="LABELS", value=_labels, wide=True),
    ),
    "Service": (
        Column(heading="NODE", value=_at("spec", "node")),
        _NAME,
        Column(heading="TITLE", value=_at("spec", "displayName")),
        Column(heading="STATUS", value=_at("status", "status")),
        Column(heading="TYPE", value=_at("spec", "type")),
        Column(heading="PORT", value=_at("spec", "port")),
        Column(heading="CHECKED", value=_age_of("status", "lastCheck")),
        Column(heading="MESSAGE", value=_at("status", "message")),
        Column(heading="SOURCE", value=_at("spec", "source"), wide=True),
        Column(heading="STALE", value=lambda o, _: "yes" if o["status"].get("stale") else "no", wide=True),
        Column(heading="LATENCY", value=_at("status", "latency"), wide=True),
        Column(heading="ENDPOINT", value=_at("spec", "endpoint"), wide=True),
    ),
    "Command": (
        _NAME,
        Column(heading="NODE", value=_at("spec", "node")),
        Column(heading="STATUS", value=_at("status", "phase")),
        Column(heading="REASON", value=_at("status", "reason")),
        Column(heading="EXIT", value=_at("status", "exitCode")),
        _AGE,
        Column(heading="DURATION", value=_at("status", "duration"), wide=True),
        Column(heading="REQUESTED-BY", value=_at("status", "requestedBy"), wide=True),
        Column(heading="ACTION", value=_action, wide=True),
    ),
}


def columns_of(kind: Kind, *, wide: bool) -> tuple[Column, ...]:
    """The columns to show."""
    return tuple(column for column in COLUMNS[kind.name] if wide or not column.wide)


def headings(columns: Sequence[Column]) -> list[str]:
    """The first row."""
    return [column.heading for column in columns]


def row(obj: Object, columns: Sequence[Column], now: datetime) -> list[str]:
    """An object's cells; what is not there is a dash."""
    values = (column.value(obj, now) for column in columns)
    return ["-" if value is None or value == "" else escape(str(value)) for value in values]


def widths_of(rows: Iterable[Sequence[str]]) -> list[int]:
    """How wide each column must be."""
    return [max(map(len, cells)) for cells in zip(*rows, strict=True)]


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A row as a line; a cell that is too wide pushes the others on."""
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "   ".join(padded).rstrip()


def age(time: Any, now: datetime) -> str:
    """How long ago that was, in at most two units: `45s`, `12m`, `3h20m`, `2d4h`."""
    try:
        seconds = max(0, int((now - datetime.fromisoformat(str(time))).total_seconds()))
    except (ValueError, TypeError):
        return ""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if hours < 3:
        return f"{minutes}m"
    if days < 2:
        return f"{hours}h{minutes % 60}m" if minutes % 60 and hours < 10 else f"{hours}h"
    return f"{days}d{hours % 24}h" if hours % 24 and days < 8 else f"{days}d"


def in_order(items: list[Object]) -> list[Object]:
    """Commands with the newest last, for their names say nothing; other kinds as the server has them."""
    return sorted(items, key=_made) if all(item.get("kind") == "Command" for item in items) else items


def _made(command: Object) -> tuple[str, datetime, str]:
    metadata = command.get("metadata", {})
    try:
        queued = datetime.fromisoformat(str(command.get("status", {}).get("queued")))
    except ValueError:
        queued = datetime.max.replace(tzinfo=UTC)
    return str(metadata.get("creationTimestamp") or ""), queued, name_of(command)


def now() -> datetime:
    """The time on this machine."""
    return datetime.now(UTC)
