"""What somebody with a token may try to make the Kubernetes face slow, large or wrong (contract A-4, G-1)."""

import base64
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.kube import kinds
from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
NODE = f"{ROOT}/nodes/n1"
MERGE = {"Content-Type": "application/merge-patch+json"}
OPERATIONS = {"Content-Type": "application/json-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def merge(api: API, body: dict[str, Any], query: str = "") -> Any:
    """The answer to a merge patch of the node."""
    return await api.client.patch(f"{NODE}?{query}", json=body, headers=MERGE)


async def apply(api: API, body: bytes, query: str = "fieldManager=m") -> Any:
    """The answer to an apply patch of the node."""
    return await api.client.patch(f"{NODE}?{query}", content=body, headers=APPLY)


async def test_a_json_patch_cannot_nest_without_end(api: API) -> None:
    """A-4: each operation puts all that is there one level deeper; a body of that depth would be refused as well."""
    await api.node("n1")
    deeper = [
        {"op": "move", "from": "/x", "path": "/y"},
        {"op": "add", "path": "/x", "value": {}},
        {"op": "move", "from": "/y", "path": "/x/a"},
    ]
    operations = [{"op": "add", "path": "/x", "value": 1}, *deeper * 300]
    for query in ("", "?fieldValidation=Ignore"):
        response = await api.client.patch(f"{NODE}{query}", json=operations, headers=OPERATIONS)
        assert response.status_code == 422, response.text
        assert "nested more than 64 levels" in response.json()["message"]


@pytest.mark.parametrize("query", ["fieldValidation=Strict", "fieldValidation=Warn", "fieldValidation=Ignore"])
async def test_a_body_holds_a_bounded_number_of_values(api: API, query: str) -> None:
    """A-4: each unknown field costs the server a search for what is wrong with it."""
    await api.node("n1")
    response = await merge(api, {"spec": {f"u{number}": 1 for number in range(21_000)}}, query)
    assert response.status_code == 422, response.text[:200]
    assert "more than 20000 values" in response.json()["message"]


@pytest.mark.parametrize("kind", ["nodes", "commands"])
@pytest.mark.parametrize("parameter", ["labelSelector", "fieldSelector"])
async def test_a_selector_has_a_bounded_number_of_requirements(api: API, kind: str, parameter: str) -> None:
    """G-1: each is asked of each object."""
    await api.node("n1")
    term = "a!=b" if parameter == "labelSelector" else "metadata.name!=b"
    most = await api.client.get(f"{ROOT}/{kind}", params={parameter: ",".join([term] * 100)})
    assert most.status_code == 200
    for query in ({}, {"watch": "1", "timeoutSeconds": "1"}):
        more = await api.client.get(f"{ROOT}/{kind}", params={parameter: ",".join([term] * 101), **query})
        assert more.status_code == 400
        assert "at most 100 requirements" in more.json()["message"]


async def test_a_selector_of_events_is_bounded_too(api: API) -> None:
    """G-1: the same for what is told and reported."""
    more = await api.client.get("/api/v1/events", params={"fieldSelector": ",".join(["type!=x"] * 101)})
    assert (more.status_code, "at most 100 requirements" in more.json()["message"]) == (400, True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"metadata": {"finalizers": [f"f{number}" for number in range(257)]}}, "metadata.finalizers"),
        ({"metadata": {"finalizers": ["f" * 254]}}, "metadata.finalizers"),
        (
            {"metadata": {"ownerReferences": [{"apiVersion": "v", "kind": "K", "name": "n", "uid": "u"}] * 257}},
            "metadata.ownerReferences",
        ),
        ({"spec": {"transports": [{"type": "ssh"}] * 65}}, "spec.transports"),
        ({"spec": {"transport": {"type": "ssh", "hostKeys": ["k"] * 65}}}, "spec.transport.hostKeys"),
    ],
)
async def test_lists_of_an_object_are_bounded(api: API, body: dict[str, Any], field: str) -> None:
    """G-1: an object is kept in memory, sent to every watcher, and looked at with every probe."""
    await api.node("n1")
    response = await merge(api, body)
    assert response.status_code == 422, response.text[:200]
    assert response.json()["details"]["causes"][0]["field"].startswith(field)


@pytest.mark.parametrize(
    "entry",
    [
        {"manager": "x" * 129, "operation": "Apply", "fieldsV1": {"f:spec": {"f:port": {}}}},
        {"manager": "x", "operation": "Apply", "time": "yesterday" * 99, "fieldsV1": {"f:spec": {"f:port": {}}}},
        {"manager": {"a": 1}, "operation": "Apply", "fieldsV1": {"f:spec": {"f:port": {}}}},
    ],
)
async def test_owners_written_by_hand_have_names_and_times(api: API, entry: dict[str, Any]) -> None:
    """G-1: whoever writes managedFields may say that others own something, and no more than that."""
    await api.node("n1")
    response = await merge(api, {"metadata": {"managedFields": [entry]}})
    assert response.status_code == 422, response.text[:200]
    assert response.json()["details"]["causes"][0]["field"] == "metadata.managedFields"


async def test_an_object_has_a_bounded_number_of_managers(api: API) -> None:
    """G-1: whichever way they come in."""
    await api.node("n1")
    entry = {"operation": "Apply", "fieldsV1": {"f:spec": {"f:port": {}}}}
    many = [{**entry, "manager": f"m{number}"} for number in range(257)]
    response = await merge(api, {"spec": {"port": 22}, "metadata": {"managedFields": many}})
    assert (response.status_code, "too many managers" in response.text) == (422, True)
    response = await merge(api, {"spec": {"port": 22}, "metadata": {"managedFields": many[:256]}})
    assert response.status_code == 200
    wish = b'{"apiVersion":"vendetta.dev/v1","kind":"Node","metadata":{"name":"n1"},"spec":{"port":22}}'
    assert (await apply(api, wish, "fieldManager=m7")).status_code == 200
    assert (await apply(api, wish, "fieldManager=m257")).status_code == 422


