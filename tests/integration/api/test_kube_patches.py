"""The Kubernetes face: JSON patch and server-side apply (contract G-1)."""

from typing import Any

import pytest
from pydantic_core import to_json

from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
NODE = f"{ROOT}/nodes/n1"
KIND = {"apiVersion": "vendetta.dev/v1", "kind": "Node"}


async def apply(
    api: API, manager: str, *, force: bool = False, labels: dict[str, str] | None = None, **spec: Any
) -> Any:
    """What the server answers to an apply of a node."""
    wish = {**KIND, "metadata": {"name": "n1", **({"labels": labels} if labels is not None else {})}, "spec": spec}
    return await api.client.patch(
        NODE,
        content=to_json(wish),
        params={"fieldManager": manager, "force": str(force).lower()},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )


async def operations(api: API, *given: dict[str, Any]) -> Any:
    """What the server answers to a JSON patch of a node."""
    return await api.client.patch(
        NODE, content=to_json(list(given)), headers={"Content-Type": "application/json-patch+json"}
    )


def managers(node: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in node["metadata"].get("managedFields", [])}


async def test_what_is_applied_is_created_and_then_changed(api: API) -> None:
    """G-1: 201, then 200; a field that is not applied any more goes; the same apply again changes nothing."""
    first = await apply(api, "mary", labels={"env": "dev"}, address="10.0.0.1", displayName="one")
    assert first.status_code == 201
    second = await apply(api, "mary", address="10.0.0.2")
    assert (second.status_code, second.json()["spec"]["address"]) == (200, "10.0.0.2")
    assert second.json()["spec"]["displayName"] == ""
    assert "labels" not in second.json()["metadata"]
    assert managers(second.json()) == {"mary": {"f:spec": {"f:address": {}}}}
    again = await apply(api, "mary", address="10.0.0.2")
    assert again.json() == second.json()


async def test_two_managers_conflict_over_a_field_until_one_is_forced(api: API) -> None:
    """G-1: the message and the causes are those that kubectl knows."""
    await apply(api, "mary", address="10.0.0.1", provider="ssh")
    refused = await apply(api, "paul", address="10.0.0.2", labels={"by": "paul"})
    assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
    assert refused.json()["message"] == (
        'Apply failed with 1 conflict: conflict with "mary" using vendetta.dev/v1: .spec.address'
    )
    assert refused.json()["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "mary" using vendetta.dev/v1',
            "field": ".spec.address",
        }
    ]
    forced = (await apply(api, "paul", address="10.0.0.2", force=True)).json()
    assert forced["spec"]["address"] == "10.0.0.2"
    assert managers(forced) == {
        "mary": {"f:spec": {"f:provider": {}}},
        "paul": {"f:spec": {"f:address": {}}},
    }


@pytest.mark.parametrize("op", ["remove", "replace", "move", "copy", "test", "add"])
async def test_an_operation_on_what_is_within_a_text_fails(api: API, op: str) -> None:
    """RFC 6902: the place does not exist; it is no fault of the server."""
    await apply(api, "mary", address="10.0.0.1")
    operation = {"op": op, "path": "/spec/address/0", "from": "/spec/address/0", "value": "x"}
    refused = await operations(api, operation)
    assert (refused.status_code, refused.json()["reason"]) == (422, "Invalid")


async def test_what_was_there_before_belongs_to_somebody(api: API) -> None:
    """G-1: a node of the flat API, and one created through this face, conflict with whoever applies another value."""
    await api.client.post("/api/v1/nodes", json={"id": "n1", "address": "10.0.0.1", "port": 22})
    refused = await apply(api, "mary", address="10.0.0.9")
    assert 'conflict with "before-first-apply"' in refused.json()["message"]
    assert (await apply(api, "mary", address="10.0.0.1")).status_code == 200
    await api.client.post(
        f"{ROOT}/nodes",
        json={**KIND, "metadata": {"name": "n2"}, "spec": {"address": "a"}},
        headers={"User-Agent": "kubectl/v1.32.4 (linux/amd64)"},
    )
    created = (await api.client.get(f"{ROOT}/nodes/n2")).json()
    assert managers(created) == {"kubectl": {"f:spec": {"f:address": {}}}}


