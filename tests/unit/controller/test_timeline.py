"""The timeline of a command, through the whole controller on a fake fleet in virtual time (contract C-11)."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from controller.duration import SECOND
from controller.resources.command import Command, CommandStatus
from controller.settings import ControllerSettings, Settings
from controller.timeline import MOST_MARKS, Moment, Phase, marked, timeline
from tests.support.virtualtime import EPOCH, run
from tests.support.world import ADMIN, World, world
from transports.base import RunId
from transports.errors import AuthFailed
from transports.fake import FakeNode, Outcome


def taking(seconds: float, **outcome: object) -> FakeNode:
    """A machine on which every script takes that long."""
    return FakeNode(behaviour=lambda _: Outcome(seconds=seconds, **outcome))  # type: ignore[arg-type]


def phases(command: Command) -> list[str]:
    """The phases that the command went through, in order."""
    return [moment.phase for moment in timeline(command)]


def lasted(command: Command) -> dict[str, list[float]]:
    """How long each phase lasted, each time."""
    found: dict[str, list[float]] = {}
    for moment, after in pairwise(timeline(command)):
        found.setdefault(moment.phase, []).append(round((after.at - moment.at).total_seconds(), 3))
    return found


def reasons(command: Command, phase: Phase) -> list[str]:
    """Why it was in that phase, each time."""
    return [moment.reason for moment in timeline(command) if moment.phase is phase]


async def warm(it: World) -> None:
    """Wait for the probe that opens the connection."""
    await it.until(lambda: it.node().status.facts, bool)


def counted(*worlds: World) -> dict[str, float]:
    """How many commands each phase was counted for."""
    sums: dict[str, float] = {}
    for it in worlds:
        for family in it.metrics.registry.collect():
            if family.name == "vendetta_command_phase_seconds":
                for sample in family.samples:
                    if sample.name.endswith("_count") and sample.value:
                        sums[sample.labels["phase"]] = sums.get(sample.labels["phase"], 0) + sample.value
    return sums


def test_a_quick_command_is_told_from_accepted_to_collected() -> None:
    """C-11: queued, sent, claimed, first byte, exit, collected; its claim is dated by how long it took."""

    async def scenario() -> None:
        machine = taking(0.1, stdout=b"hello\n")
        machine.latency = 0.02
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            await warm(it)
            command = await it.ended(await it.send())
            assert phases(command) == ["queued", "sent", "claimed", "first_byte", "exit", "collected"]
            spent = lasted(command)
            assert (spent["sent"], spent["claimed"], spent["exit"]) == ([0.02], [0.1], [0.02])
            assert reasons(command, Phase.COLLECTED) == ["Completed"]

    run(scenario())


def test_a_timeline_costs_no_write() -> None:
    """C-11: accepted, intent, result: three revisions, as without a timeline; on a warm connection no mark."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(0.01, stdout=b"x")}) as it:
            await it.add_node()
            await warm(it)
            async with it.store.watch(frozenset({"Command"}), since=it.store.revision()) as watch:
                command = await it.ended(await it.send())
                await asyncio.sleep(10)
                assert len(await watch.batch(100, 0)) == 3
            assert command.status.marks == ()

    run(scenario())


def test_a_connection_made_for_a_command_is_part_of_its_timeline() -> None:
    """C-11: connect and auth, where the command waited for them; not where the connection was there."""

    async def scenario() -> None:
        machine = taking(0)
        machine.latency = 2.0
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            first = await it.ended(await it.send())
            assert phases(first)[:4] == ["queued", "connect", "auth", "sent"]
            assert lasted(first)["connect"] == [2.0]
            second = await it.ended(await it.send())
            assert phases(second)[:2] == ["queued", "sent"]

    run(scenario())


