"""Numbers that come from what is stored (contract D-4)."""

from prometheus_client.parser import text_string_to_metric_families as parse

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
