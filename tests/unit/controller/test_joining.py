"""Join tokens: used once, by one machine, for what they were made for (contract E-5)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.admission import Admission, AdmissionError, BadJoinToken, Caller, Denied, IdTaken, Refused
from controller.contacts import Contacts
from controller.duration import SECOND
from controller.reconcilers.retention import Retention
from controller.resources.jointoken import JoinToken
from controller.resources.meta import LAST_APPLIED, ObjectMeta
from controller.resources.node import Node, NodeSpec
from controller.resources.scheme import encode
from controller.resources.service import Check, Service
from controller.settings import RetentionSettings
from controller.store.base import Store
from controller.store.open import open_store
from tests.support.api import StillClock

ADMIN = Caller(name="root", admin=True)
KEY = "drawn-by-the-joiner"


class Gate:
    """Admission over a store, at a time that stands still."""

    def __init__(self, store: Store, clock: StillClock) -> None:
        self.store, self.clock = store, clock
        self.admission = Admission(store=store, clock=clock, contacts=Contacts(), node_timeout=60 * SECOND)

    async def token(self, node: str | None = None, **labels: str) -> str:
        """A join token that is good for an hour."""
        made = await self.admission.joining.make(ADMIN, lifetime=timedelta(hours=1), node=node, labels=labels)
        return made[1]

    async def join(self, token: str, name: str = "n1", *, key: str = "", **spec: Any) -> Node:
        """Join, saying that of oneself."""
        return await self.admission.joining.join(token, name, saying(**spec), key=key)

    async def node(self, name: str = "n1", **spec: Any) -> Node:
        """A node that an admin has registered."""
        return await self.admission.nodes.create(Node(metadata=ObjectMeta(name=name), spec=NodeSpec(**spec)), ADMIN)

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.clock.at += timedelta(**by)


def saying(labels: dict[str, str] | None = None, **spec: Any) -> Callable[[Node], Node]:
    """What a joiner says of itself."""

    def change(node: Node) -> Node:
        metadata = node.metadata.model_copy(
            update={"labels": labels or {}, "annotations": {LAST_APPLIED: "{}", "note": "hello"}}
        )
        return node.model_copy(update={"spec": node.spec.model_copy(update=spec), "metadata": metadata})

    return change


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    clock = StillClock()
    store = open_store("memory", clock=clock)
    await store.start()
    yield Gate(store, clock)
    await store.aclose()


async def test_a_machine_joins_as_a_new_node(gate: Gate) -> None:
    """E-5: with what it says of itself, but for checks, our own annotations, and labels that the token gives."""
    checked = Service(id="web", check=Check(tcp=True))
    token = await gate.token(env="dev")
    node = await gate.join(token, address="10.0.0.9", services=(checked,), labels={"env": "prod", "rack": "7"})
    assert (node.spec.address, node.status.phase) == ("10.0.0.9", "active")
    assert node.metadata.labels == {"env": "dev", "rack": "7"}
    assert node.metadata.annotations == {"note": "hello"}
    assert node.spec.services[0].check is None
    assert gate.admission.nodes.last_seen(node) == gate.clock.at


async def test_a_token_is_used_once(gate: Gate) -> None:
    """E-5: not by another, nor by the same under another name, nor by whoever lacks the joiner's key."""
    token = await gate.token()
    await gate.join(token, "n1", key=KEY)
    for name, key in (("n1", ""), ("n1", "another-key-of-some-length"), ("n2", KEY), ("n2", "")):
        with pytest.raises(BadJoinToken, match="has been used"):
            await gate.join(token, name, key=key)


async def test_a_token_used_without_a_key_cannot_be_repeated(gate: Gate) -> None:
    """E-5: nobody could prove that it was him."""
    token = await gate.token()
    await gate.join(token)
    with pytest.raises(BadJoinToken, match="has been used"):
        await gate.join(token)


async def test_of_two_at_the_same_time_one_wins(gate: Gate) -> None:
    """E-5: the node and the use of the token are one write, so that the losers leave no node behind."""
    token = await gate.token()
    ends = await asyncio.gather(
        *(gate.join(token, f"n{i}", key=f"{KEY}-{i}") for i in range(8)), return_exceptions=True
    )
    assert [type(e) for e in ends if not isinstance(e, Node)] == [BadJoinToken] * 7
    assert len(gate.store.list("Node").items) == 1


async def test_who_did_not_get_the_answer_asks_again(gate: Gate) -> None:
    """E-5: the same joiner, for some minutes, and changes nothing by it."""
    token = await gate.token()
    first = await gate.join(token, key=KEY)
    gate.later(minutes=9)
    assert await gate.join(token, key=KEY, address="elsewhere") == first
    gate.later(minutes=1)
    with pytest.raises(BadJoinToken, match="has been used"):
        await gate.join(token, key=KEY)


async def test_a_restart_forgets_no_use(tmp_path: Path) -> None:
    """E-5: a token that was used before a restart is not good after it, except for its joiner."""
    clock, file = StillClock(), str(tmp_path / "v.db")
    store = open_store("sqlite", file, clock=clock)
    await store.start()
    gate = Gate(store, clock)
    token = await gate.token()
    first = await gate.join(token, key=KEY)
    await store.aclose()
    store = open_store("sqlite", file, clock=clock)
    await store.start()
    gate = Gate(store, clock)
    assert (await gate.join(token, key=KEY)).uid == first.uid
    with pytest.raises(BadJoinToken, match="has been used"):
        await gate.join(token, "n2", key="another-key-of-some-length")
    await store.aclose()