def test_why_a_command_waited_is_told_with_how_long() -> None:
    """C-11: every reason once each time, however often it was looked at again."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            machine.power_off()
            sent = await it.send()
            await it.until(lambda: it.command(sent.name).status.reason, lambda r: r == "NodeUnreachable")
            assert timeline(it.command(sent.name))[-1].message  # what the transport said
            await asyncio.sleep(60)
            spec = it.node().spec.model_copy(update={"unschedulable": True})
            await it.admission.nodes.update("n1", lambda old: old.model_copy(update={"spec": spec}), ADMIN)
            machine.up = True
            await it.until(lambda: it.command(sent.name).status.reason, lambda r: r == "NodeCordoned")
            await asyncio.sleep(30)
            spec = it.node().spec.model_copy(update={"unschedulable": False})
            await it.admission.nodes.update("n1", lambda old: old.model_copy(update={"spec": spec}), ADMIN)
            command = await it.ended(sent)
            assert reasons(command, Phase.WAITING) == ["NodeUnreachable", "NodeCordoned"]
            unreachable, cordoned = lasted(command)["waiting"]
            assert 59 < unreachable < 65
            assert 29 < cordoned < 35

    run(scenario())


def test_a_command_that_waits_for_its_turn_says_so() -> None:
    """C-11: the phase that it is in is the last one, and says why."""

    async def scenario() -> None:
        settings = Settings(controller=ControllerSettings(node_concurrency=1))
        async with world(settings, fleet={"n1": taking(50)}) as it:
            await it.add_node()
            await warm(it)
            await it.send()
            second = await it.send()
            await asyncio.sleep(5)
            (queued,) = timeline(it.command(second.name))
            assert (queued.phase, queued.message) == (Phase.QUEUED, "waiting for its turn")
            second = await it.ended(second)
            assert lasted(second)["queued"] == [pytest.approx(50, abs=1.5)]

    run(scenario())


def test_a_long_command_is_claimed_when_it_was_and_not_when_the_answer_came() -> None:
    """C-11: the node keeps its answer back for a moment, in case that the command is quick."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(20, stdout=b"data")}) as it:
            await it.add_node()
            await warm(it)
            sent = await it.send()
            await it.until(lambda: it.command(sent.name).status.phase, lambda p: p == "running")
            assert phases(it.command(sent.name)) == ["queued", "sent", "claimed"]
            command = await it.ended(sent)
            assert lasted(command)["sent"] == [0.0]
            assert lasted(command)["claimed"] == [pytest.approx(20, abs=0.01)]
            assert phases(command)[-3:] == ["first_byte", "exit", "collected"]

    run(scenario())


def test_a_broken_connection_shows_and_so_does_its_mending() -> None:
    """C-11: reattaching, and claimed again; the exit is dated by the node's own clock, not by hearsay."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(100)}) as it:
            machine = await it.add_node()
            await warm(it)
            sent = await it.send()
            await it.until(lambda: it.command(sent.name).status.phase, lambda p: p == "running")
            machine.power_off()
            await it.until(lambda: it.command(sent.name).status.reason, lambda r: r == "Reattaching")
            await asyncio.sleep(20)
            machine.up = True
            await it.until(lambda: it.command(sent.name).status.reason, lambda r: r == "Claimed")
            machine.power_off()
            await asyncio.sleep(120)
            machine.up = True
            command = await it.ended(sent)
            shown = timeline(command)
            assert [m.phase for m in shown if m.phase in {Phase.CLAIMED, Phase.REATTACHING}] == [
                "claimed", "reattaching", "claimed", "reattaching",
            ]  # fmt: skip
            claimed = next(m for m in shown if m.phase is Phase.CLAIMED)
            exited = next(m for m in shown if m.phase is Phase.EXIT)
            assert (exited.at - claimed.at).total_seconds() == pytest.approx(100, abs=0.01)
            assert lasted(command)["exit"][0] > 20

    run(scenario())


def test_a_start_that_has_to_be_sent_again_shows() -> None:
    """C-9, C-11: sent, lost before the claim, sent again; claimed once."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            await warm(it)
            machine.lose_before_claim = 1
            command = await it.ended(await it.send())
            assert reasons(command, Phase.SENT) == ["Sent", "SentAgain"]
            assert phases(command).count("claimed") == 1

    run(scenario())


