"""The Kubernetes face (contract G)."""

import asyncio
import json
from typing import Any

import pytest

from api.auth.principal import Principal, Role
from controller.resources.node import Node
from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
OPERATOR = Principal(name="olga", role=Role.OPERATOR)


def node(name: str = "n1", /, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A manifest."""
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "vendetta.dev/v1", "kind": "Node", "metadata": metadata, "spec": spec}


async def create(api: API, manifest: dict[str, Any]) -> dict[str, Any]:
    """The object as it was stored."""
    response = await api.client.post(f"{ROOT}/{manifest['kind'].lower()}s", json=manifest)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


def command(**spec: Any) -> dict[str, Any]:
    """A command's manifest."""
    return {"apiVersion": "vendetta.dev/v1", "kind": "Command", "spec": {"node": "n1", "action": "true", **spec}}


async def test_an_object_is_created_read_replaced_and_removed(api: API) -> None:
    """G-1."""
    created = await create(api, node(address="10.0.0.1", transport={"type": "ssh", "credentialRef": "key"}))
    meta = created["metadata"]
    assert (meta["generation"], created["spec"]["transport"]["credentialRef"]) == (1, "key")
    assert meta.keys() >= {"uid", "resourceVersion", "creationTimestamp"}
    assert (await api.client.get(f"{ROOT}/nodes/n1")).json() == created
    created["spec"]["address"] = "10.0.0.2"
    replaced = (await api.client.put(f"{ROOT}/nodes/n1", json=created)).json()
    assert (replaced["metadata"]["generation"], replaced["spec"]["address"]) == (2, "10.0.0.2")
    gone = (await api.client.delete(f"{ROOT}/nodes/n1")).json()
    assert (gone["kind"], gone["status"], gone["details"]["name"]) == ("Status", "Success", "n1")
    missing = await api.client.get(f"{ROOT}/nodes/n1")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")
    assert missing.json()["details"] == {"name": "n1", "group": "vendetta.dev", "kind": "nodes"}


async def test_both_faces_show_the_same_node(api: API) -> None:
    """F-2: the table of names, here end to end."""
    await api.node(
        "n1",
        name="One",
        labels={"a": "b"},
        metadata={"note": "x"},
        status="inactive",
        services=[{"id": "web"}],
        transport={"type": "ssh", "credential_ref": "key"},
    )
    shown = (await api.client.get(f"{ROOT}/nodes/n1")).json()
    assert (shown["metadata"]["labels"], shown["metadata"]["annotations"]) == ({"a": "b"}, {"note": "x"})
    spec = shown["spec"]
    assert (spec["displayName"], spec["unschedulable"]) == ("One", True)
    assert (spec["services"][0]["id"], spec["transport"]["credentialRef"]) == ("web", "key")
    assert (shown["status"]["phase"], "lastSeen" in shown["status"]) == ("inactive", True)


async def test_names_are_unique_and_valid(api: API) -> None:
    """G-1: AlreadyExists 409, Invalid 422; generateName makes a name."""
    await create(api, node())
    again = await api.client.post(f"{ROOT}/nodes", json=node())
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    for name in ("a/b", "-a", "a" * 64, ""):
        wrong = await api.client.post(f"{ROOT}/nodes", json=node(name))
        assert (wrong.status_code, wrong.json()["reason"]) == (422, "Invalid")
    made = await create(api, {"kind": "Node", "metadata": {"generateName": "dev-"}})
    assert made["metadata"]["name"].startswith("dev-")
    assert len(made["metadata"]["name"]) == 9


async def test_a_stale_replacement_is_a_conflict(api: API) -> None:
    """G-1: optimistic locking through resourceVersion, and through the uid."""
    old = await create(api, node())
    await api.client.put(f"{ROOT}/nodes/n1", json=node(address="a"))
    stale = await api.client.put(f"{ROOT}/nodes/n1", json=old)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    other = {**node(), "metadata": {"name": "n1", "uid": "another"}}
    assert (await api.client.put(f"{ROOT}/nodes/n1", json=other)).status_code == 409
    elsewhere = await api.client.put(f"{ROOT}/nodes/n1", json=node("n2"))
    assert elsewhere.status_code == 400


async def test_a_merge_patch_changes_and_locks(api: API) -> None:
    """G-1: resourceVersion inside a patch locks; a strategic merge patch is 415 that names what there is."""
    old = await create(api, node(address="a", labels={"x": "1", "y": "2"}))
    patch = {"metadata": {"labels": {"x": None}}, "spec": {"unschedulable": True}}
    patched = (await api.client.patch(f"{ROOT}/nodes/n1", json=patch, headers=MERGE)).json()
    assert (patched["metadata"]["labels"], patched["spec"]["address"]) == ({"y": "2"}, "a")
    assert patched["spec"]["unschedulable"] is True
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    refused = await api.client.patch(f"{ROOT}/nodes/n1", content=b"{}", headers=strategic)
    assert refused.status_code == 415
    assert "application/merge-patch+json" in refused.json()["message"]
    locked = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "spec": {"address": "b"}}
    assert (await api.client.patch(f"{ROOT}/nodes/n1", json=locked, headers=MERGE)).status_code == 409


