"""Which changes are told to event streams (contract E-3)."""

from datetime import UTC, datetime

from controller.announce import announce
from controller.resources.command import Command, CommandSpec, CommandStatus
from controller.resources.meta import ObjectMeta
from controller.resources.node import CredentialBinding, Node, NodeSpec, NodeStatus
from controller.resources.record import Record

NOW = datetime(2026, 1, 13, tzinfo=UTC)


def node(**status: object) -> Node:
    """A node with that status."""
    return Node(metadata=ObjectMeta(name="n"), status=NodeStatus(**status))  # type: ignore[arg-type]


def command(phase: str, reason: str) -> Command:
    """A command in that phase."""
    status = CommandStatus(phase=phase, reason=reason)  # type: ignore[arg-type]
    return Command(metadata=ObjectMeta(name="c"), spec=CommandSpec(node="n"), status=status)


def test_nodes_come_change_and_go() -> None:
    """E-3: registered, updated for observed changes, unregistered."""
    assert announce(None, node()) == "node_registered"
    assert announce(node(phase="active"), node(phase="unreachable")) == "node_updated"
    assert announce(node(), node().model_copy(update={"spec": NodeSpec(port=22)})) == "node_updated"
    assert announce(node(), None) == "node_unregistered"


def test_a_heartbeat_is_no_news() -> None:
    """E-3: not for every heartbeat."""
    assert announce(node(last_seen=None), node(last_seen=NOW)) is None


def test_where_a_credential_was_used_is_no_news() -> None:
    """E-3: nothing that a client sees has changed."""
    bound = CredentialBinding(credential="key", place="a:22", since=NOW)
    assert announce(node(), node(credentials=(bound,))) is None


def test_a_result_is_told_once_and_again_when_it_is_corrected() -> None:
    """E-3, C-9: one command_result, and a second one for the late truth."""
    running, unknown = command("running", "Claimed"), command("unknown", "NodeUnreachable")
    assert announce(None, command("pending", "Queued")) is None
    assert announce(command("pending", "Queued"), running) is None
    assert announce(running, unknown) == "command_result"
    assert announce(unknown, unknown) is None
    assert announce(unknown, command("success", "Completed")) == "command_result"
    assert announce(unknown, None) is None


def test_internal_records_are_nobodys_business() -> None:
    """E-3: pins, counters and reservations are never told."""
    assert announce(None, Record(kind="Counter", metadata=ObjectMeta(name="x"))) is None
