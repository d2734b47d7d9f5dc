"""A node's effective status, as far as a write can tell (contract B-3). The node reconciler keeps it true later."""

from datetime import datetime, timedelta

from controller.duration import MICROSECOND
from controller.resources.conditions import with_condition
from controller.resources.node import REACHABLE, READY, Node, NodePhase, NodeStatus


def effective_phase(node: Node, last_contact: datetime | None, now: datetime, node_timeout: int) -> NodePhase:
    """Cordoned first, then by the age of the last contact. `node_timeout` in nanoseconds."""
    if node.spec.unschedulable:
        return "draining" if node.status.phase == "draining" else "inactive"
    if last_contact is None:
        return "unknown"
    silent = now - last_contact >= timedelta(microseconds=node_timeout // MICROSECOND)
    return "unreachable" if silent else "active"


def with_phase(status: NodeStatus, phase: NodePhase, now: datetime) -> NodeStatus:
    """The status in that phase; `active_since` begins anew only when the node was not active before."""
    if phase != "active":
        since = None
    elif status.phase == "active" and status.active_since is not None:
        since = status.active_since
    else:
        since = now
    if (status.phase, status.active_since) == (phase, since):
        return status
    return status.model_copy(update={"phase": phase, "active_since": since})


def first_status(now: datetime) -> NodeStatus:
    """What is known of a node that nobody has probed yet."""
    conditions = with_condition((), REACHABLE, "Unknown", "NotProbed", "the node has not been probed yet", now)
    conditions = with_condition(conditions, READY, "Unknown", "NotProbed", "the node has not been probed yet", now)
    return NodeStatus(conditions=conditions)