async def test_a_patch_may_remove_what_is_not_there_and_add_nothing_unknown(api: API) -> None:
    """G-1, RFC 7396: a field that this version no longer knows can still be removed; the description says so, too."""
    before = await create(api, node(address="a"))
    nothing = {"colour": None, "spec": {"adress": None}}
    removed = await api.client.patch(f"{ROOT}/nodes/n1", json=nothing, headers=MERGE)
    assert (removed.status_code, removed.json()) == (200, before)
    refused = await api.client.patch(f"{ROOT}/nodes/n1", json={"spec": {"adress": "b"}}, headers=MERGE)
    assert refused.status_code == 400
    assert "spec.adress" in refused.json()["message"]
    patch = (await api.client.get("/openapi.json")).json()["paths"][f"{ROOT}/nodes/{{name}}"]["patch"]
    schema = patch["requestBody"]["content"][MERGE["Content-Type"]]["schema"]
    assert schema["additionalProperties"] == {"type": "null"}


async def test_a_status_in_a_body_is_ignored(api: API) -> None:
    """G-1: status is the controller's, whatever the body says."""
    created = await create(api, {**node(), "status": {"phase": "unreachable", "nonsense": 5}})
    assert created["status"]["phase"] == "active"
    forged = {"status": {"phase": "draining"}, "spec": {"address": "x"}}
    assert (await api.client.patch(f"{ROOT}/nodes/n1", json=forged, headers=MERGE)).json()["status"][
        "phase"
    ] == "active"


async def test_typos_are_told(api: API) -> None:
    """G-1: strict by default; Warn and Ignore on request."""
    url, typo = f"{ROOT}/nodes", node(adress="x", transport={"type": "ssh", "usr": "me"})
    strict = await api.client.post(url, json=typo)
    assert strict.status_code == 400
    told = 'Node in version "v1" cannot be handled as a Node: strict decoding error: unknown field "spec.'
    assert strict.json()["message"].startswith(told)
    fields = {cause["field"] for cause in strict.json()["details"]["causes"]}
    assert fields == {"spec.adress", "spec.transport.usr"}
    warned = await api.client.post(f"{url}?fieldValidation=Warn", json=typo)
    assert (warned.status_code, "spec.adress" in warned.headers["warning"]) == (201, True)
    ignored = await api.client.post(f"{url}?fieldValidation=Ignore", json={**typo, "metadata": {"name": "n2"}})
    assert (ignored.status_code, "warning" in ignored.headers) == (201, False)


async def test_what_is_wrong_is_told_by_field(api: API) -> None:
    """G-1: 422 Invalid with causes."""
    wrong = await api.client.post(f"{ROOT}/nodes", json=node(port=0, services=[{"id": "a", "port": 99999}]))
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "Invalid")
    fields = {cause["field"] for cause in wrong.json()["details"]["causes"]}
    assert fields == {"spec.port", "spec.services[0].port"}
    for changed in ({"apiVersion": "v1"}, {"kind": "Pod"}):
        assert (await api.client.post(f"{ROOT}/nodes", json={**node(), **changed})).status_code == 400


