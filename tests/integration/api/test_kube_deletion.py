"""The Kubernetes face: finalizers, and what belongs to an object that goes (contract G-1, B-7)."""

from typing import Any

from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
HELD = {"metadata": {"finalizers": ["kopf.dev/held"]}}


async def create(api: API, plural: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    kind = {"nodes": "Node", "commands": "Command"}[plural]
    manifest = {"apiVersion": "vendetta.dev/v1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
    response = await api.client.post(f"{ROOT}/{plural}", json=manifest)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def test_an_object_with_finalizers_goes_when_the_last_is_taken_away(api: API) -> None:
    """Marked first, also by the flat API; the mark stays; nobody joins; then it is gone."""
    await create(api, "nodes", "n1", {}, finalizers=["a/x", "b/y"])
    marked = (await api.client.delete(f"{ROOT}/nodes/n1")).json()
    assert (marked["kind"], "deletionTimestamp" in marked["metadata"]) == ("Node", True)
    assert (await api.client.delete("/api/v1/nodes/n1")).status_code == 202
    again = (await api.client.get(f"{ROOT}/nodes/n1")).json()["metadata"]
    assert again["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    joined = {"metadata": {"finalizers": ["a/x", "b/y", "c/z"]}}
    refused = await api.client.patch(f"{ROOT}/nodes/n1", json=joined, headers=MERGE)
    assert (refused.status_code, "no new finalizers" in refused.json()["message"]) == (422, True)
    await api.client.patch(f"{ROOT}/nodes/n1", json={"metadata": {"finalizers": ["b/y"]}}, headers=MERGE)
    assert (await api.client.get(f"{ROOT}/nodes/n1")).status_code == 200
    await api.client.patch(f"{ROOT}/nodes/n1", json={"metadata": {"finalizers": None}}, headers=MERGE)
    assert (await api.client.get(f"{ROOT}/nodes/n1")).status_code == 404


async def test_commands_of_a_node_that_is_only_marked_go_on(api: API) -> None:
    """B-7 applies when it really goes."""
    await create(api, "nodes", "n1", {}, finalizers=["a/x"])
    command = await create(api, "commands", "c1", {"node": "n1", "action": "true"})
    await api.client.delete(f"{ROOT}/nodes/n1")
    url = f"{ROOT}/commands/{command['metadata']['name']}"
    assert (await api.client.get(url)).json()["status"]["phase"] == "pending"
    await api.client.patch(f"{ROOT}/nodes/n1", json={"metadata": {"finalizers": []}}, headers=MERGE)
    ended = (await api.client.get(url)).json()["status"]
    assert (ended["phase"], ended["reason"]) == ("unknown", "NodeDeleted")


async def test_a_command_can_be_held_back_and_its_id_stays_taken(api: API) -> None:
    """C-8 holds for it as well."""
    await create(api, "nodes", "n1", {})
    await create(api, "commands", "c1", {"node": "n1", "action": "true"}, finalizers=["a/x"])
    await api.end("c1")
    assert (await api.client.delete(f"{ROOT}/commands/c1")).json()["kind"] == "Command"
    await api.client.patch(f"{ROOT}/commands/c1", json={"metadata": {"finalizers": None}}, headers=MERGE)
    assert (await api.client.get(f"{ROOT}/commands/c1")).status_code == 404
    taken = await api.client.post("/api/v1/nodes/n1/commands", json={"id": "c1", "action": "true"})
    assert taken.status_code == 409


async def test_what_is_orphaned_belongs_to_nobody(api: API) -> None:
    """propagationPolicy in the body and in the query."""
    for where in ("body", "query"):
        node = await create(api, "nodes", f"n-{where}", {})
        owner = {"apiVersion": "vendetta.dev/v1", "kind": "Node", "name": "x", "uid": node["metadata"]["uid"]}
        await create(api, "nodes", f"child-{where}", {}, ownerReferences=[owner])
        policy = {"propagationPolicy": "Orphan"}
        how: dict[str, Any] = {"json": policy} if where == "body" else {"params": policy}
        await api.client.request("DELETE", f"{ROOT}/nodes/n-{where}", **how)
        child = (await api.client.get(f"{ROOT}/nodes/child-{where}")).json()
        assert "ownerReferences" not in child["metadata"]


async def test_the_description_knows_both_answers_to_a_deletion(api: API) -> None:
    """B-10: a Status, or the object that finalizers hold back."""
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    answer = paths[f"{ROOT}/nodes/{{name}}"]["delete"]["responses"]["200"]["content"]["application/json"]["schema"]
    await create(api, "nodes", "n1", {}, finalizers=["a/x"])
    await create(api, "nodes", "n2", {})
    told = [(await api.client.delete(f"{ROOT}/nodes/{name}")).json() for name in ("n1", "n2")]
    assert [body["kind"] for body in told] == ["Node", "Status"] == answer["properties"]["kind"]["enum"]
    assert all({*answer["required"]} <= body.keys() for body in told)


async def test_nothing_goes_for_those_whom_nobody_can_answer(api: API) -> None:
    """G-1: 406 comes first."""
    await create(api, "nodes", "n1", {})
    for url in (f"{ROOT}/nodes/n1", f"{ROOT}/nodes"):
        assert (await api.client.delete(url, headers={"Accept": "text/html"})).status_code == 406
    assert api.store.get("Node", "n1") is not None


async def test_what_belongs_to_a_removed_selection_can_stay(api: API) -> None:
    """G-1: propagationPolicy=Orphan counts for a collection, too."""
    owner = await create(api, "nodes", "n1", {})
    reference = {"apiVersion": "vendetta.dev/v1", "kind": "Node", "name": "n1", "uid": owner["metadata"]["uid"]}
    await create(api, "nodes", "n2", {}, ownerReferences=[reference])
    url = f"{ROOT}/nodes?fieldSelector=metadata.name%3Dn1&propagationPolicy=Orphan"
    assert (await api.client.delete(url)).status_code == 200
    left = (await api.client.get(f"{ROOT}/nodes/n2")).json()
    assert "ownerReferences" not in left["metadata"]
