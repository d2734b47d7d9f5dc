"""Ids of removed commands stay taken for a while (contract C-8)."""

from datetime import datetime, timedelta

from controller.resources.command import Command
from controller.resources.meta import ObjectMeta, Resource
from controller.resources.record import Record


def reservation(command: Command) -> Record:
    """What keeps a removed command's id taken."""
    return Record(kind="Reservation", metadata=ObjectMeta(name=command.name), data={"digest": command.status.digest})


def expired(record: Resource, now: datetime, kept: timedelta) -> bool:
    """Whether the id may be taken again."""
    since = record.metadata.creation_timestamp
    return since is not None and now - since >= kept