async def test_every_other_write_takes_what_it_changes(api: API) -> None:
    """G-1: the flat API's writes, too, so that the next apply sees a conflict instead of overwriting."""
    await apply(api, "mary", address="10.0.0.1", provider="ssh")
    await api.client.patch("/api/v1/nodes/n1", json={"address": "10.0.0.7"})
    node = (await api.client.get(NODE)).json()
    assert managers(node) == {
        "mary": {"f:spec": {"f:provider": {}}},
        "vendetta": {"f:spec": {"f:address": {}}},
    }
    assert 'conflict with "vendetta"' in (await apply(api, "mary", address="10.0.0.1")).json()["message"]


async def test_durations_are_compared_as_they_are_stored(api: API) -> None:
    """G-1: 60s and 1m0s are one value, not a conflict."""
    await apply(api, "mary", transport={"type": "ssh", "connectTimeout": "60s"})
    same = await apply(api, "paul", transport={"type": "ssh", "connectTimeout": "1m0s"})
    assert same.status_code == 200


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"spec": {"adress": "x"}}, 'unknown field "spec.adress"'),
        ({"colour": "red"}, 'unknown field "colour"'),
        ({"metadata": {"name": "n2"}}, "metadata.name"),
        ({"metadata": {"name": "n1", "managedFields": [{}]}}, "managedFields must be nil"),
        ({"kind": "Command"}, "kind must be Node"),
        ({"apiVersion": "v1"}, "apiVersion must be vendetta.dev/v1"),
        ({"spec": []}, "must be objects"),
        ({"spec": {"port": "x"}}, "spec.port"),
    ],
)
async def test_a_wrong_apply_is_refused(api: API, change: dict[str, Any], says: str) -> None:
    """G-1: with a sentence, and nothing changes."""
    wish = {**KIND, "metadata": {"name": "n1"}, "spec": {"address": "x"}, **change}
    refused = await api.client.patch(
        NODE,
        content=to_json(wish),
        params={"fieldManager": "mary"},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    assert refused.status_code in {400, 422}
    assert says in refused.json()["message"]
    assert (await api.client.get(NODE)).status_code == 404


async def test_an_apply_is_yaml_and_needs_a_manager(api: API) -> None:
    """G-1."""
    text = b"apiVersion: vendetta.dev/v1\nkind: Node\nmetadata:\n  name: n1\nspec:\n  address: NO\n"
    headers = {"Content-Type": "application/apply-patch+yaml"}
    nobody = await api.client.patch(NODE, content=text, headers=headers)
    assert (nobody.status_code, "fieldManager is required" in nobody.json()["message"]) == (400, True)
    made = await api.client.patch(NODE, content=text, params={"fieldManager": "m"}, headers=headers)
    assert made.json()["spec"]["address"] == "NO"
    broken = await api.client.patch(NODE, content=b"a: [", params={"fieldManager": "m"}, headers=headers)
    assert broken.status_code == 400


async def test_a_rehearsed_apply_stores_nothing(api: API) -> None:
    """G-1: dryRun=All."""
    wish = {**KIND, "metadata": {"name": "n1"}, "spec": {"address": "x"}}
    shown = await api.client.patch(
        NODE,
        content=to_json(wish),
        params={"fieldManager": "mary", "dryRun": "All"},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    assert (shown.status_code, shown.json()["spec"]["address"]) == (201, "x")
    assert (await api.client.get(NODE)).status_code == 404


async def test_a_command_is_applied_once(api: API) -> None:
    """G-1: its spec is immutable, so that another wish is refused and the same one changes nothing."""
    await apply(api, "mary", address="x")
    url = f"{ROOT}/commands/mine"
    wish = {"apiVersion": "vendetta.dev/v1", "kind": "Command", "metadata": {"name": "mine"}}
    how: dict[str, Any] = {
        "params": {"fieldManager": "mary"},
        "headers": {"Content-Type": "application/apply-patch+yaml"},
    }
    first = await api.client.patch(url, content=to_json({**wish, "spec": {"node": "n1", "action": "true"}}), **how)
    again = await api.client.patch(url, content=to_json({**wish, "spec": {"node": "n1", "action": "true"}}), **how)
    other = await api.client.patch(url, content=to_json({**wish, "spec": {"node": "n1", "action": "no"}}), **how)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert "immutable" in other.json()["message"]


async def test_a_json_patch_changes_adds_and_removes(api: API) -> None:
    """G-1, RFC 6902."""
    await apply(api, "mary", address="a", labels={"x": "1"})
    done = await operations(
        api,
        {"op": "test", "path": "/metadata/labels/x", "value": "1"},
        {"op": "add", "path": "/metadata/labels/a~1b", "value": "2"},
        {"op": "remove", "path": "/metadata/labels/x"},
        {"op": "replace", "path": "/spec/address", "value": "b"},
        {"op": "add", "path": "/spec/services/-", "value": {"id": "web"}},
    )
    assert done.status_code == 200
    assert done.json()["metadata"]["labels"] == {"a/b": "2"}
    assert (done.json()["spec"]["address"], done.json()["spec"]["services"][0]["id"]) == ("b", "web")


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ({"op": "test", "path": "/spec/address", "value": "other"}, 422),
        ({"op": "remove", "path": "/spec/nothing"}, 422),
        ({"op": "replace", "path": "/spec/services/0", "value": 1}, 422),
        ({"op": "add", "path": "/spec/address/x", "value": 1}, 422),
        ({"op": "add", "path": "/spec/services/01", "value": 1}, 422),
        ({"op": "move", "path": "/spec/a", "from": "/spec"}, 422),
        ({"op": "add", "path": "/spec/port", "value": "x"}, 422),
        ({"op": "add", "path": "/spec/colour", "value": "x"}, 400),
        ({"op": "replace", "path": "", "value": []}, 400),
        ({"op": "remove", "path": ""}, 400),
        ({"op": "turn", "path": "/spec"}, 400),
        ({"op": "add", "path": "/spec"}, 400),
        ({"op": "add", "path": "spec", "value": 1}, 400),
        ({"op": "add", "path": "/a~2", "value": 1}, 400),
        ({"op": "copy", "path": "/spec", "from": 5}, 400),
    ],
)
async def test_a_json_patch_that_fails_changes_nothing(api: API, operation: dict[str, Any], code: int) -> None:
    """G-1, RFC 6902: all of it or none."""
    before = (await apply(api, "mary", address="a")).json()
    failed = await operations(api, {"op": "add", "path": "/spec/displayName", "value": "x"}, operation)
    assert failed.status_code == code, failed.text
    assert (await api.client.get(NODE)).json() == before


