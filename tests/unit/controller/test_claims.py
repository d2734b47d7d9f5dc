"""Commands that an agent fetches and reports by itself: each handed out once, each report believed once (C-13)."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.admission import Caller, Denied, NotReportable, Refused, Unknown
from controller.admission.claims import Claim
from controller.admission.results import Report
from controller.dispatch import Opened
from controller.duration import SECOND
from controller.reconcilers.verdict import CommandStatusWriter, sending
from controller.resources.command import Command, SecretRef
from controller.resources.node import TransportSpec
from tests.support.virtualtime import run
from tests.support.world import ADMIN, World, world

FAKE = {"transport": TransportSpec(type="fake")}
NOW = datetime(2026, 1, 13, tzinfo=UTC)


def agent(it: World, node: str = "n1") -> Caller:
    """The node itself."""
    return Caller(name=node, node_uid=it.node(node).uid)


async def claim(it: World, limit: int = 10, node: str = "n1") -> list[Claim]:
    """What the node's agent is handed now."""
    return list((await it.admission.claiming.claim(node, agent(it, node), limit=limit)).claims)


async def report(it: World, command: Command, nonce: str | None, **said: Any) -> Command:
    """As the node's agent reports."""
    told = {"id": command.name, "node_id": command.spec.node, "status": "success", "nonce": nonce, **said}
    return await it.admission.commands.report(command.name, Report(**told), agent(it, command.spec.node))


async def lone(it: World, name: str = "n1", **spec: Any) -> None:
    """A node that has no transport of ours."""
    await it.add_node(name, transport=None, **spec)


def test_a_command_is_handed_out_once_and_reported_with_its_nonce() -> None:
    """C-13, C-9: stored as running before the agent has it; its report is confirmed."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            sent = await it.send()
            (handed,) = await claim(it)
            stored = it.command(sent.name)
            assert (stored.status.phase, stored.status.reason) == ("running", "Claimed")
            assert stored.status.started == it.clock.now()
            assert handed.nonce not in repr(stored)
            assert await claim(it) == []
            done = await report(it, stored, handed.nonce, output="hello")
            assert (done.status.phase, done.status.certainty, done.status.output) == ("success", "confirmed", "hello")
            assert await report(it, stored, handed.nonce, output="hello") == done
            with pytest.raises(Refused, match="another result"):
                await report(it, stored, handed.nonce, status="error")

    run(scenario())


def test_a_report_without_the_nonce_handed_out_is_refused() -> None:
    """C-13: none, a wrong one, another command's; nor does one count that was never handed out."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            one, other, untouched = await it.send(), await it.send(), await it.send(delivery_timeout=3600 * SECOND)
            first, second = await claim(it, limit=2)
            assert [first.command.name, second.command.name] == [one.name, other.name]
            for nonce in (None, "", "0" * 32, second.nonce):
                with pytest.raises(Denied, match="nonce"):
                    await report(it, one, nonce)
            with pytest.raises(Denied, match="nonce"):
                await report(it, untouched, first.nonce)
            assert it.command(one.name).status.phase == "running"
            assert (await report(it, untouched, None)).status.certainty == "presumed"

    run(scenario())


def test_only_the_node_itself_fetches_and_reports() -> None:
    """C-13, E-5: not another node, not even an admin, for an admin's machine would run it."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            await lone(it, "n2")
            await it.send()
            for caller in (ADMIN, agent(it, "n2")):
                with pytest.raises(Denied):
                    await it.admission.claiming.claim("n1", caller, limit=1)
            (handed,) = await claim(it)
            told = Report(id=handed.command.name, node_id="n1", status="success", nonce=handed.nonce)
            for caller in (ADMIN, agent(it, "n2")):
                with pytest.raises(Denied):
                    await it.admission.commands.report(handed.command.name, told, caller)
            with pytest.raises(Unknown):
                await it.admission.claiming.claim("nobody", ADMIN, limit=1)

    run(scenario())


def test_what_the_server_delivers_is_not_handed_out() -> None:
    """C-13: a node with a transport of ours gets its commands over that."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            with pytest.raises(Refused, match="delivered by the server"):
                await claim(it)

    run(scenario())


def test_a_node_that_gets_a_transport_still_reports_what_it_was_handed() -> None:
    """C-13: and nothing else."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            await it.send()
            (handed,) = await claim(it)
            later = await it.send()
            await it.admission.nodes.update(
                "n1", lambda n: n.model_copy(update={"spec": n.spec.model_copy(update=FAKE)}), ADMIN
            )
            await it.ended(later)
            assert (await report(it, handed.command, handed.nonce)).status.certainty == "confirmed"
            with pytest.raises(NotReportable):
                await report(it, later, handed.nonce)

    run(scenario())


def test_of_two_who_ask_at_once_each_gets_its_own() -> None:
    """C-9: handed out at most once, in the order in which they were accepted."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            sent = [(await it.send()).name for _ in range(6)]
            rounds = await asyncio.gather(*(claim(it, limit=2) for _ in range(4)))
            names = [handed.command.name for handed in (h for some in rounds for h in some)]
            assert sorted(names) == sorted(sent)

    run(scenario())


