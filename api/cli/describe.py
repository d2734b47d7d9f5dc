"""`describe`: an object as an indented text for people."""

from collections.abc import Iterator
from typing import Any, Final

from api.cli.kinds import name_of
from api.cli.tables import Object, age, line, now, widths_of
from api.escape import escape

_TABLES: Final = {"conditions", "marks"}
"""What is shown as tables at the end: `marks` are part of the timeline."""


def described(obj: Object, timeline: Object | None = None) -> str:
    """The whole object, conditions and a command's timeline as tables, times with how long ago they were."""
    metadata = obj.get("metadata", {})
    head: Object = {"Name": name_of(obj), "Kind": obj.get("kind")}
    for title, key in (("Labels", "labels"), ("Annotations", "annotations"), ("Created", "creationTimestamp")):
        if metadata.get(key):
            head[title] = _without_notes(metadata[key])
    status = {key: value for key, value in (obj.get("status") or {}).items() if key not in _TABLES}
    lines = [*_block(head, 0), *_block({"Spec": obj.get("spec") or {}, "Status": status}, 0)]
    conditions = (obj.get("status") or {}).get("conditions") or []
    phases = (timeline or {}).get("phases") or []
    return "\n".join([*lines, *_conditions(conditions), *_phases(phases)])


def _without_notes(value: Any) -> Any:
    """Annotations without those that tools leave for themselves."""
    if not isinstance(value, dict):
        return value
    return {key: text for key, text in value.items() if "last-applied-configuration" not in key}


def _block(data: Object, indent: int) -> Iterator[str]:
    width = max((len(_heading(key)) for key in data), default=0) + 1
    for key, value in data.items():
        head = "  " * indent + escape(_heading(key)) + ":"
        if isinstance(value, dict) and value:
            yield head
            yield from _block(value, indent + 1)
        elif isinstance(value, list) and value:
            yield head
            yield from _items(value, indent + 1)
        elif isinstance(value, str) and "\n" in value.strip("\n"):
            yield head
            yield from ("  " * (indent + 1) + escape(text) for text in value.splitlines())
        else:
            yield head.ljust(width + 2 * indent) + " " + _plain(value)


def _items(values: list[Any], indent: int) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            inner = list(_block(value, indent + 1))
            yield "  " * indent + "- " + inner[0].lstrip() if inner else "  " * indent + "-"
            yield from inner[1:]
        else:
            yield "  " * indent + "- " + _plain(value)


def _heading(key: str) -> str:
    return key


def _plain(value: Any) -> str:
    if value in (None, "", {}, []):
        return "<none>"
    if isinstance(value, str) and (ago := age(value, now()) if value.endswith("Z") else ""):
        return f"{escape(value)} ({ago} ago)"
    return escape(str(value).lower() if isinstance(value, bool) else str(value))


def _conditions(conditions: list[Object]) -> Iterator[str]:
    if not conditions:
        return
    rows: list[list[Any]] = [["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"]]
    for condition in conditions:
        since = age(condition.get("lastTransitionTime"), now())
        rows.append([condition.get("type"), condition.get("status"), since, *_why(condition)])
    yield "Conditions:"
    yield from _table(rows)


def _phases(phases: list[Object]) -> Iterator[str]:
    """Each phase with when it began and how long it lasted; the last one of a command that goes on still lasts."""
    if not phases:
        return
    rows: list[list[Any]] = [["PHASE", "SINCE", "LASTED", "REASON", "MESSAGE"]]
    for phase in phases:
        rows.append([phase.get("phase"), phase.get("time"), phase.get("duration"), *_why(phase)])
    yield "Timeline:"
    yield from _table(rows)


def _why(entry: Object) -> list[Any]:
    return [entry.get("reason"), entry.get("message")]


def _table(rows: list[list[Any]]) -> Iterator[str]:
    texts = [[escape(str(text)) if text else "-" for text in row] for row in rows]
    widths = widths_of(texts)
    yield from ("  " + line(cells, widths) for cells in texts)