async def test_a_json_patch_that_fails_says_which_operation_it_was(api: API) -> None:
    """G-1: and why; the object is named as in every other error."""
    await apply(api, "mary", address="a")
    failed = await operations(api, {"op": "test", "path": "/spec/address", "value": "b"})
    told = "operation 0 (test /spec/address): the value there is another one"
    assert failed.json()["message"] == f'Node.vendetta.dev "n1" is invalid: {told}'


async def test_a_json_patch_cannot_grow_without_bound(api: API) -> None:
    """Copies of copies double what is there each time."""
    await apply(api, "mary", address="a" * 200)
    doubling = [{"op": "copy", "from": "/spec", "path": f"/spec/x{n}"} for n in range(40)]
    refused = await operations(api, *doubling)
    assert (refused.status_code, "copies too much" in refused.json()["message"]) == (422, True)
    many = await operations(api, *([{"op": "test", "path": "", "value": 1}] * 10_001))
    assert many.status_code == 400


async def test_tracking_ends_when_somebody_says_so(api: API) -> None:
    """G-1: as in Kubernetes, by a list with one empty entry."""
    await apply(api, "mary", address="a")
    cleared = await operations(api, {"op": "replace", "path": "/metadata/managedFields", "value": [{}]})
    assert "managedFields" not in cleared.json()["metadata"]


@pytest.mark.parametrize("change", ["00-changed", None])
async def test_where_a_command_stands_in_its_trace_never_changes(api: API, change: str | None) -> None:
    """C-9: it is part of what is delivered, and the node takes the same run with other contents for another one."""
    await api.node()
    place = {"vendetta.dev/traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    made = {
        "kind": "Command",
        "metadata": {"name": "c", "annotations": place},
        "spec": {"node": "node-1", "action": "true"},
    }
    assert (await api.client.post(f"{ROOT}/commands", json=made)).status_code == 201
    patch = {"metadata": {"annotations": {"vendetta.dev/traceparent": change, "note": "x"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    changed = await api.client.patch(f"{ROOT}/commands/c", json=patch, headers=headers)
    assert changed.json()["metadata"]["annotations"] == place | {"note": "x"}
