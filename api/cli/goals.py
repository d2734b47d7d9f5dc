"""What `wait` can wait for, as pure functions of an object: a condition, a value at a path, or that it is gone."""

import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

from api.cli.errors import Misused
from api.cli.tables import Object

_STEP: Final = re.compile(
    r"""\.(?P<key>[A-Za-z0-9_-]+)|\[(?P<index>[0-9]{1,9})\]|\[(?P<quote>['"])(?P<quoted>.+?)(?P=quote)\]"""
)
_FORMS: Final = "condition=TYPE[=STATUS], jsonpath={.PATH}[=VALUE] or delete"
_NOTHING: Final = object()


class Goal(Protocol):
    """What must be true of an object; None: there is none of that name."""

    def met(self, obj: Object | None) -> bool:
        """Whether it is true."""

    def told(self, obj: Object | None) -> str:
        """How it is instead, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition has a status. As for kubectl, neither heeds case."""

    type: str
    status: str = "True"

    def met(self, obj: Object | None) -> bool:
        """Whether it has."""
        found = self._find(obj)
        return found is not None and str(found.get("status", "")).lower() == self.status.lower()

    def told(self, obj: Object | None) -> str:
        """Its status and the reason."""
        found = self._find(obj)
        if obj is None or found is None:
            return "it does not exist" if obj is None else f"it has no condition {self.type}"
        why = ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
        return f"{found.get('type')} is {found.get('status')}" + (f" ({why})" if why else "")

    def _find(self, obj: Object | None) -> Object | None:
        conditions = ((obj or {}).get("status") or {}).get("conditions") or []
        return next((c for c in conditions if str(c.get("type", "")).lower() == self.type.lower()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """There is a value at a path; if one is named, that one."""

    path: str
    steps: tuple[str | int, ...]
    value: str | None = None

    def met(self, obj: Object | None) -> bool:
        """Whether it is there."""
        found = _at(obj, self.steps)
        return found is not _NOTHING and self.value in {None, _text(found)}

    def told(self, obj: Object | None) -> str:
        """What is there."""
        if obj is None:
            return "it does not exist"
        found = _at(obj, self.steps)
        return f"there is nothing at {self.path}" if found is _NOTHING else f"{self.path} is {_text(found)[:200]}"


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such object."""

    def met(self, obj: Object | None) -> bool:
        """Whether it is gone."""
        return obj is None

    def told(self, obj: Object | None) -> str:
        """That it is not."""
        return "it is still there" + (", marked for deletion" if _at(obj, _DELETION) is not _NOTHING else "")


_DELETION: Final = ("metadata", "deletionTimestamp")


def goal_of(text: str) -> Goal:
    """What `--for` asks for. Raises Misused."""
    kind, _, rest = text.partition("=")
    if text == "delete":
        return Gone()
    if kind == "condition" and rest:
        name, _, status = rest.partition("=")
        if name:
            return Condition(type=name, status=status or "True")
    if kind == "jsonpath":
        return _value(rest)
    raise Misused(f"--for: {text!r} is not {_FORMS}")


def _value(text: str) -> Value:
    path, _, value = (part.strip() for part in _split(text))
    inner = path.removeprefix("{").removesuffix("}")
    inner = inner if inner.startswith((".", "[")) else f".{inner}"
    steps, end = list[str | int](), 0
    while found := _STEP.match(inner, end):
        steps.append(int(found["index"]) if found["index"] else found["key"] or found["quoted"])
        end = found.end()
    if end != len(inner) or not steps:
        raise Misused(f"--for: {path!r} is not a path of keys and indices such as {{.status.conditions[0].reason}}")
    return Value(path=f"{{{inner}}}", steps=tuple(steps), value=_unquoted(value) if value else None)


def _split(text: str) -> tuple[str, str, str]:
    """The path and the value: an equals sign within braces is the path's."""
    if text.startswith("{") and "}" in text:
        end = text.index("}") + 1
        return text[:end], text[end : end + 1], text[end + 1 :]
    return text.partition("=")


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _at(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        within = (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if not within:
            return _NOTHING
        value = value[step]
    return value


def _text(value: Any) -> str:
    """A value as somebody writes it on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)
