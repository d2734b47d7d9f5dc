"""What a delivery meets: nodes that are away, connections that break, restarts, refusals, clocks that jump."""

import asyncio
from datetime import timedelta

import pytest

from controller.duration import SECOND
from tests.support.virtualtime import run
from tests.support.world import world
from transports.errors import AuthFailed, HostKeyMismatch, NodeStorageFull, Rejected
from transports.fake import FakeNode, Outcome


def taking(seconds: float, **outcome: object) -> FakeNode:
    """A machine on which every script takes that long."""
    return FakeNode(behaviour=lambda _: Outcome(seconds=seconds, **outcome))  # type: ignore[arg-type]


def test_a_command_waits_for_a_node_that_is_away() -> None:
    """C-7: pending/NodeUnreachable while it is away, delivered when it is back."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            machine.power_off()
            command = await it.send()
            await it.until(lambda: it.command(command.name).status.reason, lambda r: r == "NodeUnreachable")
            await asyncio.sleep(100)
            machine.up = True
            command = await it.ended(command)
            assert command.status.phase == "success"
            assert sum(machine.executed.values()) == 1

    run(scenario())


def test_a_command_that_cannot_be_delivered_in_time_was_never_run() -> None:
    """C-7: timeout/DeliveryTimeout, certainty confirmed."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            machine.power_off()
            sent = asyncio.get_running_loop().time()
            command = await it.ended(await it.send(delivery_timeout=30 * SECOND))
            assert (command.status.phase, command.status.reason) == ("timeout", "DeliveryTimeout")
            assert command.status.certainty == "confirmed"
            assert 29.9 < asyncio.get_running_loop().time() - sent < 31
            machine.up = True
            await asyncio.sleep(120)
            assert not machine.executed

    run(scenario())


def test_a_permanent_refusal_ends_a_command_at_once() -> None:
    """C-7: AuthFailed and HostKeyMismatch before the start point."""

    async def scenario() -> None:
        for refusal in (AuthFailed("no key fits"), HostKeyMismatch("another key", presented="ssh-ed25519 AAAA")):
            async with world(fleet={"n1": FakeNode(refusal=refusal)}) as it:
                await it.add_node()
                command = await it.ended(await it.send(), within=5)
                assert (command.status.phase, command.status.reason) == ("error", refusal.reason)

    run(scenario())


def test_what_a_node_will_not_take_ends_at_once() -> None:
    """Nothing was claimed and asking again changes nothing: an error that is sure, not a lost command."""

    async def scenario() -> None:
        for refusal in (Rejected("no input for a command"), NodeStorageFull("no space")):

            def refuse(what: str, refusal: Exception = refusal) -> None:
                if what == "start":
                    raise refusal

            async with world(fleet={"n1": FakeNode(trouble=refuse)}) as it:
                await it.add_node()
                status = (await it.ended(await it.send(), within=5)).status
                assert (status.phase, status.reason, status.certainty) == ("error", refusal.reason, "confirmed")
                assert str(refusal) in (status.message or "")

    run(scenario())


