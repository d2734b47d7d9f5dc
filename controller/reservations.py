"""Ids that a caller chose stay taken for a while after the command was removed (contract C-8).

Those that the server mints need no memory: their numbers never come twice.
"""

from datetime import datetime, timedelta

from pydantic import JsonValue

from controller.resources.command import Command
from controller.resources.meta import ObjectMeta, Resource
from controller.resources.record import Record
from controller.store.base import Create


def reserving(command: Command) -> tuple[Create, ...]:
    """What keeps a removed command's id taken: nothing where the server minted it."""
    if not command.status.digest:
        return ()
    data: dict[str, JsonValue] = {"digest": command.status.digest}
    return (Create(obj=Record(kind="Reservation", metadata=ObjectMeta(name=command.name), data=data)),)


def expired(record: Resource, now: datetime, kept: timedelta) -> bool:
    """Whether the id may be taken again."""
    since = record.metadata.creation_timestamp
    return since is not None and now - since >= kept
