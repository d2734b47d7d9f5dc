"""What may go wrong between the controller and a node, and never ends in a wrong, lost or repeated run."""

import asyncio
from collections import Counter
from collections.abc import Callable

from controller.duration import SECOND
from controller.resources.conditions import find
from controller.resources.node import Node
from controller.settings import ControllerSettings, Settings
from tests.support.virtualtime import run
from tests.support.world import ADMIN, world
from transports.errors import ConnectionLost, StartRefused, TransportError, Unreachable, UnsupportedShell
from transports.fake import FakeNode, Outcome


class Trouble:
    """Raises an error at the named step, so many times, and counts every step."""

    def __init__(self, step: str, error: Callable[[], Exception], times: int = 1 << 30) -> None:
        self.step, self.error, self.left = step, error, times
        self.seen: Counter[str] = Counter()

    def __call__(self, what: str) -> None:
        """Count, and raise where it is due."""
        self.seen[what] += 1
        if what == self.step and self.left > 0:
            self.left -= 1
            raise self.error()


def machine(trouble: Trouble, seconds: float = 0.0, stdout: bytes = b"out\n") -> FakeNode:
    """A machine with that trouble."""
    outcome = Outcome(seconds=seconds, stdout=stdout)
    return FakeNode(latency=0.02, behaviour=lambda _: outcome, trouble=trouble)


def test_a_node_that_refuses_every_start_is_given_up_at_the_deadline() -> None:
    """C-3: delivery_timeout holds after the first send, too; it is proven that nothing ran."""

    async def scenario() -> None:
        trouble = Trouble("start", lambda: StartRefused("read-only file system"))
        async with world(fleet={"n1": machine(trouble)}) as it:
            await it.add_node()
            command = await it.ended(await it.send(delivery_timeout=30 * SECOND), within=40)
            assert (command.status.phase, command.status.reason) == ("timeout", "DeliveryTimeout")
            assert command.status.certainty == "confirmed"
            assert not it.fleet["n1"].executed

    run(scenario())


def test_nothing_starts_long_after_its_deadline() -> None:
    """C-3, C-9: a server that dies after the intent and comes back an hour later does not start it then."""

    async def scenario() -> None:
        node = FakeNode(latency=0.02, lose_before_claim=1 << 30)
        async with world(fleet={"n1": node}) as first:
            await first.add_node()
            command = await first.send(delivery_timeout=30 * SECOND)
            await first.until(lambda: first.command(command.name).status.attempts, bool)
        await asyncio.sleep(3600)
        node.lose_before_claim = 0
        async with world(fleet={"n1": node}, store=first.store) as second:
            command = await second.ended(command)
            assert (command.status.phase, command.status.reason) == ("timeout", "DeliveryTimeout")
            assert not node.executed

    run(scenario())


def test_a_node_that_connects_and_never_answers_is_neither_stormed_nor_waited_for_for_ever() -> None:
    """C-7: unknown/NodeUnreachable in time; connections that do not last back off like failed ones."""

    async def scenario() -> None:
        trouble = Trouble("status", lambda: ConnectionLost("cut"))
        async with world(fleet={"n1": machine(trouble, seconds=1)}) as it:
            await it.add_node()
            command = await it.send(timeout=SECOND)
            unknown = await it.ended(command, within=200)
            assert (unknown.status.phase, unknown.status.reason) == ("unknown", "NodeUnreachable")
            await asyncio.sleep(3600)
            assert trouble.seen["connect"] < 400

    run(scenario())


def test_output_that_cannot_be_fetched_at_once_changes_no_outcome() -> None:
    """C-9: an error on the way to the output is no refusal of the command."""

    async def scenario() -> None:
        trouble = Trouble("read", lambda: UnsupportedShell("the shell said nothing"), times=3)
        async with world(fleet={"n1": machine(trouble, stdout=b"x" * 5000)}) as it:
            await it.add_node()
            command = await it.ended(await it.send())
            assert (command.status.phase, command.status.output_bytes) == ("success", 5000)
            assert it.store.output_sizes(command.uid) == (5000, 0)

    run(scenario())


def test_an_error_after_the_claim_keeps_the_intent() -> None:
    """C-9: whatever the answer to a start was, what was written before it stands."""

    async def scenario() -> None:
        trouble = Trouble("claimed", lambda: TransportError("the runner answered nonsense"), times=1)
        async with world(fleet={"n1": machine(trouble, seconds=20)}) as it:
            await it.add_node()
            command = await it.send()
            await it.until(lambda: trouble.left, lambda left: left == 0)
            await asyncio.sleep(0.1)
            delivery = it.command(command.name).status.delivery
            assert delivery is not None
            assert delivery.boot_id is not None
            command = await it.ended(command)
            assert command.status.phase == "success"
            assert list(it.fleet["n1"].executed.values()) == [1]

    run(scenario())


