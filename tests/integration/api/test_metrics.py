"""Numbers that come from what is stored (contract D-4)."""

from prometheus_client.parser import text_string_to_metric_families as parse

from controller.resources.node import Node, NodePhase
from controller.resources.service import ServiceStatus
from controller.store.base import Update
from tests.support.inprocess import API


async def metric(api: API, name: str) -> float:
    """A metric without labels."""
    text = (await api.client.get("/metrics/prometheus")).text
    return next(family.samples[0].value for family in parse(text) if family.name == name)


async def test_the_command_that_waits_longest_is_known_by_its_age(api: API) -> None:
    """Zero where none waits; and it goes with the command's end."""
    name = "vendetta_commands_oldest_pending_seconds"
    await api.node()
    assert await metric(api, name) == 0
    command = await api.command()
    assert 0 < await metric(api, name) < 60
    await api.end(command["id"])
    assert await metric(api, name) == 0


async def labelled(api: API, name: str) -> dict[str, float]:
    """A metric with one label, by that label's value."""
    text = (await api.client.get("/metrics/prometheus")).text
    family = next(family for family in parse(text) if family.name == name)
    return {next(iter(sample.labels.values())): sample.value for sample in family.samples}


async def observed(api: API, name: str, phase: NodePhase, *services: ServiceStatus) -> None:
    """A node as the controller leaves it."""
    await api.node(name)
    node = api.store.get("Node", name)
    assert isinstance(node, Node)
    status = node.status.model_copy(update={"phase": phase, "services": services})
    await api.store.write(Update(obj=node.model_copy(update={"status": status})))


async def test_services_of_which_nothing_is_known_are_told_apart_by_why(api: API) -> None:
    """D-1: not checked although the node is active is the server's trouble; the rest is the node's."""
    assert await labelled(api, "vendetta_services_stale") == {"check": 0, "node": 0}
    late = ServiceStatus(id="late", stale=True)
    await observed(api, "here", "active", ServiceStatus(id="web", status="failed"), ServiceStatus(id="own"), late)
    await observed(
        api, "away", "unreachable", ServiceStatus(id="web", stale=True), ServiceStatus(id="db", stale=True)
    )
    assert await labelled(api, "vendetta_services_stale") == {"check": 1, "node": 2}
    statuses = await labelled(api, "vendetta_services_by_status")
    assert {status: count for status, count in statuses.items() if count} == {"failed": 1, "unknown": 4}
