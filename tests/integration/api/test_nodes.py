"""Nodes over the document's API (contract B)."""

import asyncio
from typing import Any

import pytest

from api.auth.principal import Principal, Role
from controller.resources.command import Command
from controller.resources.node import HostKey, Node, RefusedBinding
from controller.resources.record import Record
from controller.store.base import Update
from tests.support.inprocess import API

DOCUMENTED: dict[str, Any] = {
    "id": "node-1",
    "name": "Development Node 1",
    "provider": "docker",
    "status": "active",
    "address": "localhost",
    "port": 8080,
    "labels": {"env": "dev", "region": "us-west"},
    "capabilities": {"docker": True, "kubernetes": False},
}
OPERATOR = Principal(name="olga", role=Role.OPERATOR)
VIEWER = Principal(name="vera", role=Role.VIEWER)


def agent(node: dict[str, Any]) -> Principal:
    """The node itself."""
    return Principal(name="agent", role=Role.NODE, node_uid=node["uid"])


async def test_registering_answers_200_with_the_whole_node(api: API) -> None:
    """B-1: the document's own example; existing clients demand exactly 200."""
    response = await api.client.post("/api/v1/nodes", json=DOCUMENTED)
    assert response.status_code == 200
    node = response.json()
    assert {key: node[key] for key in DOCUMENTED} == DOCUMENTED
    assert node.keys() >= {"services", "metadata", "conditions", "last_seen", "created_at", "updated_at"}
    assert (await api.client.get("/api/v1/nodes/node-1")).json()["status"] == "active"


async def test_registering_again_keeps_what_was_not_given(api: API) -> None:
    """B-1: created_at and uid stay, only the fields given are replaced, and node_updated is told."""
    first = await api.node(**{k: v for k, v in DOCUMENTED.items() if k != "id"})
    async with api.store.watch(frozenset({"Node"})) as changes:
        second = await api.node(port=9090)
        (change,) = await changes.batch(10, timeout=1)
    assert change.announce == "node_updated"
    moved = {"port", "updated_at", "last_seen", "resource_version"}
    assert {k: v for k, v in second.items() if k not in moved} == {k: v for k, v in first.items() if k not in moved}
    assert second["port"] == 9090


async def test_registering_the_same_again_is_still_told(api: API) -> None:
    """B-1: re-registering emits node_updated."""
    await api.node(address="a")
    async with api.store.watch(frozenset({"Node"})) as changes:
        await api.node(address="a")
        (change,) = await changes.batch(10, timeout=1)
    assert change.announce == "node_updated"


async def test_a_node_changes_neither_its_intent_nor_its_transport(api: API) -> None:
    """B-1, E-5: only an admin uncordons a node or changes how it is reached; the rest of its message counts."""
    node = await api.node(status="inactive", address="10.0.0.1", transport={"type": "ssh"})
    async with api.as_(agent(node)) as client:
        response = await client.post(
            "/api/v1/nodes",
            json={
                "id": "node-1",
                "status": "active",
                "address": "6.6.6.6",
                "transport": {"type": "http"},
                "capabilities": ["docker"],
                "services": [{"id": "web", "check": {"exec": ["rm"]}}],
            },
        )
    told = response.json()
    assert response.status_code == 200
    assert (told["status"], told["address"], told["transport"]) == ("inactive", "10.0.0.1", {"type": "ssh"})
    assert told["capabilities"] == {"docker": True}
    assert "check" not in told["services"]["web"]


async def test_others_may_not_register(api: API) -> None:
    """E-5: nodes are made by admins; another node's token is of no use."""
    node = await api.node()
    await api.node("node-2")
    async with api.as_(agent(node)) as client:
        assert (await client.post("/api/v1/nodes", json={"id": "node-2"})).status_code == 403
        assert (await client.post("/api/v1/nodes", json={"id": "node-3"})).status_code == 403
    async with api.as_(OPERATOR) as client:
        assert (await client.post("/api/v1/nodes", json={"id": "node-3"})).status_code == 403


