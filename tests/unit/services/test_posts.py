"""What servers tell each other of services: any of them can say how they are, and the next one goes on from there."""

import asyncio

from controller.resources.meta import ObjectMeta
from controller.resources.node import Node, NodeSpec, NodeStatus
from controller.resources.service import Check, Service, ServiceStatus
from controller.services.board import ServiceBoard
from controller.services.posts import FOUND, HEALTH
from tests.support.members import LONGEST, Assembly, Board, Member, MemberBoard
from tests.support.virtualtime import VirtualClock, run
from transports.checks import Outcome

GOOD = Outcome(good=True, message="connected", latency=0.001)
BAD = Outcome(good=False, message="refused")


def declared() -> Service:
    check = Check.model_validate({"tcp": True, "interval": "10s"})
    return Service.model_validate({"id": "web", "port": 80, "check": check})


def node(*services: Service) -> Node:
    return Node(
        metadata=ObjectMeta(name="n1", uid="u1"),
        spec=NodeSpec(services=services),
        status=NodeStatus.model_validate({"phase": "active"}),
    )


class Two:
    """Two servers' boards, and what lies between them."""

    def __init__(self) -> None:
        assembly = Assembly()
        self.board = Board(assembly)
        self.members = [Member(assembly), Member(assembly)]
        self.own, self.other = (ServiceBoard(VirtualClock(), MemberBoard(self.board, m)) for m in self.members)


def test_another_server_says_the_same_of_a_service_and_goes_on_from_there() -> None:
    """Status, message and latency; for as long as it holds; and the count of good and bad results, too."""

    async def scenario() -> None:
        two, web = Two(), declared()
        for outcome in (GOOD, GOOD, BAD):
            two.own.note("u1", web, outcome)
        assert two.own.of(node(web), web).status == "degraded"
        await asyncio.sleep(LONGEST)
        assert two.other.of(node(web), web) == two.own.of(node(web), web)

        two.own.keep(())
        two.board.drop(two.members[0].me)
        two.other.take("u1")
        await asyncio.sleep(LONGEST)
        assert two.other.of(node(web), web).status == "degraded"
        two.other.note("u1", web, BAD)
        assert two.other.of(node(web), web).status == "failed"
        await asyncio.sleep(LONGEST)
        assert two.own.of(node(web), web).status == "failed"

        await asyncio.sleep(120)
        assert (two.own.of(node(web), web).status, two.other.of(node(web), web).status) == ("unknown", "unknown")

    run(scenario())


def test_what_was_found_is_known_to_all_and_what_is_gone_goes() -> None:
    """As is a service that is aimed at something else now: nothing is known of it."""

    async def scenario() -> None:
        two, web = Two(), declared()
        found = ServiceStatus(id="socket-22", name="sshd", source="socket", type="ssh", port=22, status="running")
        two.own.found("u1", (found,), valid_for=60)
        two.own.note("u1", web, GOOD)
        await asyncio.sleep(LONGEST)
        assert two.other.look(node(web)) == two.own.look(node(web))
        assert [s.id for s in two.other.look(node(web))] == ["socket-22", "web"]

        two.own.found("u1", (), valid_for=60)
        two.own.drop("u1", "web")
        await asyncio.sleep(LONGEST)
        assert [(s.id, s.status) for s in two.other.look(node(web))] == [("web", "unknown")]

    run(scenario())


def test_whoever_works_on_a_node_believes_nobody_else() -> None:
    """What an earlier owner said may be heard late."""

    async def scenario() -> None:
        two, web = Two(), declared()
        two.own.is_own = lambda uid: True
        two.other.note("u1", web, BAD)
        two.other.found("u1", (ServiceStatus(id="socket-1"),), valid_for=60)
        await asyncio.sleep(LONGEST)
        assert [s.message for s in two.own.look(node(web))] == ["not checked yet"]

    run(scenario())


def test_what_another_version_says_is_passed_over() -> None:
    """While servers are updated one by one, they need not know what the others mean."""

    async def scenario() -> None:
        two, web = Two(), declared()
        post = MemberBoard(two.board, two.members[0]).post
        post(HEALTH, "u1", {"services": {"web": {"phase": "wonderful"}}})
        post(FOUND, "u1", {"things": []})
        await asyncio.sleep(LONGEST)
        assert [s.message for s in two.other.look(node(web))] == ["not checked yet"]

    run(scenario())