def test_a_missing_transport_keeps_a_command_pending() -> None:
    """C-7: pending/TransportUnavailable."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node(transport=None, port=8080)
            command = await it.send()
            seen = await it.until(lambda: it.command(command.name), lambda c: c.status.reason != "Queued")
            assert (seen.status.phase, seen.status.reason) == ("pending", "TransportUnavailable")

    run(scenario())


def test_a_connection_lost_before_the_claim_is_tried_again() -> None:
    """C-9: retries before the start point, one execution."""

    async def scenario() -> None:
        async with world(fleet={"n1": FakeNode(lose_before_claim=3)}) as it:
            machine = await it.add_node()
            command = await it.ended(await it.send())
            assert (command.status.phase, command.status.attempts) == ("success", 4)
            assert sum(machine.executed.values()) == 1

    run(scenario())


def test_a_connection_lost_after_the_claim_is_only_observed() -> None:
    """C-9: after the start point the run is found again, not started again."""

    async def scenario() -> None:
        machine = taking(20, stdout=b"done\n")
        machine.lose_after_claim = 1
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            command = await it.ended(await it.send())
            assert (command.status.phase, command.status.output) == ("success", "done")
            assert list(machine.executed.values()) == [1]

    run(scenario())


def test_a_restart_of_the_server_changes_no_status() -> None:
    """C-7, C-9: the next server finds the run and collects its result."""

    async def scenario() -> None:
        machine = taking(30, stdout=b"late\n")
        async with world(fleet={"n1": machine}) as first:
            await first.add_node()
            command = await first.send()
            await first.until(lambda: first.command(command.name).status.phase, lambda p: p == "running")
        assert first.command(command.name).status.phase == "running"
        async with world(fleet={"n1": machine}, store=first.store) as second:
            command = await second.ended(command)
            assert (command.status.phase, command.status.output) == ("success", "late")
            assert list(machine.executed.values()) == [1]

    run(scenario())


def test_a_run_that_nobody_hears_of_becomes_unknown_and_is_corrected_late() -> None:
    """C-7, C-9: unknown/NodeUnreachable after timeout + grace + node_timeout; then the truth, marked late."""

    async def scenario() -> None:
        machine = taking(10, stdout=b"truth\n")
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            command = await it.send(timeout=20 * SECOND)
            await it.until(lambda: it.command(command.name).status.phase, lambda p: p == "running")
            machine.power_off()
            unknown = await it.ended(command)
            assert (unknown.status.phase, unknown.status.reason) == ("unknown", "NodeUnreachable")
            machine.up = True
            seen = await it.until(lambda: it.command(command.name), lambda c: c.status.phase != "unknown")
            assert (seen.status.phase, seen.status.late, seen.status.output) == ("success", True, "truth")

    run(scenario())


def test_a_start_that_was_never_confirmed_is_unknown_not_undelivered() -> None:
    """C-7: DeliveryUnconfirmed; when the node is back and never had it, it is proven that it never ran."""

    async def scenario() -> None:
        machine = FakeNode(lose_before_claim=1)
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            await it.until(lambda: it.node().status.facts, bool)
            machine.up = False
            command = await it.send(delivery_timeout=20 * SECOND)
            unknown = await it.ended(command)
            assert (unknown.status.phase, unknown.status.reason) == ("unknown", "DeliveryUnconfirmed")
            machine.up = True
            seen = await it.until(lambda: it.command(command.name), lambda c: c.status.phase != "unknown")
            assert (seen.status.phase, seen.status.reason, seen.status.late) == ("timeout", "DeliveryTimeout", True)
            assert not machine.executed

    run(scenario())


@pytest.mark.parametrize("keep_claim", [True, False])
def test_a_reboot_makes_a_run_unknown(*, keep_claim: bool) -> None:
    """C-7: NodeRebooted, whether the claim survived or not."""

    async def scenario() -> None:
        machine = taking(600)
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            command = await it.send()
            await it.until(lambda: it.command(command.name).status.phase, lambda p: p == "running")
            machine.reboot(forget=() if keep_claim else tuple(machine.runs))
            command = await it.ended(command)
            assert (command.status.phase, command.status.reason) == ("unknown", "NodeRebooted")
            assert sum(machine.executed.values()) == 1

    run(scenario())


def test_a_killed_supervisor_makes_a_run_unknown() -> None:
    """C-7: SupervisorLost."""

    async def scenario() -> None:
        machine = taking(600)
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            command = await it.send()
            await it.until(lambda: it.command(command.name).status.phase, lambda p: p == "running")
            machine.kill_supervisor(next(iter(machine.runs)))
            command = await it.ended(command)
            assert (command.status.phase, command.status.reason) == ("unknown", "SupervisorLost")

    run(scenario())


def test_a_clock_that_is_set_back_does_not_make_the_server_ask_without_a_pause() -> None:
    """A running command is looked at about once a second, whatever time it is."""

    async def scenario() -> None:
        asked = 0

        def count(what: str) -> None:
            nonlocal asked
            asked += what == "status"
            if asked == 100:
                it.clock.skew += timedelta(hours=1)  # or time would never pass

        machine = taking(30)
        machine.trouble = count
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            command = await it.send()
            await it.until(lambda: it.command(command.name).status.phase, lambda p: p == "running")
            it.clock.skew -= timedelta(hours=1)
            assert (await it.ended(command)).status.phase == "success"
            assert asked < 100

    run(scenario())


def test_a_command_sent_while_the_clock_is_set_forward_is_not_lost() -> None:
    """A wall clock that jumps by a day ends waiting early, but never starts a run twice or invents success."""

    async def scenario() -> None:
        machine = taking(30)
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            command = await it.send()
            await it.until(lambda: it.command(command.name).status.phase, lambda p: p == "running")
            it.clock.skew += it.clock.skew.resolution * 86_400_000_000
            command = await it.ended(command)
            assert command.status.phase == "success"
            assert list(machine.executed.values()) == [1]

    run(scenario())
