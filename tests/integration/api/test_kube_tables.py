"""The Kubernetes face: tables and metadata alone, by Accept (contract G-1)."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KUBECTL = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def get(api: API, path: str, accept: str = KUBECTL) -> Any:
    """What is answered."""
    response = await api.client.get(f"{ROOT}/{path}", headers={"Accept": accept})
    assert response.status_code == 200, response.text
    return response.json()


def cells(table: dict[str, Any], row: int = 0) -> dict[str, Any]:
    """A row by the names of its columns."""
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][row]["cells"], strict=True))


def shown(table: dict[str, Any], *, wide: bool = False) -> list[str]:
    """The names of the columns that kubectl shows."""
    return [c["name"] for c in table["columnDefinitions"] if wide or not c["priority"]]


async def test_nodes_are_rows(api: API) -> None:
    """G-1: what one looks for in a list of machines; more of it for -o wide."""
    await api.node("n1", address="10.0.0.1", provider="lxc", transport={"type": "ssh"}, services=[{"id": "web"}])
    table = await get(api, "nodes")
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert shown(table) == ["Name", "Status", "Provider", "Address", "Transport", "Last-Seen", "Age"]
    row = cells(table)
    assert row.pop("Last-Seen") in {"0s", "1s"}
    assert row.pop("Age") in {"0s", "1s"}
    assert row == {
        "Name": "n1",
        "Status": "active",
        "Provider": "lxc",
        "Address": "10.0.0.1",
        "Transport": "ssh",
        "Ready": "Unknown",
        "Reachable": "Unknown",
        "Host-Key": "<none>",
        "Services": "0/1",
        "Display-Name": "<none>",
    }
    assert table["metadata"]["resourceVersion"] == str(api.store.revision())


async def test_commands_are_rows(api: API) -> None:
    """G-1: nothing yet while it runs; its end with code and length."""
    await api.node("n1")
    name = (await api.command("n1", action="make\tall"))["id"]
    table = await get(api, "commands")
    assert shown(table) == ["Name", "Node", "Status", "Exit", "Duration", "Age"]
    row = cells(table)
    assert (row["Status"], row["Exit"], row["Duration"]) == ("pending", "<none>", "<none>")
    await api.end(name, phase="error", exit_code=3)
    row = cells(await get(api, f"commands/{name}"))
    assert (row["Node"], row["Status"], row["Exit"], row["Duration"]) == ("n1", "error", "3", "100ms")
    assert (row["Reason"], row["Requested-By"], row["Action"]) == ("NonZeroExit", "root", "make all")


async def test_events_are_rows(api: API) -> None:
    """G-1: `kubectl get events`, in both groups; one that is reported without times is a row as well."""
    await api.node("n1")
    name = (await api.command("n1"))["id"]
    report = {"metadata": {"name": "told"}, "involvedObject": {"kind": "Node", "name": "n1"}, "reason": "Seen"}
    made = await api.client.post("/api/v1/namespaces/default/events", json=report)
    assert made.status_code == 201, made.text
    for root in ("/api/v1", "/apis/events.k8s.io/v1"):
        url = f"{root}/namespaces/default/events"
        table = (await api.client.get(url, headers={"Accept": KUBECTL})).json()
        assert shown(table) == ["Last Seen", "Type", "Reason", "Object", "Message"]
        rows = {cells(table, number)["Reason"]: cells(table, number) for number in range(len(table["rows"]))}
        assert (rows["Queued"]["Type"], rows["Queued"]["Object"]) == ("Normal", f"command/{name}")
        assert rows["Queued"]["Last Seen"] in {"0s", "1s", "2s"}
        assert (rows["Seen"]["Object"], rows["Seen"]["Message"], rows["Seen"]["Last Seen"]) == (
            "node/n1",
            "",
            "<unknown>",
        )
        one = await api.client.get(f"{url}/told", headers={"Accept": KUBECTL})
        assert cells(one.json()) == rows["Seen"]
        assert one.json()["rows"][0]["object"]["metadata"]["name"] == "told"


@pytest.mark.parametrize(
    ("include", "kind"), [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "Node")]
)
async def test_rows_hold_as_much_of_their_object_as_was_asked(api: API, include: str, kind: str) -> None:
    """G-1: metadata by default, which is what kubectl waits and deletes by."""
    await api.node("n1", labels={"a": "b"})
    query = f"?includeObject={include}" if include else ""
    for path in ("nodes", "nodes/n1"):
        held = (await get(api, path + query))["rows"][0]["object"]
        assert (held["kind"], held["metadata"]["labels"], "spec" in held) == (kind, {"a": "b"}, kind == "Node")
    assert (await get(api, "nodes?includeObject=None"))["rows"][0]["object"] is None
    wrong = await api.client.get(f"{ROOT}/nodes?includeObject=All", headers={"Accept": TABLE})
    assert wrong.status_code == 400


async def test_metadata_comes_alone_for_those_who_want_no_more(api: API) -> None:
    """G-1: PartialObjectMetadata, and its list; a list is no form of one object, nor the other way round."""
    await api.node("n1", address="a")
    one = await get(api, "nodes/n1", PARTIAL)
    many = await get(api, "nodes", PARTIALS)
    assert (one["kind"], one["apiVersion"], one.keys()) == (
        "PartialObjectMetadata",
        "meta.k8s.io/v1",
        {"kind", "apiVersion", "metadata"},
    )
    assert (many["kind"], many["items"]) == ("PartialObjectMetadataList", [one])
    assert many["metadata"]["resourceVersion"] == str(api.store.revision())
    for path, accept in (("nodes", PARTIAL), ("nodes/n1", PARTIALS)):
        refused = await api.client.get(f"{ROOT}/{path}", headers={"Accept": accept})
        assert (refused.status_code, refused.json()["reason"]) == (406, "NotAcceptable")


async def test_a_table_is_for_those_who_ask_for_one_that_there_is(api: API) -> None:
    """G-1: other versions of it are passed over; v1beta1 is there for old clients."""
    await api.node("n1")
    assert (await get(api, "nodes", "application/json;as=Table;v=v9;g=meta.k8s.io,application/json"))["items"]
    old = await get(api, "nodes", "application/json;as=Table;v=v1beta1;g=meta.k8s.io")
    assert (old["kind"], old["apiVersion"]) == ("Table", "meta.k8s.io/v1beta1")
    assert (await get(api, "nodes", "application/json;q=0.9,*/*;q=0.1"))["kind"] == "NodeList"


async def test_pages_of_a_table_are_continued(api: API) -> None:
    """G-1: kubectl get --chunk-size."""
    for number in range(3):
        await api.node(f"n{number}")
    page = await get(api, "nodes?limit=2")
    assert len(page["rows"]) == 2
    rest = await get(api, f"nodes?limit=2&continue={page['metadata']['continue']}")
    assert cells(rest)["Name"] == "n2"


async def test_a_watch_sends_tables_of_one_row_and_the_columns_once(api: API) -> None:
    """G-1: as kube-apiserver does; a bookmark has a row, too, which holds the revision."""
    await api.node("n1")
    url = f"{ROOT}/nodes?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true"
    url += "&resourceVersionMatch=NotOlderThan"
    watching = asyncio.create_task(api.client.get(url, headers={"Accept": KUBECTL}))
    await asyncio.sleep(0.1)
    await api.node("n2")
    events = [json.loads(line) for line in (await watching).text.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds == ["ADDED", "BOOKMARK", "ADDED", "BOOKMARK"][: len(kinds)]
    assert len(kinds) >= 3
    tables = [event["object"] for event in events]
    assert [bool(table["columnDefinitions"]) for table in tables] == [True] + [False] * (len(kinds) - 1)
    assert [table["rows"][0]["cells"][0] for table in tables[:3]] == ["n1", "", "n2"]
    marked = tables[1]["rows"][0]["object"]["metadata"]
    assert marked["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert marked["resourceVersion"] == tables[1]["metadata"]["resourceVersion"]


async def test_what_is_written_is_answered_in_the_form_that_was_asked_for(api: API) -> None:
    """G-1: and nothing is written for those whom nobody can answer."""
    manifest = {"kind": "Node", "metadata": {"name": "n1"}}
    refused = await api.client.post(f"{ROOT}/nodes", json=manifest, headers={"Accept": "text/html"})
    assert refused.status_code == 406
    assert api.store.get("Node", "n1") is None
    created = await api.client.post(f"{ROOT}/nodes", json=manifest, headers={"Accept": PARTIAL})
    assert (created.status_code, created.json()["kind"]) == (201, "PartialObjectMetadata")
    merge = {"Accept": TABLE, "Content-Type": "application/merge-patch+json"}
    patched = await api.client.patch(f"{ROOT}/nodes/n1", json={"spec": {"provider": "lxc"}}, headers=merge)
    assert cells(patched.json())["Provider"] == "lxc"


async def test_a_removal_can_be_rehearsed_by_its_options(api: API) -> None:
    """F-2: kubectl writes dryRun into the body, not the URL; unknown options are told."""
    await api.node("n1")

    async def delete(**options: Any) -> int:
        response = await api.client.request("DELETE", f"{ROOT}/nodes/n1", content=json.dumps(options).encode())
        return response.status_code

    assert await delete(dryRun=["All"], propagationPolicy="Background") == 200
    assert api.store.get("Node", "n1") is not None
    assert await delete(dryRun=["Some"]) == 422
    assert await delete(propagationPolicy="Later") == 422
    assert await delete(kind="DeleteOptions", apiVersion="v1", gracePeriodSeconds=0) == 200
    assert api.store.get("Node", "n1") is None