async def test_what_others_own_can_be_given_away_but_not_their_values(api: API) -> None:
    """G-1: as in Kubernetes, a writer may take the owners away; then all that is there has an owner of old."""
    await api.node("n1")
    wish = b'{"apiVersion":"vendetta.dev/v1","kind":"Node","metadata":{"name":"n1"},"spec":{"provider":"%s"}}'
    assert (await apply(api, wish % b"a", "fieldManager=mary")).status_code == 200
    assert (await apply(api, wish % b"b", "fieldManager=paul")).status_code == 409
    forged = await merge(api, {"metadata": {"managedFields": [{}]}})
    assert (forged.status_code, forged.json()["spec"]["provider"]) == (200, "a")
    again = await apply(api, wish % b"b", "fieldManager=paul")
    assert (again.status_code, "before-first-apply" in again.text) == (409, True)


async def test_an_apply_of_json_is_read_as_json(api: API) -> None:
    """A-4: YAML takes a hundred times as long, so that it may be a sixteenth as long."""
    long = json.dumps({"a": "x" * 300_000}).encode()
    wish = b'{"apiVersion":"vendetta.dev/v1","kind":"Node","metadata":{"name":"n1"},"spec":{"displayName":%s}}'
    refused = await apply(api, wish % b'"%s"' % (b"x" * 300_000))
    assert (refused.status_code, "spec.displayName" in refused.text) == (422, True)
    yaml = await apply(api, b"apiVersion: vendetta.dev/v1\nkind: Node\nspec: " + long)
    assert (yaml.status_code, "larger than 262144 bytes" in yaml.text) == (400, True)
    short = await apply(
        api, b"{apiVersion: vendetta.dev/v1, kind: Node, metadata: {name: n1}, spec: {provider: lxc}}"
    )
    assert short.json()["spec"]["provider"] == "lxc"


async def test_a_generated_name_that_is_taken_is_made_again(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    """G-1: and when all of them are taken, it is as with a name of one's own."""
    made: Iterator[str] = itertools.chain(["aaaaa", "aaaaa", "aaaaa", "bbbbb"], itertools.repeat("aaaaa"))
    monkeypatch.setattr(kinds, "suffix", lambda: next(made))
    body = {"metadata": {"generateName": "n-"}, "spec": {}}
    names = [(await api.client.post(f"{ROOT}/nodes", json=body)).json()["metadata"]["name"] for _ in range(2)]
    assert names == ["n-aaaaa", "n-bbbbb"]
    taken = await api.client.post(f"{ROOT}/nodes", json=body)
    assert (taken.status_code, taken.json()["reason"]) == (409, "AlreadyExists")


async def test_a_long_prefix_is_cut_before_a_name_is_made_of_it(api: API) -> None:
    """G-1: to 58 characters, as in Kubernetes, so that the name has at most 63."""
    made = await api.client.post(f"{ROOT}/nodes", json={"metadata": {"generateName": "x" * 200}, "spec": {}})
    assert made.status_code == 201, made.text
    assert (len(made.json()["metadata"]["name"]), made.json()["metadata"]["name"][:58]) == (63, "x" * 58)


async def test_a_cursor_that_nobody_was_given_shows_nothing_else(api: API) -> None:
    """G-1: another kind, a time that is not there yet or any more, and what is none at all."""
    for number in range(3):
        await api.node(f"n{number}")
    token = (await api.client.get(f"{ROOT}/nodes?limit=1")).json()["metadata"]["continue"]
    uid, kind, revision, after = json.loads(base64.urlsafe_b64decode(token + "=="))
    for fields, code in (
        ([uid, "Counter", revision, ""], 400),
        ([uid, kind, -1, after], 410),
        ([uid, kind, 10**30, after], 410),
        (["another", kind, revision, after], 410),
        ([uid, kind, True, after], 400),
        ([uid, kind, revision, {"a": 1}], 400),
        ([uid, kind, revision, "\ud800"], 200),
        ("[" * 1000, 400),
    ):
        forged = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
        response = await api.client.get(f"{ROOT}/nodes", params={"continue": forged})
        assert response.status_code == code, (fields, response.text)


@pytest.mark.parametrize("revision", ["99999", "9" * 18])
async def test_a_revision_that_is_not_there_yet_is_gone(api: API, revision: str) -> None:
    """G-1: 410 at once, in a list, a watch and in either form of an exact list; nobody waits for it."""
    for query in ("", "&watch=1", "&resourceVersionMatch=Exact", "&resourceVersionMatch=NotOlderThan"):
        response = await api.client.get(f"{ROOT}/nodes?resourceVersion={revision}{query}")
        assert (response.status_code, response.json()["reason"]) == (410, "Expired"), query


async def test_a_label_of_many_megabytes_is_told_in_few_bytes(api: API) -> None:
    """A-4: neither the value nor the key comes back whole."""
    await api.node("n1")
    for labels in ({"a": "x" * 4_000_000}, {"x" * 4_000_000: "a"}):
        response = await merge(api, {"metadata": {"labels": labels}})
        assert (response.status_code, len(response.content) < 1500) == (422, True)
    assert (await merge(api, {"metadata": {"labels": {"a": "x" * 10_000_000}}})).status_code == 413
