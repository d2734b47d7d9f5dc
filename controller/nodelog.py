"""What happened to each node lately, as far as its conditions tell: what `kubectl describe` shows as events.

In memory and bounded. After a restart it begins with what the conditions still say, so nothing is written for it.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from controller.resources.conditions import Condition
from controller.resources.node import CREDENTIAL_REBIND_REQUIRED, HOST_KEY_TRUSTED, REACHABLE, Node
from controller.runtime.clock import Clock

MOST: Final = 20
"""Different things that are remembered of a node."""

_BAD: Final = {REACHABLE: "False", HOST_KEY_TRUSTED: "False", CREDENTIAL_REBIND_REQUIRED: "True"}
"""What of each is a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happened `count` times, from `first` to `last`, always for the same reason."""

    reason: str
    message: str
    warning: bool
    first: datetime
    last: datetime
    count: int = 1


@dataclass(slots=True)
class _Known:
    """What was heard of a node so far."""

    conditions: dict[str, tuple[str, str]] = field(default_factory=dict)
    cordoned: bool = False
    happenings: deque[Happening] = field(default_factory=lambda: deque(maxlen=MOST))


class NodeLog:
    """Fed with nodes as they are; what differs from the last time has happened."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nodes: dict[str, _Known] = {}

    def heard(self, node: Node) -> None:
        """Take note of a node as it is now."""
        known = self._nodes.get(node.uid)
        if known is None:
            known = self._nodes[node.uid] = _Known()
            created = node.metadata.creation_timestamp or self._clock.now()
            self._note(known, "Registered", "the node was registered", warning=False, at=created)
        for condition in node.status.conditions:
            if condition.type in _BAD:
                self._condition(known, condition)
        if node.spec.unschedulable != known.cordoned:
            known.cordoned = node.spec.unschedulable
            reason, message = _CORDON[known.cordoned]
            self._note(known, reason, message, warning=False, at=self._clock.now())

    def forget(self, uid: str) -> None:
        """The node is gone."""
        self._nodes.pop(uid, None)

    def of(self, uid: str) -> tuple[Happening, ...]:
        """What happened to the node with that uid, what is new last."""
        known = self._nodes.get(uid)
        return () if known is None else tuple(sorted(known.happenings, key=lambda h: h.last))

    def _condition(self, known: _Known, condition: Condition) -> None:
        now, before = (condition.status, condition.reason), known.conditions.get(condition.type)
        if now == before or condition.status == "Unknown":
            return
        known.conditions[condition.type] = now
        turned = before is None or before[0] != condition.status
        at = condition.last_transition_time if turned else self._clock.now()
        message = condition.message or _SENTENCES.get(condition.reason, f"{condition.type} is {condition.status}")
        self._note(known, condition.reason, message, warning=condition.status == _BAD[condition.type], at=at)

    def _note(self, known: _Known, reason: str, message: str, *, warning: bool, at: datetime) -> None:
        for index, old in enumerate(known.happenings):
            if old.reason == reason:
                again = replace(old, message=message, last=max(at, old.last), count=old.count + 1)
                known.happenings[index] = again
                return
        known.happenings.append(Happening(reason=reason, message=message, warning=warning, first=at, last=at))


_CORDON: Final = {
    True: ("Cordoned", "nothing new is delivered to the node"),
    False: ("Uncordoned", "commands are delivered to the node again"),
}
_SENTENCES: Final = {
    "ProbeSucceeded": "the node answers",
    "KeyPinned": "the node's host key is trusted",
    "CredentialBound": "the node's credential is used where it is bound",
}