def test_the_delivery_timeout_holds_for_what_nobody_fetches() -> None:
    """C-3: timeout/DeliveryTimeout, which proves that it was never handed out; it is not handed out later."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            sent = await it.send(delivery_timeout=30 * SECOND)
            ended = await it.ended(sent, within=60)
            assert (ended.status.phase, ended.status.reason) == ("timeout", "DeliveryTimeout")
            assert await claim(it) == []

    run(scenario())


def test_what_is_not_reported_is_unknown_and_may_be_corrected_late() -> None:
    """C-7, C-9: after timeout, grace and node_timeout; the agent's word counts when it comes."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            sent = await it.send(timeout=60 * SECOND)
            (handed,) = await claim(it)
            await asyncio.sleep(60)
            assert it.command(sent.name).status.phase == "running"
            unknown = await it.ended(sent, within=200)
            assert (unknown.status.phase, unknown.status.reason) == ("unknown", "DeliveryUnconfirmed")
            with pytest.raises(Denied):
                await report(it, sent, None)
            late = await report(it, sent, handed.nonce, status="error", exit_code=3)
            assert (late.status.phase, late.status.exit_code, late.status.late) == ("error", 3, True)
            with pytest.raises(Refused):
                await report(it, sent, handed.nonce)

    run(scenario())


def test_a_restart_forgets_no_handing_out() -> None:
    """C-9, C-13: what was handed out before is neither sent nor handed out again, and its nonce still counts."""

    async def scenario() -> None:
        async with world() as first:
            await lone(first)
            await first.send()
            (handed,) = await claim(first)
        async with world(store=first.store) as it:
            await asyncio.sleep(30)
            assert await claim(it) == []
            done = await report(it, handed.command, handed.nonce)
            assert (done.status.phase, done.status.attempts) == ("success", 1)

    run(scenario())


def test_a_cancel_keeps_a_command_back_or_is_told_to_the_agent() -> None:
    """C-12: not handed out any more; handed out already, the agent is told, and its report decides."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            sent, kept = await it.send(), await it.send()
            (handed,) = await claim(it, limit=1)
            for command in (sent, kept):
                await it.admission.commands.cancel(command.name, ADMIN)
            await it.until(lambda: it.command(sent.name).status.reason, lambda r: r == "Cancelling", within=60)
            assert (await it.ended(kept)).status.reason == "Cancelled"
            told = await it.admission.claiming.claim("n1", agent(it), limit=1)
            assert (list(told.claims), list(told.cancelled)) == ([], [sent.name])
            done = await report(it, sent, handed.nonce, status="cancelled")
            assert (done.status.phase, done.status.reason) == ("cancelled", "Cancelled")

    run(scenario())


def test_what_is_held_back_is_not_handed_out() -> None:
    """B-3, E-8: by the cordon, unless it is forced; and what needs a value that only the server may read."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            await it.send(env={"KEY": SecretRef(credential_ref="api-key")})
            plain, forced = await it.send(), await it.send(force=True)
            await it.admission.nodes.update(
                "n1",
                lambda n: n.model_copy(update={"spec": n.spec.model_copy(update={"unschedulable": True})}),
                ADMIN,
            )
            assert [c.command.name for c in await claim(it)] == [forced.name]
            await it.admission.nodes.update(
                "n1",
                lambda n: n.model_copy(update={"spec": n.spec.model_copy(update={"unschedulable": False})}),
                ADMIN,
            )
            assert [c.command.name for c in await claim(it)] == [plain.name]

    run(scenario())


def test_a_delivery_that_was_decided_on_before_gives_way() -> None:
    """C-9: what the controller was about to write of a command that its agent has fetched meanwhile is dropped."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            before = it.command((await it.send()).name)
            (handed,) = await claim(it)
            way = Opened(transport="fake", place="x", connect_at=NOW, login_at=NOW, ready_at=NOW)
            stale = sending(before, it.node().uid, way, "boot", it.clock.now())
            after = await CommandStatusWriter(it.store)(before, stale)
            assert after == it.command(before.name)
            assert after.handed_out
            assert (await report(it, before, handed.nonce)).status.phase == "success"

    run(scenario())


def test_a_node_made_anew_reports_nothing_of_the_one_before() -> None:
    """B-7, C-13: the command went with its node."""

    async def scenario() -> None:
        async with world() as it:
            await lone(it)
            sent = await it.send()
            (handed,) = await claim(it)
            await it.admission.nodes.delete("n1", ADMIN)
            await lone(it)
            with pytest.raises(NotReportable):
                await report(it, sent, handed.nonce)
            assert it.command(sent.name).status.reason == "NodeDeleted"

    run(scenario())