async def test_nobody_gets_in_past_a_forgotten_door(api: API) -> None:
    """E-5: no principal, no answer."""
    async with api.as_(None) as client:
        response = await client.get("/api/v1/nodes")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_capabilities_and_services_come_in_two_forms(api: API) -> None:
    """B-1: a list of names, a list of services; out always maps."""
    node = await api.node(capabilities=["docker"], services=[{"id": "web", "port": 80}])
    assert node["capabilities"] == {"docker": True}
    assert node["services"]["web"]["port"] == 80
    again = await api.node(services={"db": {"port": 5432}})
    assert list(again["services"]) == ["db"]


async def test_unknown_fields_are_ignored_and_named(api: API) -> None:
    """B-1: a Warning header names them."""
    response = await api.client.post("/api/v1/nodes", json={"id": "n", "hostname": "x", "zone": 1})
    assert response.status_code == 200
    assert response.headers["warning"] == '299 - "ignored unknown fields: hostname, zone"'


@pytest.mark.parametrize("secret", ["password", "token", "private_key", "secret"])
async def test_secrets_in_a_transport_are_refused(api: API, secret: str) -> None:
    """B-1: 400 that names credential_ref, and never says the secret."""
    response = await api.client.post(
        "/api/v1/nodes", json={"id": "n", "transport": {"type": "ssh", secret: "hunter2"}}
    )
    assert response.status_code == 400
    assert "credential_ref" in response.text
    assert "hunter2" not in response.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "-a"},
        {"id": "a/b"},
        {"id": "a" * 64},
        {"id": "a\x00b"},
        {"id": 5},
        {},
        {"id": "n", "port": 0},
        {"id": "n", "port": 65536},
        {"id": "n", "port": "8080"},
        {"id": "n", "port": True},
        {"id": "n", "labels": {"a b": "c"}},
        {"id": "n", "labels": {"a": "b c"}},
        {"id": "n", "labels": {"a": 5}},
        {"id": "n", "status": "bogus"},
        {"id": "n", "name": "a\x00"},
        {"id": "n", "services": [{"id": "a"}, {"id": "a"}]},
        {"id": "n", "services": {"a": {"id": "b"}}},
        {"id": "n", "transport": {"type": "ssh"}, "transports": [{"type": "http"}]},
        {"id": "n", "transport": {"type": "ssh", "connect_timeout": 5}},
        {"id": "n", "transport": {"type": "ssh", "credential_ref": "../../etc/shadow"}},
        {"id": "n", "transport": {"type": "ssh", "credentialRef": "k"}},
    ],
)
async def test_a_wrong_registration_is_a_bad_request(api: API, wrong: dict[str, Any]) -> None:
    """B-1, B-2, B-10: 400, in the document's error shape, and nothing is stored."""
    response = await api.client.post("/api/v1/nodes", json=wrong)
    assert response.status_code == 400
    assert response.json().keys() == {"error", "request_id"}
    assert response.json()["error"]["code"] == "BadRequest"
    assert api.store.list("Node").items == ()


async def test_lists_are_sorted_filtered_and_never_null(api: API) -> None:
    """B-4."""
    assert (await api.client.get("/api/v1/nodes")).json()["nodes"] == []
    await api.node("b", provider="lxc", labels={"env": "dev"})
    await api.node("a", provider="docker", labels={"env": "dev"})
    await api.node("c", provider="docker", labels={"env": "prod"}, status="inactive")

    async def names(query: str) -> list[str]:
        listed = (await api.client.get(f"/api/v1/nodes?{query}")).json()
        assert listed["count"] == len(listed["nodes"])
        return [node["id"] for node in listed["nodes"]]

    assert await names("") == ["a", "b", "c"]
    assert await names("provider=docker") == ["a", "c"]
    assert await names("status=inactive") == ["c"]
    assert await names("labelSelector=env=dev") == ["a", "b"]
    assert await names("labelSelector=env+notin+(dev)&provider=docker") == ["c"]


