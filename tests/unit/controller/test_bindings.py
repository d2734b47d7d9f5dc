"""A credential is used where it was used first, and nowhere else before somebody confirms that (contract B-2)."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.admission import Caller, Denied, Refused
from controller.bindings import confirmed, narrowed, used, with_host_key
from controller.endpoints import Endpoints
from controller.resources.conditions import Condition, find
from controller.resources.meta import ObjectMeta
from controller.resources.node import CredentialBinding, Node, RefusedBinding, TransportSpec, transports_of
from controller.runtime.clock import SystemClock
from controller.settings import Settings
from controller.store.base import Create, Update
from controller.store.open import open_store
from tests.support.virtualtime import run
from tests.support.world import ADMIN, World, world
from transports.base import Endpoint, HostKeyPolicy
from transports.errors import CredentialRebindRequired
from transports.fake import FakeNode

ONE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTEx"
TWO = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIy"
NOW = SystemClock().now()


class Machine(FakeNode):
    """A machine that counts what reaches it."""

    def __init__(self, host_key: str = ONE) -> None:
        super().__init__(host_key=host_key)
        self.seen: Counter[str] = Counter()
        self.trouble = lambda what: self.seen.update([what])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with two credentials, one of them the default."""
    for name in ("key", "fallback"):
        (tmp_path / name).write_bytes(b"KEY")
    transports = {"credentials_dir": tmp_path, "ssh": {"default_credential": "fallback"}}
    return Settings.model_validate({"transports": transports}, strict=False)


def by_key(**more: Any) -> TransportSpec:
    return TransportSpec(type="fake", credential_ref="key", **more)


async def change(it: World, **spec: Any) -> Node:
    """As an admin changes a node."""
    return await it.admission.nodes.update(
        "n1", lambda node: node.model_copy(update={"spec": node.spec.model_copy(update=spec)}), ADMIN
    )


def rebind(node: Node) -> Condition | None:
    return find(node.status.conditions, "CredentialRebindRequired")


def is_rebind(status: str) -> Callable[[Node], bool]:
    def good(node: Node) -> bool:
        found = rebind(node)
        return found is not None and found.status == status

    return good


async def outcome(it: World) -> tuple[str, str]:
    """How a command ends now."""
    status = (await it.ended(await it.send(), within=30)).status
    return status.phase, status.reason


def test_the_first_use_binds(settings: Settings) -> None:
    """B-2: to the node, the address and port, and the host key."""

    async def scenario() -> None:
        async with world(settings, fleet={"n1": Machine()}) as it:
            await it.add_node(transport=by_key(port=2222))
            assert await outcome(it) == ("success", "Completed")
            (bound,) = it.node().status.credentials
            assert (bound.credential, bound.place, bound.host_key) == ("key", "n1:2222", ONE)
            assert rebind(it.node()) is None

    run(scenario())


def test_another_address_is_not_even_connected_to_until_somebody_confirms(settings: Settings) -> None:
    """B-2: though it was an admin who changed it; told by condition, event and metric."""

    async def scenario() -> None:
        fleet: dict[str, FakeNode] = {"n1": Machine(), "n2": (there := Machine())}
        async with world(settings, fleet=fleet) as it:
            await it.add_node(transport=by_key())
            await outcome(it)
            await change(it, address="n2")
            assert await outcome(it) == ("error", "CredentialRebindRequired")
            node = await it.until(it.node, is_rebind("True"), within=5)
            condition = rebind(node)
            assert condition is not None
            for part in ("'key'", "n1:80", "n2:80", "vendetta node trust n1 --credential"):
                assert part in condition.message
            assert not there.seen
            assert it.metrics.registry.get_sample_value("vendetta_credential_rebinds_required_total") == 1
            happened = {h.reason: h.warning for h in it.node_log.of(node.uid)}
            assert happened["CredentialRebindRequired"] is True
            node = await it.admission.nodes.trust("n1", ADMIN, credential=True)
            assert is_rebind("False")(node)
            assert await outcome(it) == ("success", "Completed")
            assert [b.place for b in it.node().status.credentials] == ["n2:80"]
            await change(it, address="n1")
            assert await outcome(it) == ("error", "CredentialRebindRequired")

    run(scenario())


def test_another_host_key_is_shown_nothing_until_somebody_confirms(settings: Settings) -> None:
    """B-2: even where the host key policy trusts it; what is confirmed is that key and no other."""

    async def scenario() -> None:
        machine = Machine()
        async with world(settings, fleet={"n1": machine}) as it:
            await it.add_node(transport=by_key())
            await outcome(it)
            machine.host_key = TWO
            machine.drop_connections()
            assert await outcome(it) == ("error", "CredentialRebindRequired")
            await it.until(it.node, is_rebind("True"), within=5)
            await it.admission.nodes.trust("n1", ADMIN, credential=True)
            assert await outcome(it) == ("success", "Completed")
            machine.host_key = ONE
            machine.drop_connections()
            assert await outcome(it) == ("error", "CredentialRebindRequired")

    run(scenario())