async def test_a_rehearsal_stores_nothing(api: API) -> None:
    """F-2 (`--dry-run=server`): the answer is what would have happened, errors included."""
    await create(api, node(address="a"))
    before = api.store.revision()
    made = await api.client.post(f"{ROOT}/nodes?dryRun=All", json=node("n2"))
    assert (made.status_code, made.json()["metadata"]["generation"]) == (201, 1)
    assert (await api.client.post(f"{ROOT}/nodes?dryRun=All", json=node())).status_code == 409
    changed = await api.client.put(f"{ROOT}/nodes/n1?dryRun=All", json=node(address="b"))
    assert (changed.json()["spec"]["address"], changed.json()["metadata"]["generation"]) == ("b", 2)
    assert (await api.client.delete(f"{ROOT}/nodes/n1?dryRun=All")).status_code == 200
    assert (await api.client.post(f"{ROOT}/commands?dryRun=All", json=command())).status_code == 201
    assert api.store.revision() == before
    assert (await api.client.get(f"{ROOT}/nodes/n1")).json()["spec"]["address"] == "a"


async def test_a_command_runs_later(api: API) -> None:
    """G-2: 201 at once; the conditions tell the end, with the reasons of C-7."""
    await create(api, node())
    created = await create(api, command())
    assert created["status"]["phase"] == "pending"
    await api.end(created["metadata"]["name"], phase="error", exit_code=3)
    ended = (await api.client.get(f"{ROOT}/commands/{created['metadata']['name']}")).json()
    conditions = {c["type"]: (c["status"], c["reason"]) for c in ended["status"]["conditions"]}
    assert conditions == {
        "Complete": ("True", "NonZeroExit"),
        "Succeeded": ("False", "NonZeroExit"),
        "Failed": ("True", "NonZeroExit"),
    }
    assert ended["status"]["exitCode"] == 3


async def test_of_a_command_only_the_cancellation_changes(api: API) -> None:
    """G-1: everything else is 422; labels may change, and the cancellation cannot be taken back."""
    await create(api, node())
    url = f"{ROOT}/commands/{(await create(api, command()))['metadata']['name']}"
    for spec in ({"action": "false"}, {"params": {"timeout": "1s"}}, {"node": "n2"}):
        refused = await api.client.patch(url, json={"spec": spec}, headers=MERGE)
        assert (refused.status_code, refused.json()["details"]["causes"][0]["field"]) == (422, "spec")
    labelled = {"metadata": {"labels": {"a": "b"}}, "spec": {"cancel": True}}
    assert (await api.client.patch(url, json=labelled, headers=MERGE)).json()["spec"]["cancel"] is True
    assert (await api.client.patch(url, json={"spec": {"cancel": False}}, headers=MERGE)).status_code == 409


async def test_a_command_that_runs_is_not_removed(api: API) -> None:
    """G-1: cancel it first; nothing may run that nobody knows of."""
    await create(api, node())
    name = (await create(api, command()))["metadata"]["name"]
    assert (await api.client.delete(f"{ROOT}/commands/{name}")).status_code == 409
    await api.end(name)
    assert (await api.client.delete(f"{ROOT}/commands/{name}")).status_code == 200


async def test_removal_under_a_precondition(api: API) -> None:
    """G-1: DeleteOptions."""
    uid = (await create(api, node()))["metadata"]["uid"]

    async def delete(preconditions: dict[str, str]) -> int:
        content = json.dumps({"preconditions": preconditions}).encode()
        response = await api.client.request("DELETE", f"{ROOT}/nodes/n1", content=content)
        return response.status_code

    assert await delete({"uid": "another"}) == 409
    assert await delete({"resourceVersion": "0"}) == 409
    assert await delete({"uid": uid}) == 200


