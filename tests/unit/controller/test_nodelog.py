"""What is remembered of nodes for `describe`."""

from datetime import UTC, datetime, timedelta

from controller.nodelog import MOST, NodeLog
from controller.resources.conditions import Conditions, ConditionStatus, with_condition
from controller.resources.meta import ObjectMeta
from controller.resources.node import REACHABLE, Node, NodeSpec, NodeStatus
from tests.support.virtualtime import VirtualClock, run

NOON = datetime(2026, 1, 13, 12, 0, tzinfo=UTC)


def node(conditions: Conditions = (), *, cordoned: bool = False) -> Node:
    return Node(
        metadata=ObjectMeta(name="n1", uid="u1", creation_timestamp=NOON),
        spec=NodeSpec(unschedulable=cordoned),
        status=NodeStatus(conditions=conditions),
    )


def reachable(status: ConditionStatus, reason: str, minutes: int, message: str = "") -> Conditions:
    return with_condition((), REACHABLE, status, reason, message, NOON + timedelta(minutes=minutes))


def test_what_comes_again_is_counted_and_not_repeated() -> None:
    """A node that flaps has one line for each thing that happens to it."""

    async def scenario() -> None:
        log = NodeLog(VirtualClock())
        for minute in range(0, 10, 2):
            log.heard(node(reachable("True", "ProbeSucceeded", minute)))
            log.heard(node(reachable("True", "ProbeSucceeded", minute)))
            log.heard(node(reachable("False", "NodeUnreachable", minute + 1, "no route")))
        told = {h.reason: (h.count, h.warning, h.last) for h in log.of("u1")}
        assert told == {
            "Registered": (1, False, NOON),
            "ProbeSucceeded": (5, False, NOON + timedelta(minutes=8)),
            "NodeUnreachable": (5, True, NOON + timedelta(minutes=9)),
        }

    run(scenario())


def test_cordons_are_told_and_a_node_that_is_gone_is_forgotten() -> None:
    """Both ways."""

    async def scenario() -> None:
        log = NodeLog(VirtualClock())
        for cordoned in (False, True, True, False):
            log.heard(node(cordoned=cordoned))
        assert [h.reason for h in log.of("u1")][1:] == ["Cordoned", "Uncordoned"]
        log.forget("u1")
        assert log.of("u1") == ()

    run(scenario())


def test_it_is_bounded() -> None:
    """Whatever reasons there are."""

    async def scenario() -> None:
        log = NodeLog(VirtualClock())
        for n in range(100):
            log.heard(node(reachable("False", f"Reason{n}", n)))
        assert len(log.of("u1")) == MOST

    run(scenario())