def test_a_transport_that_does_not_look_gets_no_further(settings: Settings) -> None:
    """B-2: the session is closed before anything is sent on it."""

    async def scenario() -> None:
        machine = Machine()
        async with world(settings, fleet={"n1": machine}) as it:
            await it.add_node(transport=by_key())
            await outcome(it)
            machine.checks_bound_key = False
            machine.host_key = TWO
            machine.drop_connections()
            machine.seen.clear()
            assert await outcome(it) == ("error", "CredentialRebindRequired")
            assert set(machine.seen) == {"connect"}
            assert not machine.sessions

    run(scenario())


def test_a_credential_held_back_is_told_though_another_address_only_does_not_answer(settings: Settings) -> None:
    """B-2: the first address may answer again, so that commands wait; the second one waits for an admin."""

    async def scenario() -> None:
        here = Machine()
        async with world(settings, fleet={"n1": here, "n2": Machine()}) as it:
            await it.add_node(transport=by_key())
            await outcome(it)
            await change(it, transport=None, transports=(by_key(), by_key(address="n2")))
            assert await outcome(it) == ("success", "Completed")
            here.power_off()
            node = await it.until(it.node, is_rebind("True"), within=60)
            reachable = find(node.status.conditions, "Reachable")
            assert reachable is not None
            assert reachable.reason == "NodeUnreachable"
            await it.admission.nodes.trust("n1", ADMIN, credential=True)
            assert await outcome(it) == ("success", "Completed")
            assert [b.place for b in it.node().status.credentials] == ["n1:80", "n2:80"]

    run(scenario())


def test_going_back_needs_no_confirmation(settings: Settings) -> None:
    """B-2: what was bound stays bound; the condition says that it is over."""

    async def scenario() -> None:
        async with world(settings, fleet={"n1": Machine(), "n2": Machine()}) as it:
            await it.add_node(transport=by_key())
            await outcome(it)
            await change(it, address="n2")
            await it.until(it.node, is_rebind("True"), within=60)
            await change(it, address="n1")
            assert await outcome(it) == ("success", "Completed")
            await it.until(it.node, is_rebind("False"), within=60)
            with pytest.raises(Refused, match="no credential"):
                await it.admission.nodes.trust("n1", ADMIN, credential=True)

    run(scenario())


def test_a_restart_forgets_neither_binding_nor_refusal(settings: Settings) -> None:
    """B-2: both are in the store; a node that was made anew is another one."""

    async def scenario() -> None:
        fleet: dict[str, FakeNode] = {"n1": Machine(), "n2": Machine()}
        async with world(settings, fleet=fleet) as first:
            await first.add_node(transport=by_key())
            await outcome(first)
            await change(first, address="n2")
            await first.until(first.node, is_rebind("True"), within=60)
        async with world(settings, fleet=fleet, store=first.store) as it:
            assert await outcome(it) == ("error", "CredentialRebindRequired")
            await it.admission.nodes.delete("n1", ADMIN)
            await it.add_node(address="n2", transport=by_key())
            assert await outcome(it) == ("success", "Completed")

    run(scenario())


def test_only_an_admin_confirms() -> None:
    """B-2, E-5: not the node itself, nor an operator."""

    async def scenario() -> None:
        async with world() as it:
            await it.add_node()
            for caller in (Caller(name="op", operator=True), Caller(name="n1", node_uid=it.node().uid)):
                with pytest.raises(Denied):
                    await it.admission.nodes.trust("n1", caller, credential=True)

    run(scenario())


# -- what is bound to what ----------------------------------------------------------------------------------------


def node_at(*bindings: CredentialBinding, **spec: Any) -> Node:
    node = Node()
    status = node.status.model_copy(update={"credentials": bindings})
    return node.model_copy(update={"spec": node.spec.model_copy(update=spec), "status": status})


def named(name: str, node: Node) -> Node:
    return node.model_copy(update={"metadata": ObjectMeta(name=name)})


def binding(place: str, host_key: str = "", credential: str = "key") -> CredentialBinding:
    return CredentialBinding(credential=credential, place=place, host_key=host_key, since=NOW)


def endpoint(address: str = "a", **more: Any) -> Endpoint:
    return Endpoint(node="n1", address=address, port=22, credential_ref="key", **more)


