"""The Kubernetes face: what lists and watches select, at which revision, and how much is removed at once (G-1)."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"


async def nodes(api: API, *names: str, **fields: Any) -> None:
    """Registered nodes."""
    for name in names:
        await api.node(name, **fields)


async def commands(api: API, *on: str) -> list[str]:
    """The names of commands, one on each of those nodes."""
    return [(await api.command(node))["id"] for node in on]


async def listed(api: API, kind: str, **query: str) -> dict[str, Any]:
    """A list."""
    response = await api.client.get(f"{ROOT}/{kind}", params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    """Of what is in a list."""
    return [item["metadata"]["name"] for item in found["items"]]


async def events(api: API, kind: str, query: str) -> list[tuple[str, str]]:
    """What a watch of one second tells: type and name."""
    response = await api.client.get(f"{ROOT}/{kind}?watch=1&timeoutSeconds=1&{query}")
    assert response.status_code == 200, response.text
    told = [json.loads(line) for line in response.text.splitlines()]
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in told]


async def test_fields_select(api: API) -> None:
    """G-1: equal or not, and all of them together; an empty selector is none."""
    await nodes(api, "a", "b", "c")
    await api.node("c", status="inactive")
    first, second, third = await commands(api, "a", "b", "a")
    await api.end(third)
    assert names(await listed(api, "nodes", fieldSelector="status.phase=active")) == ["a", "b"]
    assert names(await listed(api, "nodes", fieldSelector="metadata.name!=a,status.phase!=inactive")) == ["b"]
    assert names(await listed(api, "nodes", fieldSelector="metadata.name=a,metadata.name=b")) == []
    assert set(names(await listed(api, "commands", fieldSelector="spec.node=a"))) == {first, third}
    assert names(await listed(api, "commands", fieldSelector="spec.node==a,status.phase=pending")) == [first]
    assert names(await listed(api, "commands", fieldSelector="spec.node!=a")) == [second]
    assert names(await listed(api, "nodes", fieldSelector="")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("selector", "complaint"),
    [
        ("spec.port=1", "field label not supported: spec.port (supported: metadata.name, status.phase)"),
        ("spec.node=a", "field label not supported: spec.node"),
        ("nonsense", "invalid field selector: 'nonsense'"),
        ("metadata.name=a=b", "invalid field selector"),
        ("=a", "invalid field selector"),
    ],
)
async def test_other_fields_are_refused(api: API, selector: str, complaint: str) -> None:
    """G-1: with what is supported; never a list that was silently not narrowed."""
    refused = await api.client.get(f"{ROOT}/nodes", params={"fieldSelector": selector})
    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")
    assert complaint in refused.json()["message"]


async def test_values_may_hold_commas_behind_a_backslash(api: API) -> None:
    """G-1: Kubernetes' escapes."""
    await nodes(api, "a")
    assert names(await listed(api, "nodes", fieldSelector=r"metadata.name!=x\,y\=z\\")) == ["a"]