async def test_a_limited_list_is_continued(api: API) -> None:
    """B-4: pages hold what was asked for, filters included."""
    for number in range(7):
        await api.node(f"n{number}", provider="docker" if number % 2 else "lxc")
    seen, cursor = [], ""
    while True:
        page = (await api.client.get(f"/api/v1/nodes?provider=lxc&limit=2&continue={cursor}")).json()
        seen += [node["id"] for node in page["nodes"]]
        cursor = page.get("continue", "")
        if not cursor:
            break
        assert page["count"] == 2
    assert seen == ["n0", "n2", "n4", "n6"]


async def test_status_tells_last_contact_and_uptime(api: API) -> None:
    """B-5: the document's four fields; 0s at first."""
    await api.node()
    status = (await api.client.get("/api/v1/nodes/node-1/status")).json()
    assert (status["node_id"], status["status"], status["uptime"]) == ("node-1", "active", "0s")
    assert status["last_seen"].endswith("Z")
    assert {c["type"] for c in status["conditions"]} >= {"Reachable", "Ready"}


@pytest.mark.parametrize("name", ["status", "commands", "heartbeat"])
async def test_a_node_may_be_called_like_a_path(api: API, name: str) -> None:
    """B-5."""
    await api.node(name)
    assert (await api.client.get(f"/api/v1/nodes/{name}")).json()["id"] == name
    assert (await api.client.get(f"/api/v1/nodes/{name}/status")).json()["node_id"] == name
    assert (await api.command(name))["node_id"] == name


async def test_put_is_a_partial_merge(api: API) -> None:
    """B-6: the document's example; omitted stays, a map replaces the whole map, null clears."""
    await api.node(**{k: v for k, v in DOCUMENTED.items() if k != "id"})
    response = await api.client.put("/api/v1/nodes/node-1", json={"status": "inactive", "port": 8081})
    assert response.status_code == 200
    node = response.json()
    assert (node["status"], node["port"], node["provider"]) == ("inactive", 8081, "docker")
    node = (await api.client.put("/api/v1/nodes/node-1", json={"labels": {"a": "b"}, "port": None})).json()
    assert (node["labels"], node["port"], node["status"]) == ({"a": "b"}, None, "inactive")


