"""Label selectors: Kubernetes' grammar (`env=dev,tier!=db,zone in (a,b),!legacy`), parsed once, matched often.

    selector    = [ requirement { "," requirement } ]
    requirement = "!" key | key [ ("=" | "==" | "!=") [ value ] | (">" | "<") integer | ("in" | "notin") values ]
    values      = "(" [ value ] { "," [ value ] } ")"

Blanks may stand between any two words. Keys and values have the syntax of labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from controller.resources.meta import Labels

MOST: Final = 100
"""Requirements of one selector: each is asked of each object."""
Operator = Literal["in", "notin", "exists", "absent", "gt", "lt"]


class SelectorError(ValueError):
    """The selector does not parse; the message shows where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it. As in Kubernetes, `!=` and `notin` also match when the key is absent."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case "gt" | "lt":
                return value is not None and self._beyond(value)

    def _beyond(self, value: str) -> bool:
        (bound,) = self.values
        if not _INTEGER.fullmatch(value):
            return False
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """All requirements must hold; none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Parse the grammar of `kubectl -l`. Raises SelectorError."""
        return cls(requirements=_Parser(text).selector())

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether every requirement holds."""
        for requirement in self.requirements:  # noqa: SIM110 - half the time of all(), for each of many objects
            if not requirement.matches(labels):
                return False
        return True


_INTEGER = re.compile(r"-?[0-9]{1,18}")
_TOKEN = re.compile(r"\s*(?:(?P<symbol>==|!=|[=!(),<>])|(?P<word>[^\s=!(),<>]+)|(?P<end>$))")
_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str
    at: int
    word: bool = False


def _tokens(text: str) -> list[_Token]:
    """All tokens; the last one is the end, an empty text."""
    found = []
    for match in _TOKEN.finditer(text):
        group = match.lastgroup or "end"
        found.append(_Token(text=match[group], at=match.start(group), word=group == "word"))
    return found


class _Parser:
    """Recursive descent over the tokens; a method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    def selector(self) -> tuple[Requirement, ...]:
        requirements = []
        if self._peek().text or self._peek().word:
            requirements.append(self._requirement())
        while self._peek().text:
            self._expect(",")
            requirements.append(self._requirement())
            if len(requirements) > MOST:
                raise SelectorError(f"a selector has at most {MOST} requirements")
        return tuple(requirements)

    def _requirement(self) -> Requirement:
        if self._accept("!"):
            return Requirement(key=self._key(), operator="absent")
        key = self._key()
        operator = self._peek()
        if operator.text in {"", ","}:
            return Requirement(key=key, operator="exists")
        self._next += 1
        match operator.text:
            case "=" | "==":
                return Requirement(key=key, operator="in", values=frozenset({self._value(key)}))
            case "!=":
                return Requirement(key=key, operator="notin", values=frozenset({self._value(key)}))
            case ">" | "<":
                name: Operator = "gt" if operator.text == ">" else "lt"
                return Requirement(key=key, operator=name, values=frozenset({self._integer()}))
            case "in":
                return Requirement(key=key, operator="in", values=self._values(key))
            case "notin":
                return Requirement(key=key, operator="notin", values=self._values(key))
        raise self._error(operator, "expected an operator (=, ==, !=, in, notin, >, <) or a comma")

    def _key(self) -> str:
        token = self._take()
        if not token.word:
            raise self._error(token, "expected a label key")
        self._check(token, {token.text: ""})
        return token.text

    def _value(self, key: str) -> str:
        """A value; none at all is the empty one."""
        if not self._peek().word:
            return ""
        token = self._take()
        self._check(token, {key: token.text})
        return token.text

    def _integer(self) -> str:
        token = self._take()
        if not _INTEGER.fullmatch(token.text):
            raise self._error(token, "expected an integer")
        return token.text

    def _values(self, key: str) -> frozenset[str]:
        self._expect("(")
        values = {self._value(key)}
        while self._accept(","):
            values.add(self._value(key))
        self._expect(")")
        return frozenset(values)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek()
        if token.text:
            self._next += 1
        return token

    def _accept(self, symbol: str) -> bool:
        if self._peek().text != symbol:
            return False
        self._next += 1
        return True

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise self._error(self._peek(), f"expected {symbol!r}")

    def _check(self, token: _Token, labels: dict[str, str]) -> None:
        try:
            _LABELS.validate_python(labels)
        except ValidationError as error:
            reason = str(error.errors()[0].get("ctx", {}).get("error", "not a valid label"))
            raise self._error(token, reason) from None

    def _error(self, token: _Token, reason: str) -> SelectorError:
        start = max(0, token.at - _SHOWN // 2)
        shown = self._text[start : start + _SHOWN]
        found = f"found {token.text[:80]!r}" if token.text else "found the end"
        return SelectorError(f"selector {shown!r}: {reason}, {found} at character {token.at + 1}")
