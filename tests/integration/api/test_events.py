"""Events on the Kubernetes face: what `kubectl describe` and `kubectl events` read, and what operators report."""

from typing import Any

from api.auth.principal import Principal, Role
from controller.resources.node import Node
from tests.support.inprocess import API

ALL = "/api/v1/events"
HERE = "/api/v1/namespaces/default/events"
GROUPED = "/apis/events.k8s.io/v1/namespaces/default/events"
REPORT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "kopf-1", "namespace": "default"},
    "involvedObject": {"apiVersion": "vendetta.dev/v1", "kind": "Node", "name": "node-1", "uid": "u"},
    "reason": "Labelled",
    "message": "a label was added",
    "type": "Normal",
    "source": {"component": "kopf"},
    "count": 1,
}


async def told(api: API, url: str = ALL, **query: str) -> list[dict[str, Any]]:
    response = await api.client.get(url, params=query)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def test_a_command_tells_its_story(api: API) -> None:
    """One event for each thing that happened, with the same name whenever it is asked for."""
    await api.node()
    name = (await api.command())["id"]
    await api.end(name, phase="error", exit_code=3)
    selector = f"involvedObject.kind=Command,involvedObject.name={name}"
    events = await told(api, fieldSelector=selector)
    assert {e["reason"]: e["type"] for e in events} == {
        "Queued": "Normal",
        "Claimed": "Normal",
        "NonZeroExit": "Warning",
    }
    assert all(e["involvedObject"]["name"] == name and e["count"] == 1 for e in events)
    assert await told(api, fieldSelector=selector) == events
    one = await api.client.get(f"{HERE}/{events[0]['metadata']['name']}")
    assert one.json() == events[0]


async def test_a_node_tells_what_its_log_holds(api: API) -> None:
    """In the newer shape as well."""
    await api.node()
    node = api.store.get("Node", "node-1")
    assert isinstance(node, Node)
    api.context.node_log.heard(node)
    (event,) = await told(api, fieldSelector="involvedObject.kind=Node,type!=Warning")
    assert (event["reason"], event["involvedObject"]["uid"]) == ("Registered", node.uid)
    (grouped,) = await told(api, GROUPED, fieldSelector="regarding.name=node-1")
    assert (grouped["apiVersion"], grouped["note"], grouped["regarding"]["name"]) == (
        "events.k8s.io/v1",
        "the node was registered",
        "node-1",
    )


async def test_others_report_count_and_remove_events(api: API) -> None:
    """As client-go's recorder and kopf do: create, then a strategic merge patch that counts."""
    created = await api.client.post(HERE, json=REPORT)
    assert created.status_code == 201
    again = await api.client.post(HERE, json=REPORT)
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    for kind in ("application/strategic-merge-patch+json", "application/merge-patch+json"):
        counted = await api.client.patch(f"{HERE}/kopf-1", json={"count": 2}, headers={"Content-Type": kind})
        assert counted.json()["count"] == 2
    (event,) = await told(api, fieldSelector="involvedObject.name=node-1,source=kopf")
    assert (event["count"], event["message"]) == (2, "a label was added")
    replaced = await api.client.put(f"{HERE}/kopf-1", json={**REPORT, "count": 3})
    assert replaced.json()["count"] == 3
    assert (await api.client.delete(f"{HERE}/kopf-1")).status_code == 200
    assert await told(api) == []


async def test_an_event_of_the_newer_shape_is_the_same_event(api: API) -> None:
    """Written as one, read as the other."""
    report = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "op-"},
        "regarding": {"kind": "Node", "name": "node-1"},
        "reason": "Seen",
        "note": "hello",
        "type": "Normal",
        "reportingController": "op",
        "action": "Look",
        "eventTime": "2026-01-13T12:00:00.000000Z",
    }
    created = (await api.client.post(GROUPED, json=report)).json()
    assert created["note"] == "hello"
    core = (await api.client.get(f"{HERE}/{created['metadata']['name']}")).json()
    assert (core["message"], core["involvedObject"]["name"], core["reportingComponent"]) == ("hello", "node-1", "op")


async def test_a_wrong_event_is_refused(api: API) -> None:
    """With a Status, as everything on this face; so is what is not there."""
    for change in (
        {"message": "x" * 2000},
        {"type": "Loud"},
        {"metadata": {"name": "a b"}},
        {"metadata": {"name": "x", "namespace": "kube-system"}},
        {"involvedObject": "node-1"},
        {"count": "many"},
    ):
        refused = await api.client.post(HERE, json={**REPORT, **change})
        assert refused.status_code in {400, 422}, change
        assert refused.json()["kind"] == "Status"
    assert (await api.client.post("/api/v1/namespaces/other/events", json=REPORT)).status_code == 404
    assert (await api.client.get(f"{HERE}/nothing")).json()["reason"] == "NotFound"
    assert (await api.client.get(f"{ALL}?fieldSelector=colour=red")).json()["reason"] == "BadRequest"
    assert (await api.client.get(f"{ALL}?watch=1")).json()["reason"] == "MethodNotAllowed"
    assert await told(api, "/api/v1/namespaces/kube-system/events") == []


async def test_viewers_read_and_operators_report(api: API) -> None:
    """The roles of everything else."""
    viewer = api.as_(Principal(name="v", role=Role.VIEWER))
    operator = api.as_(Principal(name="o", role=Role.OPERATOR))
    assert (await viewer.get(ALL)).status_code == 200
    assert (await viewer.post(HERE, json=REPORT)).status_code == 403
    assert (await operator.post(HERE, json=REPORT)).status_code == 201


async def test_a_long_list_comes_in_pages(api: API) -> None:
    """Every event once, however many there are of an object."""
    await api.node()
    for _ in range(5):
        await api.end((await api.command())["id"])
    whole = [e["metadata"]["name"] for e in await told(api)]
    pages: list[str] = []
    query = {"limit": "4"}
    while True:
        page = (await api.client.get(ALL, params=query)).json()
        pages += [e["metadata"]["name"] for e in page["items"]]
        if "continue" not in page["metadata"]:
            break
        query = {"limit": "4", "continue": page["metadata"]["continue"]}
    assert pages == whole
    assert len(whole) == 15


async def test_clients_of_metadata_get_it_alone(api: API) -> None:
    """G-1: lists and single events as PartialObjectMetadata, in pages, in both shapes."""
    await api.node("node-1")
    for name in ("kopf-1", "kopf-2"):
        await api.client.post(HERE, json={**REPORT, "metadata": {"name": name}})
    many = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    one = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    for url in (HERE, GROUPED):
        whole = (await api.client.get(url)).json()
        page = (await api.client.get(f"{url}?limit=1", headers=many)).json()
        assert (page["kind"], page["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
        assert page["metadata"]["remainingItemCount"] == len(whole["items"]) - 1
        (item,) = page["items"]
        assert item == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": whole["items"][0]["metadata"],
        }
        assert (await api.client.get(f"{url}/{item['metadata']['name']}", headers=one)).json() == item
    assert (await api.client.get(HERE, headers=one)).status_code == 406
