"""Label selectors: Kubernetes' grammar (`env=dev,tier!=db,zone in (a,b),!legacy`), parsed once, matched often."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


class SelectorError(ValueError):
    """The selector does not parse; the message shows where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it. As in Kubernetes, `!=` and `notin` also match when the key is absent."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """All requirements must hold; none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Parse the grammar of `kubectl -l`. Raises SelectorError."""
        raise NotImplementedError

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether every requirement holds."""
        return all(r.matches(labels) for r in self.requirements)
