"""Which changes are told to event streams, and under which of the document's names (contract E-3)."""

from controller.resources.command import Command
from controller.resources.meta import Resource
from controller.resources.node import Node

NODE_REGISTERED, NODE_UPDATED, NODE_UNREGISTERED = "node_registered", "node_updated", "node_unregistered"
COMMAND_RESULT, SERVICE_UPDATED = "command_result", "service_updated"


def announce(old: Resource | None, new: Resource | None) -> str | None:
    """The event's name, or None for a change that nobody outside needs to hear of."""
    if isinstance(new, Node):
        return _node(old, new)
    if isinstance(old, Node) and new is None:
        return NODE_UNREGISTERED
    if isinstance(new, Command):
        return _command(old, new)
    return None


def _node(old: Resource | None, new: Node) -> str | None:
    if not isinstance(old, Node):
        return NODE_REGISTERED
    if _visible(old) != _visible(new):
        return NODE_UPDATED
    return SERVICE_UPDATED if old.status.services != new.status.services else None


def _visible(node: Node) -> Node:
    """The node without what moves by itself, or is told by a condition or another event."""
    return node.model_copy(
        update={
            "metadata": node.metadata.model_copy(update={"resource_version": "", "managed_fields": ()}),
            "status": node.status.model_copy(
                update={
                    "last_seen": None,
                    "observed_generation": 0,
                    "credentials": (),
                    "credential_refused": None,
                    "services": (),
                }
            ),
        }
    )


def _command(old: Resource | None, new: Command) -> str | None:
    if not new.ended:
        return None
    same = isinstance(old, Command) and (old.status.phase, old.status.reason) == (new.status.phase, new.status.reason)
    return None if same else COMMAND_RESULT
