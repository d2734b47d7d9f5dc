"""Nodes through the whole controller, on a fake fleet in virtual time."""

import asyncio

import pytest

from controller.resources.conditions import find
from tests.support.virtualtime import run
from tests.support.world import ADMIN, world
from transports.base import Probe
from transports.errors import HostKeyMismatch, fingerprint_of
from transports.fake import FakeNode, FakeSession

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPp3Lm0M8Qq9sXGm3vNn5w2v7Fq3iYb1cJj0h0S5mJpQ"


def test_a_node_is_active_at_once_and_reachable_after_its_first_probe() -> None:
    """B-3, G-3: POST then GET says active; Reachable is Unknown until the first probe, Ready needs both."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            assert it.node().status.phase == "active"
            reachable = find(it.node().status.conditions, "Reachable")
            assert reachable is None or reachable.status == "Unknown"
            seen = await it.until(it.node, lambda n: n.status.facts, within=3)
            assert {c.type: c.status for c in seen.status.conditions} == {"Ready": "True", "Reachable": "True"}
            assert seen.status.facts["bootID"]

    run(scenario())


def test_three_failures_make_a_node_not_reachable_and_silence_makes_it_unreachable() -> None:
    """B-3: Reachable False after three failures in a row; status unreachable after node_timeout without contact."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            await it.until(it.node, lambda n: n.status.facts, within=3)
            machine.power_off()
            await it.until(it.node, lambda n: n.status.phase == "unreachable", within=75)
            assert find(it.node().status.conditions, "Reachable").status == "False"  # type: ignore[union-attr]
            machine.up = True
            seen = await it.until(it.node, lambda n: n.status.phase == "active", within=45)
            assert find(seen.status.conditions, "Ready").status == "True"  # type: ignore[union-attr]

    run(scenario())


def test_one_failed_probe_changes_nothing() -> None:
    """B-3: hysteresis: a blip shorter than three probes leaves Reachable as it was."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            await it.until(it.node, lambda n: n.status.facts, within=3)
            before = find(it.node().status.conditions, "Reachable")
            machine.power_off()
            await asyncio.sleep(9)
            machine.up = True
            await asyncio.sleep(30)
            assert find(it.node().status.conditions, "Reachable") == before

    run(scenario())


def test_a_probe_that_breaks_is_one_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """B-3: a transport from elsewhere may raise what no transport should."""

    async def broken(self: FakeSession) -> Probe:
        raise RuntimeError

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            await it.until(it.node, lambda n: n.status.facts, within=3)
            monkeypatch.setattr(FakeSession, "probe", broken)
            seen = await it.until(it.node, lambda n: n.status.phase == "unreachable", within=75)
            reachable = find(seen.status.conditions, "Reachable")
            assert reachable is not None
            assert reachable.message == "probing node n1 broke: RuntimeError"
            monkeypatch.undo()
            await it.until(it.node, lambda n: n.status.phase == "active", within=45)

    run(scenario())


def test_a_heartbeat_keeps_a_node_active_without_a_write_each() -> None:
    """B-3: contact counts for last_seen and status; the store is not written for each."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node(transport=None, port=8080)
            await asyncio.sleep(30)
            revision = it.store.revision()
            for _ in range(20):
                await it.admission.nodes.heartbeat("n1", ADMIN)
                await asyncio.sleep(10)
            assert it.node().status.phase == "active"
            assert it.store.revision() - revision < 10
            await asyncio.sleep(70)
            assert it.node().status.phase == "unreachable"

    run(scenario())


def test_a_probe_that_only_measures_something_else_is_not_a_write_each() -> None:
    """B-3: what a node's load is shows in its facts, within `node_timeout`."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            seen = await it.until(it.node, lambda n: n.status.facts, within=3)
            revision = it.store.revision()
            await asyncio.sleep(300)
            assert it.node().status.facts["load"] != seen.status.facts["load"]
            assert it.store.revision() - revision <= 300 / 60

    run(scenario())


def test_a_changed_host_key_is_a_condition_until_somebody_trusts_it() -> None:
    """E-7: HostKeyTrusted False with the key presented; trusting it lets the node in at once."""

    async def scenario() -> None:
        refusal = HostKeyMismatch("another key", presented=KEY, fingerprint=fingerprint_of(KEY))
        async with world(fleet={"n1": FakeNode(refusal=refusal)}) as it:
            machine = await it.add_node()
            seen = await it.until(it.node, lambda n: n.status.host_keys, within=10)
            assert find(seen.status.conditions, "HostKeyTrusted").status == "False"  # type: ignore[union-attr]
            assert not seen.status.host_keys[0].trusted
            await it.admission.nodes.trust("n1", ADMIN, fingerprint=fingerprint_of(KEY))
            machine.refusal, machine.host_key = None, KEY
            seen = await it.until(it.node, lambda n: n.status.facts, within=3)
            assert find(seen.status.conditions, "HostKeyTrusted").status == "True"  # type: ignore[union-attr]
            assert seen.status.host_keys[0].trusted

    run(scenario())


def test_a_changed_address_leads_to_another_machine() -> None:
    """A connection belongs to the spec that it was opened for."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node("n1")
            it.fleet["elsewhere"] = FakeNode()
            await it.ended(await it.send())
            spec = it.node().spec.model_copy(update={"address": "elsewhere"})
            await it.admission.nodes.update("n1", lambda old: old.model_copy(update={"spec": spec}), ADMIN)
            await it.ended(await it.send())
            assert [len(it.fleet[a].runs) for a in ("n1", "elsewhere")] == [1, 1]
            assert not it.fleet["n1"].sessions

    run(scenario())


def test_probes_are_spread_over_the_interval() -> None:
    """A-7: a thousand nodes known at start are not probed all at once."""

    async def scenario() -> None:
        async with world() as first:
            for i in range(300):
                await first.add_node(f"n{i}")
            await first.until(lambda: [first.node(f"n{i}").status.facts for i in range(300)], all)
        async with world(fleet=first.fleet, store=first.store) as it:
            await asyncio.sleep(2.5)
            answered = sum(1 for m in it.fleet.values() if m.sessions)
            assert 20 < answered < 150
            await asyncio.sleep(10)
            assert all(m.sessions for m in it.fleet.values())

    run(scenario())


def test_a_key_that_refused_a_command_is_shown_at_once() -> None:
    """E-7: whoever sees HostKeyMismatch finds the key to judge in the node's status, without waiting for a probe."""

    async def scenario() -> None:
        async with world() as it:
            machine = await it.add_node()
            await it.until(it.node, lambda n: n.status.facts, within=5)
            machine.refusal = HostKeyMismatch("another key", presented=KEY, fingerprint=fingerprint_of(KEY))
            machine.drop_connections()
            command = await it.ended(await it.send(), within=5)
            assert command.status.reason == "HostKeyMismatch"
            await it.until(it.node, lambda n: any(not k.trusted for k in n.status.host_keys), within=0.2)

    run(scenario())


def test_every_loop_says_when_it_moved_last_and_how_long_it_may_not() -> None:
    """D-4: from the start on, so that one which never finishes a round is noticed as well."""

    async def scenario() -> None:
        async with world() as it:
            seen: dict[str, set[str]] = {"limit": set(), "last_success_timestamp": set()}
            for family in it.metrics.registry.collect():
                for name in seen:
                    if family.name == f"vendetta_loop_{name}_seconds":
                        seen[name] = {sample.labels["loop"] for sample in family.samples}
            assert seen["limit"] == seen["last_success_timestamp"] >= {"prober", "commands", "nodes", "resync"}

    run(scenario())
