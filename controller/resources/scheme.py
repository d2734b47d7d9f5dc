"""The scheme: which kinds there are, what they are called in paths, and how their bytes become objects.

Stored bytes carry `SCHEMA`, the version of the shape that they were written in. A newer server converts older
shapes here, in one place; bytes of a newer shape are refused. Fields and kinds that are added make no new shape: a
server that does not know them leaves them as they are.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from controller.resources import newer
from controller.resources.command import Command
from controller.resources.jointoken import JoinToken
from controller.resources.meta import Resource
from controller.resources.node import Node
from controller.resources.record import Record
from controller.resources.types import COMMAND_ID, NODE_ID

SCHEMA: Final = 1


class SchemaTooNew(Exception):
    """The stored bytes were written by a newer version of this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of resource. `plural` is None for internal kinds, which no API shows."""

    name: str
    model: type[Resource]
    name_pattern: re.Pattern[str]
    plural: str | None = None
    short_names: tuple[str, ...] = ()


_ANY = re.compile(r"[^\x00]{1,512}")

KINDS: Final[dict[str, Kind]] = {
    k.name: k
    for k in (
        Kind(name="Node", model=Node, name_pattern=NODE_ID, plural="nodes", short_names=("vn",)),
        Kind(name="Command", model=Command, name_pattern=COMMAND_ID, plural="commands", short_names=("vcmd",)),
        Kind(name="HostKeyPin", model=Record, name_pattern=_ANY),
        Kind(name="Counter", model=Record, name_pattern=_ANY),
        Kind(name="Reservation", model=Record, name_pattern=_ANY),
        Kind(name="TokenRevocation", model=Record, name_pattern=_ANY),
        Kind(name="Event", model=Record, name_pattern=_ANY),
        Kind(name="JoinToken", model=JoinToken, name_pattern=_ANY),
    )
}

BY_PLURAL: Final[dict[str, Kind]] = {k.plural: k for k in KINDS.values() if k.plural is not None}


def encode(obj: Resource) -> bytes:
    """The bytes that are stored: JSON in camelCase, defaults filled in, so that a later default changes nothing.

    Raises ValueError for an object with a field of another type than its model's, as a careless copy can have.
    """
    body: bytes = obj.__pydantic_serializer__.to_json(obj, by_alias=True, warnings="error")
    unknown = newer.kept(obj)
    return newer.rejoin(body, unknown) if unknown else body


def decode(kind: str, schema: int, body: bytes) -> Resource:
    """Bytes from the store back to an object. Raises SchemaTooNew for a shape from the future, ValueError for others.

    Of a kind that this version does not know, only the metadata is read.
    """
    if schema > SCHEMA:
        raise SchemaTooNew(
            f"a stored {kind} has schema version {schema}, this server knows {SCHEMA}: use the newer version again"
        )
    model = KINDS[kind].model if kind in KINDS else Resource
    with suppress(ValidationError):
        obj = model.model_validate_json(body)
        if obj.kind == kind:
            return obj
    fields = json.loads(body)
    fields["kind"] = kind
    try:
        return model.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        return newer.read(model, fields, error)
