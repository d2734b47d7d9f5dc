"""From results of checks to a status (contract D-2): thresholds, staleness, and clocks that jump."""

from datetime import timedelta

import pytest

from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec, NodeStatus
from controller.resources.service import Check, Service
from controller.services.board import ServiceBoard
from tests.support.api import StillClock
from transports.checks import Outcome

GOOD = Outcome(good=True, message="status 200", latency=0.002)
BAD = Outcome(good=False, message="Connection refused")
NO_IDEA = Outcome(good=None, message="the node is not connected")
FORBIDDEN = Outcome(good=None, message="not allowed", lasting=True)


class Clock(StillClock):
    """A clock whose two times are set apart from each other."""

    seconds = 100.0

    def monotonic(self) -> float:
        """The seconds that were set."""
        return self.seconds


def service(**check: object) -> Service:
    return Service(id="web", port=80, check=Check.model_validate({"tcp": True, "interval": "10s", **check}))


def node(*services: Service, phase: str = "active") -> Node:
    status = NodeStatus.model_validate({"phase": phase})
    return Node(metadata=ObjectMeta(name="n1", uid="u1"), spec=NodeSpec(services=services), status=status)


def after(*outcomes: Outcome, **check: object) -> str:
    """The status after those results."""
    board, web = ServiceBoard(Clock()), service(**check)
    for outcome in outcomes:
        board.note("u1", web, outcome)
    return board.of(node(web), web).status


@pytest.mark.parametrize(
    ("outcomes", "check", "status"),
    [
        ((), {}, "unknown"),
        ((GOOD,), {}, "running"),
        ((GOOD,), {"rise": 2}, "unknown"),
        ((GOOD, GOOD), {"rise": 2}, "running"),
        ((BAD,), {}, "unknown"),
        ((BAD, BAD), {}, "failed"),
        ((GOOD, BAD), {}, "degraded"),
        ((GOOD, BAD, BAD), {}, "failed"),
        ((GOOD, BAD, GOOD), {}, "running"),
        ((GOOD, BAD), {"fall": 1}, "failed"),
        ((BAD, BAD, GOOD), {"rise": 2}, "failed"),
        ((BAD, BAD, GOOD, GOOD), {"rise": 2}, "running"),
        ((GOOD, NO_IDEA), {}, "running"),
        ((GOOD, FORBIDDEN), {}, "unknown"),
        ((GOOD, BAD, GOOD, BAD, GOOD, BAD), {"fall": 3}, "degraded"),
    ],
)
def test_a_status_needs_as_many_results_as_its_thresholds_say(
    outcomes: tuple[Outcome, ...], check: dict[str, object], status: str
) -> None:
    assert after(*outcomes, **check) == status


def test_what_was_checked_too_long_ago_is_unknown_however_often_it_was_good() -> None:
    clock = Clock()
    board, web = ServiceBoard(clock), service()
    board.note("u1", web, GOOD)
    clock.seconds += 35
    assert board.of(node(web), web).status == "running"
    clock.seconds += 2
    seen = board.of(node(web), web)
    assert (seen.status, seen.stale) == ("unknown", True)


def test_setting_the_clock_makes_nothing_new_and_nothing_old() -> None:
    clock = Clock()
    board, web = ServiceBoard(clock), service()
    board.note("u1", web, GOOD)
    clock.at += timedelta(days=400)
    assert board.of(node(web), web).status == "running"
    clock.at -= timedelta(days=800)
    clock.seconds += 60
    assert board.of(node(web), web).status == "unknown"


@pytest.mark.parametrize("phase", ["inactive", "unreachable", "draining", "unknown"])
def test_of_a_node_that_is_not_active_nobody_knows_how_its_services_are(phase: str) -> None:
    board, web = ServiceBoard(Clock()), service()
    board.note("u1", web, GOOD)
    reported = Service(id="db", status="running")
    seen = board.look(node(web, reported, phase=phase))
    assert [(s.id, s.status, s.stale) for s in seen] == [("db", "unknown", True), ("web", "unknown", True)]


def test_without_a_check_it_reads_as_reported_and_with_one_never() -> None:
    board = ServiceBoard(Clock())
    web, silent = Service(id="web", status="running"), Service(id="x")
    claimed = service().model_copy(update={"id": "y", "status": "running"})
    seen = board.look(node(web, silent, claimed))
    assert [s.status for s in seen] == ["running", "unknown", "unknown"]
