"""What servers tell each other of services, so that each of them can say how they are: as written, and as read.

Until when something holds is monotonic time, which no two servers share: it is told as the seconds that are left.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydantic import Field, TypeAdapter, ValidationError

from controller.bulletin import JSON, Value
from controller.resources.service import ServiceStatus
from controller.resources.types import Model, Timestamp, rfc3339
from controller.services.health import Health

HEALTH: Final = "services.health"
FOUND: Final = "services.found"

_HEALTHS: Final = TypeAdapter(dict[str, Health])


class FoundPost(Model):
    """All that was found on a node, when, and for how many seconds more it is known to be there."""

    services: tuple[ServiceStatus, ...] = Field(max_length=100_000)
    at: Timestamp
    valid_for: float


def written_health(services: Mapping[str, Health], now: float) -> Value:
    """How a node's services are, by id."""
    return {"services": {name: _written(health, now) for name, health in services.items()}}


def _written(health: Health, now: float) -> JSON:
    """As `_HEALTHS` reads it; by hand, since that is done after every check."""
    return {
        "phase": health.phase,
        "message": health.message,
        "good": health.good,
        "bad": health.bad,
        "checked_at": None if health.checked_at is None else rfc3339(health.checked_at),
        "latency": health.latency,
        "valid_until": health.valid_until - now,
    }


def read_health(value: Value, now: float) -> dict[str, Health] | None:
    """The same at another server; None for what another version of it has written."""
    try:
        told = _HEALTHS.validate_python(value.get("services"))
    except ValidationError:
        return None
    return {name: replace(health, valid_until=health.valid_until + now) for name, health in told.items()}


def written_found(found: FoundPost) -> Value:
    """What was found on a node."""
    return dict(found.model_dump(mode="json"))


def read_found(value: Value) -> FoundPost | None:
    """The same at another server; None for what another version of it has written."""
    try:
        return FoundPost.model_validate(value, strict=False)
    except ValidationError:
        return None