async def test_patch_is_a_merge_patch(api: API) -> None:
    """B-6: RFC 7396, so that maps are merged and null removes."""
    await api.node(labels={"a": "1", "b": "2"}, transport={"type": "ssh", "user": "dev"})
    response = await api.client.patch(
        "/api/v1/nodes/node-1",
        json={"labels": {"a": None, "c": "3"}, "transport": {"user": "ops"}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert response.json()["labels"] == {"b": "2", "c": "3"}
    assert response.json()["transport"] == {"type": "ssh", "user": "ops"}


async def test_identity_never_changes(api: API) -> None:
    """B-6: id and created_at are immutable; sent back as they were read they are no change."""
    node = await api.node()
    for change in ({"id": "other"}, {"created_at": "2020-01-01T00:00:00Z"}):
        assert (await api.client.put("/api/v1/nodes/node-1", json=change)).status_code == 400
        assert (await api.client.patch("/api/v1/nodes/node-1", json=change)).status_code == 400
    assert (await api.client.put("/api/v1/nodes/node-1", json=node)).status_code == 200


async def test_a_stale_change_is_refused(api: API) -> None:
    """B-6: 412 for If-Match, 409 for resource_version in the body."""
    old = await api.node()
    await api.client.put("/api/v1/nodes/node-1", json={"port": 1})
    tag = f'"{old["resource_version"]}"'
    response = await api.client.put("/api/v1/nodes/node-1", json={"port": 2}, headers={"If-Match": tag})
    assert response.status_code == 412
    body = {"port": 2, "resource_version": old["resource_version"]}
    assert (await api.client.put("/api/v1/nodes/node-1", json=body)).status_code == 409
    current = await api.client.get("/api/v1/nodes/node-1")
    response = await api.client.put(
        "/api/v1/nodes/node-1", json={"port": 2}, headers={"If-Match": current.headers["etag"]}
    )
    assert response.json()["port"] == 2


async def test_two_changes_at_once_both_count(api: API) -> None:
    """B-6: changes of different fields do not undo each other."""
    await api.node()
    await asyncio.gather(
        *(api.client.patch("/api/v1/nodes/node-1", json={"labels": {f"l{n}": "x"}}) for n in range(20))
    )
    labels = (await api.client.get("/api/v1/nodes/node-1")).json()["labels"]
    assert labels == {f"l{n}": "x" for n in range(20)}


async def test_an_operator_may_cordon_and_nothing_else(api: API) -> None:
    """E-5: cordon and uncordon, no other change."""
    await api.node(address="a")
    async with api.as_(OPERATOR) as client:
        assert (await client.put("/api/v1/nodes/node-1", json={"status": "inactive"})).json()["status"] == "inactive"
        assert (await client.put("/api/v1/nodes/node-1", json={"status": "active"})).json()["status"] == "active"
        assert (await client.put("/api/v1/nodes/node-1", json={"address": "b"})).status_code == 403
        assert (await client.delete("/api/v1/nodes/node-1")).status_code == 403
    async with api.as_(VIEWER) as client:
        assert (await client.get("/api/v1/nodes/node-1")).status_code == 200
        assert (await client.put("/api/v1/nodes/node-1", json={"status": "inactive"})).status_code == 403


async def test_removing_a_node_loses_its_commands(api: API) -> None:
    """B-7: 204, then 404; what is under way becomes unknown/NodeDeleted, what has ended stays as it is."""
    await api.node()
    ended = (await api.command())["id"]
    await api.end(ended)
    under_way = (await api.command())["id"]
    assert (await api.client.delete("/api/v1/nodes/node-1")).status_code == 204
    assert (await api.client.delete("/api/v1/nodes/node-1")).status_code == 404
    lost = (await api.client.get(f"/api/v1/commands/{under_way}")).json()
    assert (lost["status"], lost["reason"]) == ("unknown", "NodeDeleted")
    assert lost.keys() >= {"finished", "duration", "error"}
    assert (await api.client.get(f"/api/v1/commands/{ended}")).json()["status"] == "success"


async def test_removing_a_node_with_very_many_commands(api: API) -> None:
    """B-7: bounded batches, and none is forgotten."""
    await api.node()
    for _ in range(1200):
        await api.command()
    assert (await api.client.delete("/api/v1/nodes/node-1")).status_code == 204
    assert all(isinstance(c, Command) and c.status.reason == "NodeDeleted" for c in api.store.list("Command").items)


async def test_a_heartbeat_changes_nothing_that_was_decided(api: API) -> None:
    """B-8: 204; services and capabilities are taken, intent, address, transport and checks never."""
    check = {"tcp": True}
    node = await api.node(status="inactive", address="a", services=[{"id": "web", "port": 80, "check": check}])
    async with api.as_(agent(node)) as client:
        response = await client.post(
            "/api/v1/nodes/node-1/heartbeat",
            json={
                "status": "active",
                "services": [{"id": "web", "endpoint": "http://169.254.169.254", "port": 22, "status": "failed"}],
                "capabilities": ["docker"],
            },
        )
    assert response.status_code == 204
    told = (await api.client.get("/api/v1/nodes/node-1")).json()
    assert (told["status"], told["address"]) == ("inactive", "a")
    web = told["services"]["web"]
    assert (web["check"], web["port"], web["endpoint"]) == (check, 80, None)
    assert list(told["services"]) == ["web"]
    assert told["capabilities"] == {"docker": True}


async def test_no_node_gets_rid_of_a_check_by_not_naming_its_service(api: API) -> None:
    """B-8, D-2: what a check is aimed at, and that there is one, is decided by an admin."""
    node = await api.node(services=[{"id": "web", "port": 80, "check": {"tcp": True}}, {"id": "db"}])
    async with api.as_(agent(node)) as client:
        for services in ([], [{"id": "x", "check": {"exec": ["id"]}}]):
            assert (
                await client.post("/api/v1/nodes/node-1/heartbeat", json={"services": services})
            ).status_code == 204
    told = (await api.client.get("/api/v1/nodes/node-1")).json()["services"]
    assert {name: service.get("check") for name, service in told.items()} == {"web": {"tcp": True}, "x": None}


async def test_a_heartbeat_costs_no_write(api: API) -> None:
    """B-8: it moves last_seen, by the server's clock, and writes nothing."""
    node = await api.node()
    before = api.store.revision()
    for body in (None, {}, {"status": "active"}):
        response = (
            await api.client.post("/api/v1/nodes/node-1/heartbeat", json=body)
            if body is not None
            else (await api.client.post("/api/v1/nodes/node-1/heartbeat"))
        )
        assert response.status_code == 204
    assert api.store.revision() == before
    assert (await api.client.get("/api/v1/nodes/node-1")).json()["last_seen"] > node["last_seen"]


async def test_a_heartbeat_is_the_nodes_own(api: API) -> None:
    """E-5: not another node's, not an operator's; unknown nodes are 404."""
    await api.node()
    other = await api.node("node-2")
    for principal in (agent(other), OPERATOR):
        async with api.as_(principal) as client:
            assert (await client.post("/api/v1/nodes/node-1/heartbeat")).status_code == 403
    assert (await api.client.post("/api/v1/nodes/nobody/heartbeat")).status_code == 404


async def present_key(api: API, key: str, fingerprint: str) -> None:
    """Have the node present a host key that is not trusted, as the controller records it."""
    node = api.store.get("Node", "node-1")
    assert isinstance(node, Node)
    keys = (*node.status.host_keys, HostKey(key=key, fingerprint=fingerprint, trusted=False))
    status = node.status.model_copy(update={"host_keys": keys})
    await api.store.write(Update(obj=node.model_copy(update={"status": status})))


async def test_a_presented_host_key_can_be_trusted(api: API) -> None:
    """E-7: by its fingerprint; pinned by address and port, so that it outlives the node."""
    await api.node(address="10.0.0.1", transport={"type": "ssh", "port": 2222})
    await present_key(api, "ssh-ed25519 AAAA", "SHA256:one")
    response = await api.client.post("/api/v1/nodes/node-1/trust", json={"fingerprint": "SHA256:one"})
    assert response.status_code == 200
    assert response.json()["host_keys"][0]["trusted"] is True
    trusted = [c["status"] for c in response.json()["conditions"] if c["type"] == "HostKeyTrusted"]
    assert trusted == ["True"]
    pin = api.store.get("HostKeyPin", "10.0.0.1:2222")
    assert isinstance(pin, Record)
    assert pin.data["keys"] == ["ssh-ed25519 AAAA"]


async def test_a_new_key_replaces_the_old_one_of_its_kind(api: API) -> None:
    """E-7: after a change, only the key accepted is trusted."""
    await api.node(address="h", port=22)
    await present_key(api, "ssh-ed25519 OLD", "SHA256:old")
    await api.client.post("/api/v1/nodes/node-1/trust", json={"fingerprint": "SHA256:old"})
    await present_key(api, "ssh-ed25519 NEW", "SHA256:new")
    await api.client.post("/api/v1/nodes/node-1/trust", json={"fingerprint": "SHA256:new"})
    pin = api.store.get("HostKeyPin", "h:22")
    assert isinstance(pin, Record)
    assert pin.data["keys"] == ["ssh-ed25519 NEW"]


async def test_another_place_for_a_credential_can_be_trusted(api: API) -> None:
    """B-2: what was refused, and nothing when nothing was; the condition says so."""
    await api.node()
    url = "/api/v1/nodes/node-1/trust"
    assert (await api.client.post(url, json={"credential": True})).status_code == 409
    for body in ({}, {"credential": False}, {"fingerprint": None}):
        assert (await api.client.post(url, json=body)).status_code == 400
    node = api.store.get("Node", "node-1")
    assert isinstance(node, Node)
    refused = RefusedBinding(credential="deploy", place="10.0.0.2:22")
    status = node.status.model_copy(update={"credential_refused": refused})
    await api.store.write(Update(obj=node.model_copy(update={"status": status})))
    response = await api.client.post(url, json={"credential": True})
    assert response.status_code == 200, response.text
    (condition,) = [c for c in response.json()["conditions"] if c["type"] == "CredentialRebindRequired"]
    assert (condition["status"], condition["reason"]) == ("False", "Confirmed")
    assert "10.0.0.2:22" in condition["message"]


async def test_a_key_that_was_never_presented_cannot_be_trusted(api: API) -> None:
    """E-7."""
    await api.node()
    response = await api.client.post("/api/v1/nodes/node-1/trust", json={"fingerprint": "SHA256:made-up"})
    assert response.status_code == 409
    assert "has not presented" in response.json()["error"]["message"]
    async with api.as_(OPERATOR) as client:
        assert (await client.post("/api/v1/nodes/node-1/trust", json={"fingerprint": "x"})).status_code == 403


async def test_an_unchanged_node_is_not_sent_twice(api: API) -> None:
    """B-6: ETag and If-None-Match."""
    await api.node()
    tag = (await api.client.get("/api/v1/nodes/node-1")).headers["etag"]
    response = await api.client.get("/api/v1/nodes/node-1", headers={"If-None-Match": tag})
    assert (response.status_code, response.content) == (304, b"")


@pytest.mark.parametrize("character", ["\n", "\x00", "\x1b", "\x7f"])
@pytest.mark.parametrize("field", ["name", "provider", "address", "transport.user", "transport.address"])
async def test_names_and_addresses_hold_no_control_characters(api: API, field: str, character: str) -> None:
    """B-1: they get into logs, terminals and metrics."""
    name, _, inner = field.partition(".")
    value = {"type": "ssh", inner: f"a{character}b"} if inner else f"a{character}b"
    response = await api.client.post("/api/v1/nodes", json={"id": "n", name: value})
    assert response.status_code == 400
    assert f"{field}: a control character" in response.json()["error"]["message"]


MANY = {f"key{n}": "x" for n in range(257)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", MANY),
        ("metadata", MANY),
        ("metadata", {"a": "x" * 200_000, "b": "\u20ac" * 30_000}),
        ("capabilities", MANY),
        ("capabilities", list(MANY)),
        ("services", {key: {} for key in MANY}),
        ("services", [{"id": key} for key in MANY]),
    ],
)
async def test_a_nodes_maps_are_bounded(api: API, field: str, value: Any) -> None:
    """A-4: at most 256 entries each, and 256 KiB of notes; the answer names the field."""
    await api.node("n")
    for method, url in (("POST", "/api/v1/nodes"), ("PUT", "/api/v1/nodes/n"), ("PATCH", "/api/v1/nodes/n")):
        response = await api.client.request(method, url, json={"id": "n", field: value})
        assert response.status_code == 400, response.text[:300]
        assert f"{field}:" in response.json()["error"]["message"]
    if field in {"capabilities", "services"}:
        assert (await api.client.post("/api/v1/nodes/n/heartbeat", json={field: value})).status_code == 400


async def test_a_patch_cannot_grow_a_map_beyond_its_bound(api: API) -> None:
    """A-4: the bound is on what comes out."""
    await api.node("n", metadata=dict(list(MANY.items())[:256]))
    response = await api.client.patch("/api/v1/nodes/n", json={"metadata": {"more": "x"}})
    assert response.status_code == 400
