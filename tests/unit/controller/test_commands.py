"""Commands through the whole controller, on a fake fleet in virtual time."""

import asyncio

from controller.duration import SECOND
from controller.settings import ControllerSettings, RetentionSettings, Settings
from tests.support.virtualtime import run
from tests.support.world import ADMIN, world
from transports.base import StartRequest
from transports.fake import FakeNode, Outcome


def taking(seconds: float, **outcome: object) -> FakeNode:
    """A machine on which every script takes that long."""
    return FakeNode(behaviour=lambda _: Outcome(seconds=seconds, **outcome))  # type: ignore[arg-type]


def test_a_command_runs_once_and_its_result_is_stored() -> None:
    """C-6, C-7: success, exit code, output, duration, certainty, attempts."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(0.1, stdout=b"hello world\n")}) as it:
            machine = await it.add_node()
            command = await it.ended(await it.send())
            status = command.status
            assert (status.phase, status.reason, status.exit_code) == ("success", "Completed", 0)
            assert (status.output, status.output_bytes, status.truncated) == ("hello world", 12, False)
            assert (status.duration, status.certainty, status.attempts) == (SECOND // 10, "confirmed", 1)
            conditions = {c.type: c.status for c in status.conditions}
            assert conditions == {"Complete": "True", "Succeeded": "True", "Failed": "False"}
            assert set(machine.executed.values()) == {1}

    run(scenario())


def test_a_long_command_is_running_meanwhile() -> None:
    """C-7: running/Claimed between the claim and the end; its output is complete in the end."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(60, stdout=b"x" * 100_000)}) as it:
            await it.add_node()
            command = await it.send()
            seen = await it.until(lambda: it.command(command.name), lambda c: c.status.phase == "running")
            assert seen.status.reason == "Claimed"
            command = await it.ended(command)
            assert command.status.duration == 60 * SECOND
            assert it.store.output_sizes(command.uid) == (100_000, 0)
            assert command.status.truncated
            assert len(command.status.output or "") == 65536

    run(scenario())


def test_a_failure_and_a_signal_are_told_apart() -> None:
    """C-7: NonZeroExit and Signalled."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(0, exit_code=3), "n2": taking(0, exit_code=139)}) as it:
            await it.add_node("n1")
            await it.add_node("n2")
            first, second = await it.ended(await it.send("n1")), await it.ended(await it.send("n2"))
            assert (first.status.phase, first.status.reason, first.status.exit_code) == ("error", "NonZeroExit", 3)
            assert (second.status.reason, second.status.signal) == ("Signalled", 11)

    run(scenario())


def test_a_timeout_is_enforced_by_the_node() -> None:
    """C-3: timeout/ExecTimeout."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(600)}) as it:
            await it.add_node()
            command = await it.ended(await it.send(timeout=SECOND))
            assert (command.status.phase, command.status.reason) == ("timeout", "ExecTimeout")

    run(scenario())


def test_cancelling_works_before_during_and_after() -> None:
    """C-11, C-12: cancelled before it is sent and while it runs; a finished command stays what it is."""

    async def scenario() -> None:
        machine = taking(600)
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            running = await it.send()
            await it.until(lambda: it.command(running.name).status.phase, lambda p: p == "running")
            await it.admission.commands.cancel(running.name, ADMIN)
            assert (await it.ended(running, within=30)).status.phase == "cancelled"
            machine.power_off()
            waiting = await it.send()
            await it.until(lambda: it.command(waiting.name).status.reason, lambda r: r == "NodeUnreachable")
            await it.admission.commands.cancel(waiting.name, ADMIN)
            assert (await it.ended(waiting, within=5)).status.phase == "cancelled"
            assert sum(machine.executed.values()) == 1

    run(scenario())


def test_a_node_takes_so_many_commands_at_a_time_in_order() -> None:
    """A-12: node_concurrency; commands of a node start in the order in which they were accepted."""

    async def scenario() -> None:
        order: list[bytes] = []
        under_way = most = 0

        def behaviour(request: StartRequest) -> Outcome:
            nonlocal under_way, most
            order.append(request.script.split(b"run-")[1][:2])
            under_way += 1
            most = max(most, under_way)
            asyncio.get_running_loop().call_later(5, finish)
            return Outcome(seconds=5)

        def finish() -> None:
            nonlocal under_way
            under_way -= 1

        settings = Settings(controller=ControllerSettings(node_concurrency=1))
        async with world(settings, fleet={"n1": FakeNode(behaviour=behaviour)}) as it:
            await it.add_node()
            commands = [await it.send(action=f"run-{i:02}") for i in range(12)]
            for command in commands:
                await it.ended(command)
            assert order == [f"{i:02}".encode() for i in range(12)]
            assert most == 1

    run(scenario())


