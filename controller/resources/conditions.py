"""Conditions: the latest observations of an object's state, one of each type."""

from collections.abc import Container, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from controller.resources.types import Model, Text, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One observation. `reason` is a CamelCase constant, `message` a sentence for people."""

    type: str
    status: ConditionStatus
    reason: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    message: Text = ""
    last_transition_time: Timestamp
    observed_generation: int | None = None


Conditions = tuple[Condition, ...]


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type, if it is there."""
    return next((c for c in conditions if c.type == kind), None)


@lru_cache(maxsize=256)
def _shape(kind: str, status: ConditionStatus, reason: str) -> Condition:
    """A condition to copy: its constants are checked once."""
    return Condition(type=kind, status=status, reason=reason, last_transition_time=datetime.min.replace(tzinfo=UTC))


def with_condition(
    conditions: Conditions, kind: str, status: ConditionStatus, reason: str, message: str, now: datetime
) -> Conditions:
    """The same conditions with this one set; its transition time moves only when its status does."""
    old = find(conditions, kind)
    since = old.last_transition_time if old is not None and old.status == status else now
    new = _shape(kind, status, reason).model_copy(update={"message": message, "last_transition_time": since})
    if old == new:
        return conditions
    rest = [c for c in conditions if c.type != kind]
    return tuple(sorted([*rest, new], key=lambda c: c.type))


def shared(own: Container[str], controllers: Iterable[Condition], others: Iterable[Condition]) -> Conditions:
    """The controller's conditions, which are those of the types `own`, and those of everybody else."""
    kept = (c for c in controllers if c.type in own)
    theirs = (c for c in others if c.type not in own)
    return tuple(sorted((*kept, *theirs), key=lambda c: c.type))