async def test_a_node_that_is_there_is_not_taken_over(gate: Gate) -> None:
    """E-5: the name is refused, and the token stays good for another one."""
    old = await gate.node()
    token = await gate.token()
    with pytest.raises(IdTaken, match="only a join token made for it"):
        await gate.join(token, "n1")
    assert gate.admission.nodes.get("n1") == old
    assert (await gate.join(token, "n2")).name == "n2"


async def test_a_node_is_taken_over_by_a_token_made_for_it(gate: Gate) -> None:
    """E-5, B-1: uid, address, transport and labels stay; tokens that it had before are void."""
    old = await gate.node(address="10.0.0.1", provider="ssh")
    token = await gate.token("n1", env="dev")
    gate.later(seconds=5)
    node = await gate.join(token, "n1", address="evil", display_name="mine", labels={"env": "prod", "x": "y"})
    assert (node.uid, node.spec.address, node.spec.provider) == (old.uid, "10.0.0.1", "ssh")
    assert (node.spec.display_name, node.metadata.labels) == ("mine", {"env": "dev"})
    assert node.status.tokens_revoked_at == gate.clock.at


async def test_a_token_for_one_node_is_good_for_no_other(gate: Gate) -> None:
    """E-5: refused, and not used up."""
    token = await gate.token("n1")
    with pytest.raises(Denied, match="another node"):
        await gate.join(token, "n2")
    assert (await gate.join(token, "n1")).name == "n1"


async def test_a_token_for_a_node_is_not_for_a_later_one_of_that_name(gate: Gate) -> None:
    """E-5: bound to the uid, where the node was there."""
    await gate.node()
    token = await gate.token("n1")
    await gate.admission.nodes.delete("n1", ADMIN)
    with pytest.raises(Refused, match="was removed"):
        await gate.join(token, "n1")
    await gate.node()
    with pytest.raises(BadJoinToken, match="earlier node"):
        await gate.join(token, "n1")


async def test_an_expired_or_revoked_token_is_none(gate: Gate) -> None:
    """E-5: to the second."""
    expired, revoked = await gate.token(), await gate.token()
    await gate.admission.joining.remove(revoked.split("_")[1], ADMIN)
    with pytest.raises(BadJoinToken, match="no such"):
        await gate.join(revoked)
    gate.later(hours=1)
    with pytest.raises(BadJoinToken, match="expired"):
        await gate.join(expired)


async def test_a_forged_token_is_none(gate: Gate) -> None:
    """E-5: every character counts, and the id alone is worth nothing."""
    token = await gate.token()
    last = "0" if token[-1] != "0" else "1"
    name = token.split("_")[1]
    for forged in (token[:-1] + last, f"vjt_{name}_{'0' * 64}", f"vjt_{name}_", name, token.upper(), token + "0", ""):
        with pytest.raises(BadJoinToken, match="no such"):
            await gate.join(forged)


async def test_revoking_a_nodes_tokens_ends_its_join_tokens_too(gate: Gate) -> None:
    """E-5: one made for it that waits, and the repeat of one that was used; one made later is good."""
    await gate.node()
    waiting, used = await gate.token("n1"), await gate.token()
    await gate.join(used, "n2", key=KEY)
    gate.later(seconds=1)
    for name in ("n1", "n2"):
        await gate.admission.nodes.revoke_tokens(name, ADMIN)
    with pytest.raises(BadJoinToken, match="revoked"):
        await gate.join(waiting, "n1")
    with pytest.raises(BadJoinToken, match="revoked"):
        await gate.join(used, "n2", key=KEY)
    gate.later(seconds=1)
    assert (await gate.join(await gate.token("n1"), "n1")).name == "n1"


async def test_a_repeat_does_not_bring_a_removed_node_back(gate: Gate) -> None:
    """E-5: nor does it get a token for a later node of that name."""
    token = await gate.token()
    await gate.join(token, key=KEY)
    await gate.admission.nodes.delete("n1", ADMIN)
    await gate.node()
    with pytest.raises(BadJoinToken, match="was removed"):
        await gate.join(token, key=KEY)


async def test_only_an_admin_has_to_do_with_join_tokens(gate: Gate) -> None:
    """E-5: tokens are an admin's."""
    joining, operator = gate.admission.joining, Caller(name="op", operator=True)
    with pytest.raises(Denied):
        await joining.make(operator, lifetime=timedelta(hours=1), node=None, labels={})
    with pytest.raises(Denied):
        joining.all(operator)
    with pytest.raises(Denied):
        await joining.remove("x", operator)
    with pytest.raises(Denied):
        await gate.admission.nodes.revoke_tokens("n1", operator)


async def test_no_secret_is_stored(gate: Gate) -> None:
    """E-8: neither the token's nor the joiner's."""
    token = await gate.token()
    await gate.join(token, key=KEY)
    stored = b"".join(encode(obj) for obj in gate.store.list("JoinToken").items)
    assert token.split("_")[2].encode() not in stored
    assert KEY.encode() not in stored


async def test_tokens_go_an_hour_after_they_have_expired(gate: Gate) -> None:
    """E-5: used or not; until then they are listed."""
    await gate.join(await gate.token(), key=KEY)
    retention = Retention(gate.store, gate.clock, RetentionSettings())
    gate.later(minutes=119)
    await retention.sweep()
    (kept,) = gate.admission.joining.all(ADMIN)
    assert isinstance(kept, JoinToken)
    assert kept.status.used is not None
    gate.later(minutes=1)
    await retention.sweep()
    assert gate.admission.joining.all(ADMIN) == []


async def test_a_joiner_cannot_choose_a_name_that_no_node_may_have(gate: Gate) -> None:
    """B-1: and the token is not used up."""
    token = await gate.token()
    with pytest.raises(AdmissionError, match="name is not valid"):
        await gate.join(token, "../x")
    assert (await gate.join(token, "n1")).name == "n1"
