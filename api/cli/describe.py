"""`describe`: an object as an indented text for people."""

from collections.abc import Iterator
from typing import Any

from api.cli.kinds import name_of
from api.cli.tables import Object, age, line, now, widths_of
from api.escape import escape


def described(obj: Object) -> str:
    """The whole object, conditions as a table, times with how long ago they were."""
    metadata = obj.get("metadata", {})
    head: Object = {"Name": name_of(obj), "Kind": obj.get("kind")}
    for title, key in (("Labels", "labels"), ("Annotations", "annotations"), ("Created", "creationTimestamp")):
        if metadata.get(key):
            head[title] = _without_notes(metadata[key])
    status = {key: value for key, value in (obj.get("status") or {}).items() if key != "conditions"}
    lines = [*_block(head, 0), *_block({"Spec": obj.get("spec") or {}, "Status": status}, 0)]
    conditions = (obj.get("status") or {}).get("conditions") or []
    return "\n".join([*lines, *_conditions(conditions)])


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
    rows = [["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"]]
    for condition in conditions:
        since = age(condition.get("lastTransitionTime"), now())
        texts = [
            condition.get("type"),
            condition.get("status"),
            since,
            condition.get("reason"),
            condition.get("message"),
        ]
        rows.append([escape(str(text)) if text else "-" for text in texts])
    widths = widths_of(rows)
    yield "Conditions:"
    yield from ("  " + line(cells, widths) for cells in rows)