def test_an_unanswered_start_is_not_repeated_on_another_machine() -> None:
    """C-9: the address was changed in between: what happened at the old one is unknown, and nothing is sent."""

    async def scenario() -> None:
        first = FakeNode(latency=0.02, lose_after_claim=1 << 30)
        second = FakeNode(latency=0.02, boot_id=first.boot_id)
        async with world(fleet={"n1": first, "elsewhere": second}) as it:
            await it.add_node()
            command = await it.send()
            await it.until(lambda: first.executed, bool)
            spec = it.node().spec.model_copy(update={"address": "elsewhere"})

            def move(old: Node) -> Node:
                return old.model_copy(update={"spec": spec})

            await it.admission.nodes.update("n1", move, ADMIN)
            command = await it.ended(command)
            assert (command.status.phase, command.status.reason) == ("unknown", "DeliveryUnconfirmed")
            await asyncio.sleep(120)
            assert it.command(command.name).status == command.status
            assert not second.executed
            assert not second.runs

    run(scenario())


def test_each_run_is_cleaned_up_once() -> None:
    """Resyncs do not clean again what is clean."""

    async def scenario() -> None:
        trouble = Trouble("nothing", RuntimeError)
        async with world(fleet={"n1": machine(trouble)}) as it:
            await it.add_node()
            for _ in range(5):
                await it.ended(await it.send())
            await asyncio.sleep(600)
            assert trouble.seen["gc"] <= 5

    run(scenario())


def test_a_forced_command_does_not_wait_behind_those_that_the_cordon_holds() -> None:
    """C-1, C-7: force delivers to a cordoned node, however many wait there."""

    async def scenario() -> None:
        settings = Settings(controller=ControllerSettings(node_concurrency=1))
        async with world(settings, fleet={"n1": FakeNode(up=False)}) as it:
            await it.add_node()
            held = [await it.send() for _ in range(3)]
            spec = it.node().spec.model_copy(update={"unschedulable": True})

            def cordon(old: Node) -> Node:
                return old.model_copy(update={"spec": spec})

            await it.admission.nodes.update("n1", cordon, ADMIN)
            it.fleet["n1"].up = True
            forced = await it.ended(await it.send(force=True))
            assert forced.status.phase == "success"
            assert {it.command(c.name).status.reason for c in held} == {"NodeCordoned"}

    run(scenario())


def test_a_transport_that_breaks_is_a_node_that_cannot_be_reached() -> None:
    """A foreign exception is logged and shown, and tried again with back-off."""

    async def scenario() -> None:
        trouble = Trouble("connect", lambda: ValueError("a bug"), times=6)
        async with world(fleet={"n1": machine(trouble)}) as it:
            await it.add_node()
            seen = await it.until(it.node, lambda n: _reachable(n) == "NodeUnreachable", within=60)
            assert "ValueError" in find(seen.status.conditions, "Reachable").message  # type: ignore[union-attr]
            assert (await it.ended(await it.send())).status.phase == "success"

    run(scenario())


def test_nodes_that_swallow_every_connect_hold_up_no_other() -> None:
    """Two hundred addresses behind a wall, each taking its ten seconds: a live node is connected to all the same."""

    async def scenario() -> None:
        async with world() as it:
            for i in range(200):
                await it.add_node(f"silent-{i}")
                it.fleet[f"silent-{i}"] = FakeNode(
                    latency=10, trouble=Trouble("connect", lambda: Unreachable("no answer"))
                )
            await asyncio.sleep(300)
            live = await it.add_node("live")
            for _ in range(20):
                began = asyncio.get_running_loop().time()
                assert (await it.ended(await it.send("live"))).status.phase == "success"
                assert asyncio.get_running_loop().time() - began < 2
                await asyncio.sleep(40)
                live.drop_connections()

    run(scenario())


def _reachable(node: Node) -> str:
    condition = find(node.status.conditions, "Reachable")
    return condition.reason if condition is not None else ""


def test_a_deleted_node_leaves_no_connection_behind() -> None:
    """B-7: also when it is deleted while it is being connected to."""

    async def scenario() -> None:
        async with world() as it:
            for i in range(30):
                (await it.add_node(f"n{i}")).latency = 0.5
            await asyncio.sleep(1.2)
            for i in range(30):
                await it.admission.nodes.delete(f"n{i}", ADMIN)
            await asyncio.sleep(30)
            assert sum(len(m.sessions) for m in it.fleet.values()) == 0

    run(scenario())


def test_a_clock_that_was_set_back_hides_no_dead_node() -> None:
    """B-3: contacts that lie ahead prove nothing; the probes decide."""

    async def scenario() -> None:
        async with world() as it:
            node = await it.add_node()
            await it.until(it.node, lambda n: n.status.facts, within=5)
            it.clock.skew -= it.clock.skew.resolution * 86_400_000_000
            node.power_off()
            await it.until(it.node, lambda n: n.status.phase == "unreachable", within=120)

    run(scenario())