async def test_lists_are_selected_and_paged(api: API) -> None:
    """G-1."""
    for number in range(5):
        await create(api, node(f"n{number}", labels={"odd": str(number % 2)}))

    async def names(query: str) -> list[str]:
        listed = (await api.client.get(f"{ROOT}/nodes?{query}")).json()
        assert (listed["kind"], listed["apiVersion"]) == ("NodeList", "vendetta.dev/v1")
        return [item["metadata"]["name"] for item in listed["items"]]

    assert await names("") == ["n0", "n1", "n2", "n3", "n4"]
    assert await names("labelSelector=odd=1") == ["n1", "n3"]
    assert await names("fieldSelector=metadata.name=n2") == ["n2"]
    page = (await api.client.get(f"{ROOT}/nodes?limit=2")).json()
    assert page["metadata"]["remainingItemCount"] == 3
    assert await names(f"limit=2&continue={page['metadata']['continue']}") == ["n2", "n3"]
    assert (await api.client.get(f"{ROOT}/nodes?continue=nonsense")).status_code == 400
    assert (await api.client.get(f"{ROOT}/nodes?fieldSelector=spec.port=1")).status_code == 400
    too_new = await api.client.get(f"{ROOT}/nodes?resourceVersion=99999")
    assert (too_new.status_code, too_new.json()["reason"]) == (410, "Expired")


async def watched(api: API, query: str) -> list[tuple[str, str]]:
    """What a watch of one second tells: event and name, or what else there is."""
    response = await api.client.get(f"{ROOT}/nodes?watch=1&timeoutSeconds=1&{query}")
    assert response.status_code == 200, response.text
    events = [json.loads(line) for line in response.text.splitlines()]
    return [(e["type"], e["object"]["metadata"].get("name", e["object"]["metadata"])) for e in events]


async def test_a_watch_tells_every_change_once_and_in_order(api: API) -> None:
    """G-1: from the list's revision on, without a gap."""
    await create(api, node("old"))
    since = (await api.client.get(f"{ROOT}/nodes")).json()["metadata"]["resourceVersion"]
    await create(api, node("n1"))
    watcher = asyncio.create_task(watched(api, f"resourceVersion={since}"))
    await asyncio.sleep(0.1)
    await api.client.put(f"{ROOT}/nodes/n1", json=node(address="x"))
    await api.client.delete(f"{ROOT}/nodes/n1")
    assert await watcher == [("ADDED", "n1"), ("MODIFIED", "n1"), ("DELETED", "n1")]