def test_one_dead_node_holds_nobody_up() -> None:
    """Nodes are independent: two hundred unreachable ones do not delay a command for a live one."""

    async def scenario() -> None:
        async with world() as it:
            for i in range(200):
                (await it.add_node(f"dead-{i}")).power_off()
                await it.send(f"dead-{i}")
            await it.add_node("live")
            began = asyncio.get_running_loop().time()
            await it.ended(await it.send("live"))
            assert asyncio.get_running_loop().time() - began < 2

    run(scenario())


def test_a_cordoned_node_keeps_commands_waiting_unless_forced() -> None:
    """C-1, C-7: pending/NodeCordoned for what was accepted before; force delivers."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            machine.power_off()
            waiting = await it.send()
            await it.until(lambda: it.command(waiting.name).status.reason, lambda r: r == "NodeUnreachable")
            spec = it.node().spec.model_copy(update={"unschedulable": True})
            await it.admission.nodes.update("n1", lambda old: old.model_copy(update={"spec": spec}), ADMIN)
            machine.up = True
            await it.until(lambda: it.command(waiting.name).status.reason, lambda r: r == "NodeCordoned")
            forced = await it.send(force=True)
            assert (await it.ended(forced)).status.phase == "success"
            assert it.command(waiting.name).status.phase == "pending"

    run(scenario())


def test_deleting_a_node_ends_its_commands_as_unknown() -> None:
    """B-7: DELETE never needs the node; unknown/NodeDeleted."""

    async def scenario() -> None:
        async with world(fleet={"n1": taking(600)}) as it:
            await it.add_node()
            command = await it.send()
            await it.until(lambda: it.command(command.name).status.phase, lambda p: p == "running")
            await it.admission.nodes.delete("n1", ADMIN)
            command = await it.ended(command, within=5)
            assert (command.status.phase, command.status.reason) == ("unknown", "NodeDeleted")

    run(scenario())


def test_the_server_suspects_itself_when_many_nodes_leave_at_once() -> None:
    """C-7 Frozen: no delivery while more than half of the fleet has just gone; it ends when they are back."""

    async def scenario() -> None:
        async with world() as it:
            machines = [await it.add_node(f"n{i}") for i in range(8)]
            await it.until(lambda: [bool(it.node(f"n{i}").status.facts) for i in range(8)], all)
            for machine in machines[:6]:
                machine.power_off()
            await it.until(lambda: it.controllers.frozen, bool)
            held = await it.send("n7")
            await it.until(lambda: it.command(held.name).status.reason, lambda r: r == "Frozen")
            for machine in machines:
                machine.up = True
            assert (await it.ended(held)).status.phase == "success"

    run(scenario())


def test_finished_commands_are_removed_and_their_ids_stay_taken() -> None:
    """C-8: retention by number; the id of a removed command stays reserved."""

    async def scenario() -> None:
        settings = Settings(retention=RetentionSettings(max_commands=3))
        async with world(settings) as it:
            await it.add_node()
            commands = [await it.ended(await it.send(name=f"mine-{i}")) for i in range(8)]
            left = await it.until(lambda: it.store.list("Command").items, lambda items: len(items) == 3)
            assert [c.name for c in left] == [c.name for c in commands[-3:]]
            assert it.store.get("Reservation", "mine-0") is not None

    run(scenario())


def test_removal_keeps_up_with_a_busy_fleet() -> None:
    """More commands may end between two sweeps than one write removes."""

    async def scenario() -> None:
        async with world(Settings(retention=RetentionSettings(max_commands=3))) as it:
            await it.add_node()
            for command in [await it.send() for _ in range(900)]:
                await it.ended(command)
            await it.until(lambda: it.store.list("Command").items, lambda left: len(left) <= 3, within=25)
            assert not it.store.list("Reservation").items

    run(scenario())


def test_finished_commands_are_removed_when_their_output_is_too_much() -> None:
    """The oldest first; one that is too much by itself stays until the next one has ended."""

    async def scenario() -> None:
        settings = Settings(retention=RetentionSettings(max_output_bytes=1 << 20))
        async with world(settings, fleet={"n1": taking(0, stdout=b"x" * 400_000)}) as it:
            await it.add_node()
            commands = [await it.ended(await it.send()) for _ in range(5)]
            left = await it.until(lambda: it.store.list("Command").items, lambda items: len(items) == 2)
            assert [c.name for c in left] == [c.name for c in commands[-2:]]
        async with world(settings, fleet={"n1": taking(0, stdout=b"x" * 4_000_000)}) as it:
            await it.add_node()
            large = await it.ended(await it.send())
            await asyncio.sleep(60)
            assert it.store.get("Command", large.name) is not None

    run(scenario())


def test_runs_are_forgotten_on_the_node_once_they_are_stored() -> None:
    """The node keeps the claim, so that a late duplicate does nothing, but not the output."""

    async def scenario() -> None:
        machine = taking(0, stdout=b"data\n")
        async with world(fleet={"n1": machine}) as it:
            await it.add_node()
            command = await it.ended(await it.send())
            run_id = next(iter(machine.runs))
            await it.until(lambda: machine.runs[run_id].outcome.stdout, lambda out: out == b"")
            assert it.command(command.name).status.output == "data"

    run(scenario())
