"""Garbage collection, in virtual time (contract G-1)."""

import asyncio

from controller.resources.command import Command, CommandSpec
from controller.resources.meta import ObjectMeta, OwnerReference
from controller.settings import RetentionSettings, Settings
from tests.support.virtualtime import run
from tests.support.world import ADMIN, World, world
from transports.fake import FakeNode, Outcome


def owned_by(*uids: str, name: str = "") -> ObjectMeta:
    owners = (OwnerReference(api_version="vendetta.dev/v1", kind="Node", name="x", uid=uid) for uid in uids)
    return ObjectMeta(name=name, owner_references=tuple(owners))


async def send(it: World, node: str, meta: ObjectMeta) -> str:
    spec = CommandSpec(node=node, action="true")
    return (await it.admission.commands.create(spec, ADMIN, meta)).name


def freed(command: Command) -> Command:
    return command.model_copy(update={"metadata": command.metadata.model_copy(update={"finalizers": ()})})


def test_what_belonged_to_a_node_goes_after_it() -> None:
    """Once its last owner is gone; a command that is under way is cancelled first."""

    async def scenario() -> None:
        slow = FakeNode(behaviour=lambda request: Outcome(seconds=3000))
        async with world(fleet={"n3": slow}) as it:
            for name in ("n1", "n2", "n3"):
                await it.add_node(name)
            first, second = it.node("n1").uid, it.node("n2").uid
            both = await send(it, "n3", owned_by(first, second))
            one = await send(it, "n3", owned_by(first))
            free = await send(it, "n3", ObjectMeta())
            await it.until(lambda: it.command(both).status.phase, lambda phase: phase == "running")
            await it.admission.nodes.delete("n1", ADMIN)
            await it.until(lambda: it.store.get("Command", one), lambda found: found is None, within=60)
            await asyncio.sleep(60)
            assert it.command(both).status.phase == "running"
            await it.admission.nodes.delete("n2", ADMIN)
            await it.until(lambda: it.store.get("Command", both), lambda found: found is None, within=60)
            assert it.command(free).status.phase == "running"

    run(scenario())


def test_what_belongs_to_nobody_that_ever_was_goes_as_well() -> None:
    """As in Kubernetes: an owner that does not exist does not hold it."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node("n1")
            name = await send(it, "n1", owned_by("no-such-uid"))
            await it.until(lambda: it.store.get("Command", name), lambda found: found is None, within=60)

    run(scenario())


def test_retention_asks_those_who_hold_a_command_back() -> None:
    """A finalizer keeps it, marked, until it is taken away."""

    async def scenario() -> None:
        async with world(Settings(retention=RetentionSettings(max_commands=1))) as it:
            await it.add_node()
            held = await send(it, "n1", ObjectMeta(finalizers=("a/x",)))
            await it.ended(it.command(held))
            await it.ended(await it.send())
            await it.until(lambda: it.command(held).metadata.deletion_timestamp, bool, within=60)
            await it.admission.commands.update(held, freed, ADMIN)
            assert it.store.get("Command", held) is None

    run(scenario())