async def test_a_watch_from_nowhere_begins_with_what_is_there(api: API) -> None:
    """G-1: and tells with a bookmark where that ends, for those who asked."""
    await create(api, node("a"))
    assert await watched(api, "") == [("ADDED", "a")]
    assert await watched(api, "resourceVersion=0") == [("ADDED", "a")]
    marked = await watched(api, "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
    assert marked[0] == ("ADDED", "a")
    assert marked[1][0] == "BOOKMARK"
    assert "k8s.io/initial-events-end" in str(marked[1][1])


async def test_a_selecting_watch_sees_objects_come_and_go(api: API) -> None:
    """G-1: what no longer matches is DELETED, what does now is ADDED."""
    await create(api, node("n1", labels={"env": "dev"}))
    watcher = asyncio.create_task(watched(api, "labelSelector=env=dev"))
    await asyncio.sleep(0.1)
    for labels in ({"env": "prod"}, {"env": "stage"}, {"env": "dev"}, {"env": "dev", "x": "y"}):
        await api.client.patch(f"{ROOT}/nodes/n1", json={"metadata": {"labels": labels}}, headers=MERGE)
    await create(api, node("n2", labels={"env": "prod"}))
    assert await watcher == [("ADDED", "n1"), ("DELETED", "n1"), ("ADDED", "n1"), ("MODIFIED", "n1")]


async def test_a_watch_of_one_name_sees_no_other(api: API) -> None:
    """G-1: fieldSelector=metadata.name."""
    since = api.store.revision()
    await create(api, node("a"))
    await create(api, node("b"))
    assert await watched(api, f"resourceVersion={since}&fieldSelector=metadata.name=b") == [("ADDED", "b")]


async def test_a_watch_from_a_lost_revision_is_expired(api: API) -> None:
    """G-1, G-4: 410, so that the client lists again."""
    response = await api.client.get(f"{ROOT}/nodes?watch=1&resourceVersion=999")
    assert (response.status_code, response.json()["reason"]) == (410, "Expired")


async def test_watches_end_when_the_server_stops(api: API) -> None:
    """E-4: at once."""
    watcher = asyncio.create_task(api.client.get(f"{ROOT}/nodes?watch=1&timeoutSeconds=600"))
    await asyncio.sleep(0.1)
    api.context.stopping.set()
    assert (await asyncio.wait_for(watcher, 2)).status_code == 200


async def test_a_write_is_read_back_at_once(api: API) -> None:
    """G-4: read your own writes, on both faces."""
    for number in range(50):
        await create(api, node(f"n{number}"))
        assert (await api.client.get(f"{ROOT}/nodes/n{number}")).status_code == 200
        assert (await api.client.get("/api/v1/nodes")).json()["count"] == number + 1


async def test_a_cordon_is_an_operators_and_nothing_else(api: API) -> None:
    """E-5: here as over the flat API."""
    await create(api, node(address="a"))
    async with api.as_(OPERATOR) as client:
        cordon = await client.patch(f"{ROOT}/nodes/n1", json={"spec": {"unschedulable": True}}, headers=MERGE)
        assert (cordon.status_code, cordon.json()["status"]["phase"]) == (200, "inactive")
        moved = await client.patch(f"{ROOT}/nodes/n1", json={"spec": {"address": "b"}}, headers=MERGE)
        assert (moved.status_code, moved.json()["reason"]) == (403, "Forbidden")
        assert (await client.post(f"{ROOT}/nodes", json=node("n2"))).status_code == 403
        assert (await client.delete(f"{ROOT}/nodes/n1")).status_code == 403


async def test_bytes_that_are_served_again_are_those_of_the_version(api: API) -> None:
    """G-1: what was encoded once is never another version's, nor a rehearsal's."""
    await create(api, node(address="a"))
    for address in ("b", "c"):
        await api.client.put(f"{ROOT}/nodes/n1?dryRun=All", json=node(address="never"))
        await api.client.put(f"{ROOT}/nodes/n1", json=node(address=address))
        shown = (await api.client.get(f"{ROOT}/nodes/n1")).json()
        stored = api.store.get("Node", "n1")
        assert isinstance(stored, Node)
        assert (shown["spec"]["address"], shown["metadata"]["resourceVersion"]) == (
            address,
            stored.metadata.resource_version,
        )


@pytest.mark.parametrize("field", ["displayName", "provider", "address"])
async def test_names_and_addresses_hold_no_control_characters(api: API, field: str) -> None:
    """B-1: they get into logs, terminals and metrics."""
    response = await api.client.post(f"{ROOT}/nodes", json=node("n1", None, **{field: "a\nb"}))
    assert response.status_code == 422
    assert f"spec.{field}: a control character" in response.json()["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata.labels", {f"key{n}": "x" for n in range(257)}),
        ("metadata.annotations", {f"key{n}": "x" for n in range(257)}),
        ("metadata.annotations", {"a": "x" * 262_144}),
        ("spec.capabilities", {f"key{n}": True for n in range(257)}),
        ("spec.services", [{"id": f"id{n}"} for n in range(257)]),
    ],
)
async def test_a_nodes_maps_are_bounded(api: API, field: str, value: Any) -> None:
    """A-4: at most 256 entries each, and 256 KiB of annotations; the answer names the field."""
    await create(api, node())
    part, _, name = field.partition(".")
    patched = await api.client.patch(f"{ROOT}/nodes/n1", content=json.dumps({part: {name: value}}), headers=MERGE)
    wrong = node("n2")
    wrong[part][name] = value
    for response in (patched, await api.client.post(f"{ROOT}/nodes", json=wrong)):
        assert response.status_code == 422
        assert name in response.json()["message"]
