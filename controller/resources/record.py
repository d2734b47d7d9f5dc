"""Small objects of the server's own: not resources of an API, stored and watched like all others."""

from typing import Literal

from pydantic import Field, JsonValue

from controller.resources.meta import Resource

RecordKind = Literal["HostKeyPin", "Counter", "Reservation", "TokenRevocation", "Event"]


class Record(Resource):
    """A named bag of facts. `HostKeyPin`: keys by `address:port`. `Counter`: a high-water mark. `Reservation`: a
    command id that stays taken. `TokenRevocation`: a token id that no longer counts. `Event`: what somebody else
    has reported about an object, for Kubernetes' clients.
    """

    kind: RecordKind
    data: dict[str, JsonValue] = Field(default_factory=dict)
