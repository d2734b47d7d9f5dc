"""What a node may say of itself, and what it may not (contract E-5)."""

import pytest

from controller.admission.caller import Caller
from controller.admission.errors import Denied
from controller.admission.results import Report
from controller.resources.meta import LAST_APPLIED
from controller.resources.node import Node
from controller.resources.service import Check, Service
from tests.support.virtualtime import run
from tests.support.world import world


def test_a_node_that_registers_again_cannot_move_itself() -> None:
    """E-5: intent, provider, address, transport, labels and the annotations of apply stay what an admin made them."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node(provider="ssh")
            before = it.node()

            def claim(old: Node) -> Node:
                spec = old.spec.model_copy(
                    update={"provider": "docker", "address": "evil", "unschedulable": True, "display_name": "mine"}
                )
                metadata = old.metadata.model_copy(
                    update={"labels": {"role": "prod"}, "annotations": {LAST_APPLIED: "{}", "note": "hello"}}
                )
                return old.model_copy(update={"spec": spec, "metadata": metadata})

            itself = Caller(name="agent", node_uid=before.uid)
            after = await it.admission.nodes.register("n1", claim, itself)
            assert after.spec == before.spec.model_copy(update={"display_name": "mine"})
            assert after.metadata.labels == {}
            assert after.metadata.annotations == {"note": "hello"}

    run(scenario())


def test_a_stranger_learns_nothing_about_another_nodes_command() -> None:
    """C-13: 403 before anything else is said about the command."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            command = await it.send()
            report = Report(id=command.name, node_id="n1", status="success")
            with pytest.raises(Denied):
                await it.admission.commands.report(command.name, report, Caller(name="other", node_uid="another"))
            await it.ended(command)

    run(scenario())


def test_an_operator_may_cordon_and_nothing_else() -> None:
    """E-5: cordon and uncordon."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            operator = Caller(name="op", operator=True)
            spec = it.node().spec.model_copy(update={"unschedulable": True})
            await it.admission.nodes.update("n1", lambda old: old.model_copy(update={"spec": spec}), operator)
            elsewhere = spec.model_copy(update={"address": "elsewhere"})
            with pytest.raises(Denied):
                await it.admission.nodes.update(
                    "n1", lambda old: old.model_copy(update={"spec": elsewhere}), operator
                )
            assert it.node().spec.unschedulable

    run(scenario())


def test_nobody_but_an_admin_declares_a_check_or_has_a_node_looked_at() -> None:
    """D-2, E-5: a program run as a check is a command, and where a check is aimed at is an outbound address."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node(services=(Service(id="web", port=80),))
            node = it.node()
            for check in (Check(exec=("id",)), Check(tcp=True)):

                def declare(old: Node, check: Check = check) -> Node:
                    web = Service(id="web", port=80, check=check)
                    spec = old.spec.model_copy(update={"services": (web,), "discovery": True})
                    return old.model_copy(update={"spec": spec})

                with pytest.raises(Denied):
                    await it.admission.nodes.update("n1", declare, Caller(name="o", operator=True))
                with pytest.raises(Denied):
                    await it.admission.nodes.update("n1", declare, Caller(name="n", node_uid=node.uid))
                itself = Caller(name="n", node_uid=node.uid)
                after = await it.admission.nodes.register("n1", declare, itself)
                assert (after.spec.services[0].check, after.spec.discovery) == (None, None)

    run(scenario())