async def test_pages_of_a_selection_are_full(api: API) -> None:
    """G-1: a page ends with the limit, not with what was looked at; and it shows one revision."""
    await nodes(api, *(f"n{number}" for number in range(9)))
    for name in ("n0", "n3", "n4", "n8"):
        await api.node(name, status="inactive")
    query = {"fieldSelector": "status.phase=inactive", "limit": "2"}
    first = await listed(api, "nodes", **query)
    assert names(first) == ["n0", "n3"]
    assert "remainingItemCount" not in first["metadata"]
    await api.node("n4", status="active")
    second = await listed(api, "nodes", **query, **{"continue": first["metadata"]["continue"]})
    assert names(second) == ["n4", "n8"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    rest = await listed(api, "nodes", **query, **{"continue": second["metadata"].get("continue", "")})
    assert names(rest) in ([], ["n0", "n3"])


async def test_what_is_left_is_counted_where_nothing_is_selected(api: API) -> None:
    """G-1: remainingItemCount, as in Kubernetes."""
    await nodes(api, "a", "b", "c", labels={"x": "y"})
    assert (await listed(api, "nodes", limit="1"))["metadata"]["remainingItemCount"] == 2
    assert "remainingItemCount" not in (await listed(api, "nodes", limit="1", labelSelector="x=y"))["metadata"]


async def test_a_list_can_be_of_an_exact_revision(api: API) -> None:
    """G-1: resourceVersionMatch=Exact shows what was there; NotOlderThan may be newer."""
    await nodes(api, "a", "b")
    then = str(api.store.revision())
    await nodes(api, "c")
    await api.client.delete(f"{ROOT}/nodes/a")
    exact = await listed(api, "nodes", resourceVersion=then, resourceVersionMatch="Exact")
    assert (names(exact), exact["metadata"]["resourceVersion"]) == (["a", "b"], then)
    one = await listed(
        api, "nodes", resourceVersion=then, resourceVersionMatch="Exact", fieldSelector="metadata.name=a"
    )
    assert names(one) == ["a"]
    newer = await listed(api, "nodes", resourceVersion=then, resourceVersionMatch="NotOlderThan")
    assert names(newer) == ["b", "c"]
    unknown = {"resourceVersion": "99999", "resourceVersionMatch": "Exact"}
    expired = await api.client.get(f"{ROOT}/nodes", params=unknown)
    assert (expired.status_code, expired.json()["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("resourceVersionMatch=NotOlderThan", "resourceVersionMatch"),
        ("resourceVersion=0&resourceVersionMatch=Exact", "resourceVersionMatch"),
        ("continue=x&resourceVersion=1&resourceVersionMatch=Exact", "resourceVersionMatch"),
        ("sendInitialEvents=true", "sendInitialEvents"),
        ("watch=1&sendInitialEvents=true", "resourceVersionMatch"),
        ("watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan", "resourceVersionMatch"),
    ],
)
async def test_options_that_do_not_go_together_are_told(api: API, query: str, field: str) -> None:
    """G-1: 422 with the field, as kube-apiserver has it."""
    refused = (await api.client.get(f"{ROOT}/nodes?{query}")).json()
    assert (refused["code"], refused["reason"], refused["details"]["kind"]) == (422, "Invalid", "ListOptions")
    assert [cause["field"] for cause in refused["details"]["causes"]] == [field]
    assert refused["message"].startswith(f'ListOptions.meta.k8s.io "" is invalid: {field}: Forbidden: ')


async def test_a_selecting_watch_goes_by_fields_too(api: API) -> None:
    """G-1: what leaves the selection is DELETED, what enters it ADDED."""
    await nodes(api, "a", "b")
    (name,) = await commands(api, "a")
    watching = asyncio.create_task(
        events(api, "commands", f"fieldSelector={quote('spec.node=a,status.phase=pending')}")
    )
    await asyncio.sleep(0.1)
    await commands(api, "b")
    await api.end(name)
    assert await watching == [("ADDED", name), ("DELETED", name)]


async def test_a_watch_can_leave_out_what_is_there(api: API) -> None:
    """G-1: sendInitialEvents=false from no revision begins with now."""
    await nodes(api, "a")
    watching = asyncio.create_task(
        events(api, "nodes", "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
    )
    await asyncio.sleep(0.1)
    await nodes(api, "b")
    told = await watching
    assert [event for event in told if event[0] != "BOOKMARK"] == [("ADDED", "b")]


async def test_the_end_of_a_watch_is_marked(api: API) -> None:
    """G-1: whoever allows bookmarks learns from where to go on."""
    await nodes(api, "a")
    response = await api.client.get(f"{ROOT}/commands?watch=1&timeoutSeconds=1&allowWatchBookmarks=true")
    (mark,) = [json.loads(line) for line in response.text.splitlines()]
    assert (mark["type"], mark["object"]["kind"]) == ("BOOKMARK", "Command")
    assert mark["object"]["metadata"]["resourceVersion"] == str(api.store.revision())


async def test_what_is_selected_is_removed_at_once(api: API) -> None:
    """G-1: deletecollection, by labels and fields; the answer is the list of what is gone."""
    await nodes(api, "a", "b", labels={"x": "y"})
    await nodes(api, "c")
    url = f"{ROOT}/nodes?labelSelector=x%3Dy"
    rehearsed = await api.client.delete(f"{url}&dryRun=All")
    assert names(rehearsed.json()) == ["a", "b"]
    assert len(api.store.list("Node").items) == 3
    gone = await api.client.delete(f"{url}&fieldSelector=metadata.name!%3Da")
    assert (gone.status_code, gone.json()["kind"], names(gone.json())) == (200, "NodeList", ["b"])
    assert names(await listed(api, "nodes")) == ["a", "c"]


async def test_what_cannot_go_does_not_keep_the_rest(api: API) -> None:
    """G-1: a command that runs stays, and the answer says so."""
    await nodes(api, "a")
    running, ended = await commands(api, "a", "a")
    await api.end(ended)
    refused = await api.client.delete(f"{ROOT}/commands")
    assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
    assert running in refused.json()["message"]
    assert names(await listed(api, "commands")) == [running]