def test_two_addresses_of_one_node_are_bound_together() -> None:
    """B-2: those that the spec names at the first use; one that is added later has to be confirmed."""
    spec = {"transports": (TransportSpec(type="ssh", address="a"), TransportSpec(type="ssh", address="b"))}
    bound = used(node_at(**spec), endpoint("a"), ONE, NOW)
    assert [(b.place, b.host_key) for b in bound] == [("a:22", ONE), ("b:22", "")]
    assert narrowed(endpoint("b"), node_at(*bound)).bound_host_key is None
    bound = used(node_at(*bound, **spec), endpoint("b"), TWO, NOW)
    assert [(b.place, b.host_key) for b in bound] == [("a:22", ONE), ("b:22", TWO)]
    with pytest.raises(CredentialRebindRequired, match=r"a:22 .* and b:22"):
        narrowed(endpoint("c"), node_at(*bound))


def test_a_confirmed_place_replaces_those_that_the_node_has_left() -> None:
    """B-2: and only those."""
    node = node_at(
        binding("a:22"), binding("b:22"), binding("a:22", credential="other"),
        transports=(TransportSpec(type="ssh", address="c"), TransportSpec(type="ssh", address="b")),
    )  # fmt: skip
    after = confirmed(node, RefusedBinding(credential="key", place="c:22"), NOW)
    assert [(b.credential, b.place) for b in after] == [("key", "b:22"), ("other", "a:22"), ("key", "c:22")]


def test_through_another_jump_host_is_another_place() -> None:
    """B-2: the same private address behind another jump host is another machine."""
    via = Endpoint(node="bastion", address="j", port=22)
    node = node_at(binding("a:22 through bastion"))
    assert narrowed(endpoint(jump=via), node).bound_host_key is None
    for other in (endpoint(), endpoint(jump=Endpoint(node="elsewhere", address="j", port=22))):
        with pytest.raises(CredentialRebindRequired):
            narrowed(other, node)


async def test_a_jump_host_at_another_place_is_not_gone_through(settings: Settings) -> None:
    """B-2: its own credential would be shown to whoever is there; the refusal names the jump host."""
    store = open_store("memory", clock=SystemClock())
    await store.start()
    ssh = TransportSpec(type="ssh", credential_ref="key")
    jump = named("bastion", node_at(binding("a:22"), address="a", transport=ssh))
    behind = named("n1", node_at(address="10.0.0.1", transport=ssh.model_copy(update={"jump": "bastion"})))
    await store.write(Create(obj=jump), Create(obj=behind))
    endpoints = Endpoints(store, settings.transports, lambda address, port: (), local_ports=frozenset())
    assert endpoints.resolve(behind, transports_of(behind)[0]).place == "10.0.0.1:22 through bastion"
    await store.write(Update(obj=named("bastion", node_at(binding("a:22"), address="b", transport=ssh))))
    with pytest.raises(CredentialRebindRequired) as refused:
        endpoints.resolve(behind, transports_of(behind)[0])
    assert (refused.value.node, refused.value.place) == ("bastion", "b:22")
    await store.aclose()


async def test_the_default_credential_is_bound_like_any_other(settings: Settings) -> None:
    """B-2: under its name in the credentials directory."""
    store = open_store("memory", clock=SystemClock())
    await store.start()
    node = named("n1", node_at(binding("a:22", credential="fallback"), address="b", provider="ssh"))
    await store.write(Create(obj=node))
    endpoints = Endpoints(store, settings.transports, lambda address, port: (), local_ports=frozenset())
    with pytest.raises(CredentialRebindRequired, match="'fallback' is bound to a:22"):
        endpoints.resolve(node, transports_of(node)[0])
    await store.aclose()


def test_another_credential_is_bound_by_its_own_first_use() -> None:
    """B-2: bindings are one for each credential."""
    node = node_at(binding("b:22", credential="other"))
    assert narrowed(endpoint("a"), node) == endpoint("a")


@pytest.mark.parametrize(
    "how", [{"host_key_policy": HostKeyPolicy.INSECURE}, {"host_keys": (f"@cert-authority {TWO}",)}]
)
def test_a_key_that_need_not_stay_the_same_is_not_bound_to(how: dict[str, Any]) -> None:
    """B-2: nothing is known of it under `insecure`, and an authority may vouch for the next one."""
    bound = used(node_at(address="a", provider="ssh"), endpoint(**how), ONE, NOW)
    assert [(b.place, b.host_key) for b in bound] == [("a:22", "")]


def test_whoever_accepts_a_host_key_has_confirmed_it_for_the_credential() -> None:
    """B-2, E-7: `trust` with a fingerprint is one step, not two."""
    bound = with_host_key((binding("a:22", ONE), binding("b:22", ONE)), "a:22", TWO)
    assert [b.host_key for b in bound] == [TWO, ONE]