def test_a_cancel_shows_in_how_it_ended() -> None:
    """C-11, C-12: this one ends at once when it is told to."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(600)}) as it:
            await it.add_node()
            await warm(it)
            sent = await it.send()
            await it.until(lambda: it.command(sent.name).status.phase, lambda p: p == "running")
            await asyncio.sleep(5)
            await it.admission.commands.cancel(sent.name, ADMIN)
            command = await it.ended(sent)
            assert [p for p in phases(command) if p != "first_byte"] == [
                "queued", "sent", "claimed", "exit", "collected",
            ]  # fmt: skip
            assert reasons(command, Phase.COLLECTED) == ["Cancelled"]

    run(scenario())


def test_what_never_ran_ends_without_an_exit() -> None:
    """C-11: ended, with the reason, where nothing was collected."""

    async def scenario() -> None:
        async with world(fleet={"n2": FakeNode(refusal=AuthFailed("no key fits"))}) as it:
            (await it.add_node()).power_off()
            await it.add_node("n2")
            late, refused = await it.send(delivery_timeout=30 * SECOND), await it.send("n2")
            command = await it.ended(late)
            assert phases(command) == ["queued", "waiting", "ended"]
            assert reasons(command, Phase.ENDED) == ["DeliveryTimeout"]
            assert timeline(await it.ended(refused))[-1] == Moment(
                Phase.ENDED, it.command(refused.name).status.finished or EPOCH, "AuthFailed", "no key fits"
            )

    run(scenario())


def test_a_timeline_survives_the_server_and_is_counted_once() -> None:
    """C-11: another server on the same store shows the same, goes on with it, and counts each command once."""

    async def scenario() -> None:
        fleet = {"n1": taking(60, stdout=b"x")}
        async with world(fleet=fleet) as first:
            (await first.add_node()).latency = 1.0
            done = await first.ended(await first.send())
            going = await first.send()
            await first.until(lambda: first.command(going.name).status.phase, lambda p: p == "running")
            before = timeline(first.command(going.name))
        await asyncio.sleep(5)
        async with world(fleet=fleet, store=first.store) as second:
            assert timeline(second.command(done.name)) == timeline(done)
            command = await second.ended(going)
            assert timeline(command)[: len(before)] == before
            assert phases(command)[-2:] == ["exit", "collected"]
            assert counted(first, second) == {
                "queued": 2, "connect": 1, "auth": 1, "sent": 2, "claimed": 2, "first_byte": 2, "exit": 2,
            }  # fmt: skip

    run(scenario())


def test_an_outcome_that_was_unknown_for_a_while_shows_and_is_counted_once() -> None:
    """C-9, C-11: unknown, from the first verdict until the late one."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(30)}) as it:
            machine = await it.add_node()
            await warm(it)
            sent = await it.send(timeout=60 * SECOND)
            await it.until(lambda: it.command(sent.name).status.phase, lambda p: p == "running")
            machine.power_off()
            lost = await it.ended(sent)
            assert (lost.status.phase, phases(lost)[-1]) == ("unknown", "ended")
            machine.up = True
            await it.until(lambda: it.command(sent.name).status.phase, lambda p: p == "success")
            command = it.command(sent.name)
            assert phases(command)[-1] == "collected"
            assert reasons(command, Phase.UNKNOWN) == ["NodeUnreachable"]
            assert counted(it)["queued"] == 1

    run(scenario())


def test_times_never_run_backwards_when_the_clock_does() -> None:
    """C-11: a clock that is set back makes a phase short, never negative."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(5, stdout=b"x")}) as it:
            await it.add_node()
            await warm(it)
            sent = await it.send()
            await it.until(lambda: it.command(sent.name).status.phase, lambda p: p == "running")
            it.clock.skew -= timedelta(hours=1)
            command = await it.ended(sent)
            assert all(b.at >= a.at for a, b in pairwise(timeline(command)))
            assert phases(command)[-1] in {"collected", "ended"}

    run(scenario())


def test_marks_are_bounded_and_keep_both_ends() -> None:
    """C-11: a node that comes and goes for a week does not make its commands grow."""
    status = CommandStatus()
    for n in range(100):
        marks = marked(status, Phase.WAITING, EPOCH + timedelta(seconds=n), f"Reason{n}")
        status = status.model_copy(update={"marks": marks})
    assert len(status.marks) == MOST_MARKS
    assert [mark.reason for mark in status.marks][:8] == [f"Reason{n}" for n in range(8)]
    assert [mark.reason for mark in status.marks][8:] == [f"Reason{n}" for n in range(92, 100)]


def test_a_run_that_the_node_forgot_shows_no_exit() -> None:
    """C-11: the node was started anew: claimed, and ended as unknown."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(100)}) as it:
            machine = await it.add_node()
            await warm(it)
            sent = await it.send()
            await it.until(lambda: it.command(sent.name).status.phase, lambda p: p == "running")
            machine.reboot(forget=[RunId(f"{sent.uid.replace('-', '')}.1")])
            command = await it.ended(sent)
            assert phases(command)[-1] == "ended"
            assert "exit" not in phases(command)
            assert reasons(command, Phase.ENDED) == ["NodeRebooted"]

    run(scenario())
