"""The Python client of Kubernetes, with its dynamic client, against a running server (contract G-1)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

from tests.support.kubectl import node
from tests.support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these tests; each takes names of its own."""
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def api(server: Server, tmp_path_factory: pytest.TempPathFactory) -> client.ApiClient:
    """A client for that server, with a discovery cache of its own."""
    configuration = client.Configuration(host=server.url)
    return client.ApiClient(configuration)


@pytest.fixture(scope="module")
def nodes(api: client.ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Nodes, as the dynamic client finds them by discovery."""
    cache = tmp_path_factory.mktemp("cache") / "discovery.json"
    found = dynamic.DynamicClient(api, cache_file=str(cache))  # type: ignore[no-untyped-call]
    return found.resources.get(api_version="vendetta.dev/v1", kind="Node")


def replaced(nodes: Any, name: str, **spec: Any) -> Any:
    """The object as it was read before it was replaced; the controller may be faster, so it is read again."""
    while True:
        found = nodes.get(name=name).to_dict()
        found["spec"] |= spec
        with contextlib.suppress(ConflictError):
            nodes.replace(body=found)
            return found


def test_objects_are_created_read_changed_and_removed(nodes: Any) -> None:
    """G-1: with the versions that lock them, by replacement and by each kind of patch."""
    created = nodes.create(body=node("py-1", provider="lxc"))
    assert (created.metadata.name, created.status.phase) == ("py-1", "active")
    found = replaced(nodes, "py-1", provider="qemu")
    with pytest.raises(ConflictError):
        nodes.replace(body=found)
    assert nodes.get(name="py-1").spec.provider == "qemu"
    merge = {"content_type": "application/merge-patch+json"}
    assert nodes.patch(name="py-1", body={"metadata": {"labels": {"a": "b"}}}, **merge).metadata.labels.a == "b"
    applied = nodes.server_side_apply(body=node("py-1", port=7), name="py-1", field_manager="python")
    assert (applied.spec.port, applied.spec.provider) == (7, "qemu")
    condition = {
        "type": "example.com/Seen",
        "status": "True",
        "reason": "Seen",
        "lastTransitionTime": "2026-01-13T18:17:00Z",
    }
    observed = nodes.status.patch(name="py-1", body={"status": {"conditions": [condition]}}, **merge)
    assert observed.status.conditions[-1].type == "example.com/Seen"
    nodes.delete(name="py-1")
    with pytest.raises(NotFoundError):
        nodes.get(name="py-1")


def test_lists_are_selected_and_come_in_chunks(nodes: Any) -> None:
    """G-1: `continue` leads through all of them."""
    for number in range(5):
        nodes.create(
            body={**node(f"page-{number}"), "metadata": {"name": f"page-{number}", "labels": {"set": "page"}}}
        )
    names, token = [], None
    while token is None or token:
        page = nodes.get(label_selector="set=page", limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata["continue"] or ""
    assert names == [f"page-{number}" for number in range(5)]
    gone = nodes.delete(label_selector="set=page")
    assert len(gone.items) == 5


def test_a_watch_tells_of_every_change(nodes: Any) -> None:
    """G-1: from the revision of a list on, in order."""
    since = nodes.get().metadata.resourceVersion
    nodes.create(body=node("seen-1"))
    nodes.patch(name="seen-1", body={"spec": {"provider": "lxc"}}, content_type="application/merge-patch+json")
    nodes.delete(name="seen-1")
    seen = []
    for event in nodes.watch(resource_version=since, timeout=30):
        seen.append((event["type"], event["object"].spec.provider))
        if event["type"] == "DELETED":
            break
    assert seen[0] == ("ADDED", "")
    assert ("MODIFIED", "lxc") in seen
    assert seen[-1][0] == "DELETED"


def test_the_generated_client_works_as_for_custom_resources(api: client.ApiClient) -> None:
    """G-1: CustomObjectsApi, and the errors that it raises."""
    custom = client.CustomObjectsApi(api)
    group = ("vendetta.dev", "v1", "nodes")
    custom.create_cluster_custom_object(*group, body=node("custom-1"))
    found: Any = custom.get_cluster_custom_object(*group, name="custom-1")
    assert found["kind"] == "Node"
    with pytest.raises(ApiException, match="AlreadyExists"):
        custom.create_cluster_custom_object(*group, body=node("custom-1"))
    with pytest.raises(ApiException, match="strict decoding error"):
        custom.create_cluster_custom_object(*group, body=node("custom-2", adress="x"))
    events: Any = client.CoreV1Api(api).list_namespaced_event(
        "default", field_selector="involvedObject.name=custom-1"
    )
    assert [event.reason for event in events.items] == ["Registered"]
    spaces: Any = client.CoreV1Api(api).list_namespace()
    assert [space.metadata.name for space in spaces.items] == ["default"]
    custom.delete_cluster_custom_object(*group, name="custom-1")
