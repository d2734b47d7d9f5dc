"""Events: a change of the store as the bytes that every client gets (contract E-1, E-2, E-3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json

from api.v1.flat import command_view, node_view, service_status_view
from controller.announce import COMMAND_RESULT, NODE_REGISTERED, NODE_UNREGISTERED, NODE_UPDATED, SERVICE_UPDATED
from controller.contacts import Contacts
from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.resources.node import Node
from controller.resources.types import rfc3339
from controller.store.base import Change

INITIAL_STATE: Final = "initial_state"
RESYNC: Final = "resync"
DOCUMENTED: Final = frozenset({NODE_REGISTERED, NODE_UPDATED, NODE_UNREGISTERED, COMMAND_RESULT})
"""What a client gets that does not ask for anything else."""
KNOWN: Final = DOCUMENTED | {SERVICE_UPDATED, INITIAL_STATE, RESYNC}
"""Every type there is. The last two come to everybody, asked for or not."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `body` is its JSON, `frame` the same as an SSE frame."""

    revision: int
    type: str
    body: bytes
    frame: bytes


class Encoder:
    """Makes events. `uid` is the store's: with the revision it is the event's id, on every replica the same."""

    def __init__(self, uid: str, contacts: Contacts) -> None:
        self._uid = uid
        self._contacts = contacts

    def event(self, change: Change) -> Event | None:
        """Return the event of a change, None where nothing is announced."""
        if change.announce is None:
            return None
        return self._encode(change.announce, change.revision, change.at, self._data(change))

    def initial_state(self, nodes: Iterable[Resource], revision: int, at: datetime, *, resync: bool) -> Event:
        """Return the first event of a client. `resync`: what happened before it cannot be told any more."""
        more = {"resync": True} if resync else {}
        data = {"nodes": [self._node(node) for node in nodes if isinstance(node, Node)], **more}
        return self._encode(INITIAL_STATE, revision, at, data, more)

    def resync(self, revision: int, at: datetime) -> Event:
        """Return the last event of a client that was too slow.

        It has no id: the reconnect then names the last event that did arrive, and misses nothing.
        """
        message = "this connection was too slow and is closed now: connect again"
        body = to_json({"type": RESYNC, "timestamp": rfc3339(at), "data": {"message": message}})
        return Event(revision, RESYNC, body, b"data: " + body + b"\n\n")

    def revision_of(self, event_id: str) -> int | None:
        """Return the revision in an event's id, None for an id of another history or none at all."""
        uid, _, revision = event_id.rpartition("-")
        if uid != self._uid or not revision.isdecimal() or not revision.isascii() or len(revision) > 18:
            return None
        return int(revision)

    def _data(self, change: Change) -> dict[str, Any]:
        obj = change.obj
        if isinstance(obj, Command):
            return dict(command_view(obj))
        if isinstance(obj, Node) and change.announce == SERVICE_UPDATED:
            return {"node_id": obj.name, "services": [service_status_view(s) for s in obj.status.services]}
        if isinstance(obj, Node) and change.announce != NODE_UNREGISTERED:
            return {"node": self._node(obj)}
        if isinstance(obj, Node):
            return {"node_id": obj.name}
        return {"kind": obj.kind, "name": obj.name}

    def _node(self, node: Node) -> dict[str, Any]:
        return dict(node_view(node, self._contacts.last(node.uid, node.status.last_seen)))

    def _encode(
        self, kind: str, revision: int, at: datetime, data: dict[str, Any], more: dict[str, Any] | None = None
    ) -> Event:
        event_id = f"{self._uid}-{revision}"
        # JSON as one line: within texts line feeds are escaped, so that nothing in it can end an SSE field.
        body = to_json({"id": event_id, "type": kind, "timestamp": rfc3339(at), "data": data, **(more or {})})
        return Event(revision, kind, body, b"id: " + event_id.encode() + b"\ndata: " + body + b"\n\n")
