"""`GET /api/v1/sd/prometheus` (contract D-5)."""

from typing import Any

import pytest

from tests.support.inprocess import API

URL = "/api/v1/sd/prometheus"


async def register(api: API, name: str, services: dict[str, Any], **fields: Any) -> None:
    body = {"id": name, "address": "192.0.2.7", "services": services, **fields}
    assert (await api.client.post("/api/v1/nodes", json=body)).status_code == 200


async def targets(api: API, query: str = "") -> list[list[str]]:
    return [group["targets"] for group in (await api.client.get(URL + query)).json()]


async def test_a_fleet_without_services_is_an_empty_list(api: API) -> None:
    response = await api.client.get(URL)
    assert (response.status_code, response.json()) == (200, [])
    assert response.headers["content-type"] == "application/json"


async def test_a_service_is_a_target_with_what_is_known_of_it(api: API) -> None:
    services = {"web": {"name": "Web", "type": "http", "status": "running", "port": 80, "metadata": {"a-b": "c"}}}
    await register(api, "n1", services, provider="docker", labels={"example.com/tier": "front"})
    (group,) = (await api.client.get(URL)).json()
    assert group["targets"] == ["192.0.2.7:80"]
    labels = group["labels"]
    assert labels.pop("__meta_vendetta_node_uid")
    assert labels == {
        "__meta_vendetta_node": "n1",
        "__meta_vendetta_node_status": "active",
        "__meta_vendetta_provider": "docker",
        "__meta_vendetta_address": "192.0.2.7",
        "__meta_vendetta_service_id": "web",
        "__meta_vendetta_service": "Web",
        "__meta_vendetta_service_type": "http",
        "__meta_vendetta_service_status": "running",
        "__meta_vendetta_service_stale": "false",
        "__meta_vendetta_node_label_example_com_tier": "front",
        "__meta_vendetta_node_labelpresent_example_com_tier": "true",
        "__meta_vendetta_service_metadata_a_b": "c",
    }


@pytest.mark.parametrize(
    ("service", "address", "target", "more"),
    [
        ({"port": 80}, "2001:db8::7", "[2001:db8::7]:80", {}),
        ({"endpoint": "192.0.2.9:9100"}, "192.0.2.7", "192.0.2.9:9100", {}),
        ({"endpoint": "https://[2001:db8::9]/stats"}, "", "[2001:db8::9]:443",
         {"__scheme__": "https", "__metrics_path__": "/stats"}),
        ({"endpoint": "http://a.example:8080/"}, "", "a.example:8080", {"__scheme__": "http"}),
        ({"endpoint": "redis://a.example:6379"}, "", "a.example:6379", {}),
    ],
)  # fmt: skip
async def test_where_a_target_is(
    api: API, service: dict[str, Any], address: str, target: str, more: dict[str, str]
) -> None:
    await register(api, "n1", {"s": service}, address=address)
    (group,) = (await api.client.get(URL)).json()
    assert group["targets"] == [target]
    assert {k: v for k, v in group["labels"].items() if not k.startswith("__meta_")} == more


@pytest.mark.parametrize(
    "service",
    [{}, {"endpoint": "redis://a.example"}, {"endpoint": "http://a.example:nan"}, {"endpoint": "http://:80"}],
)
async def test_what_cannot_be_scraped_is_no_target(api: API, service: dict[str, Any]) -> None:
    await register(api, "n1", {"s": service})
    assert await targets(api) == []


async def test_targets_are_chosen_by_type_health_and_label(api: API) -> None:
    services = {
        "a": {"type": "x", "status": "running", "port": 1},
        "b": {"type": "y", "status": "failed", "port": 2},
        "c": {"type": "x", "status": "", "port": 3},
    }
    await register(api, "n1", services, labels={"env": "dev"})
    await register(api, "n2", {"d": {"type": "x", "status": "running", "port": 4}}, status="inactive")
    assert await targets(api, "?type=y") == [["192.0.2.7:2"]]
    assert await targets(api, "?healthy=true") == [["192.0.2.7:1"]]
    assert await targets(api, "?healthy=false") == [["192.0.2.7:2"], ["192.0.2.7:3"], ["192.0.2.7:4"]]
    assert await targets(api, "?labelSelector=env%3Ddev&type=x") == [["192.0.2.7:1"], ["192.0.2.7:3"]]
    assert (await api.client.get(URL + "?healthy=perhaps")).status_code == 400


async def test_an_unchanged_list_is_not_sent_again(api: API) -> None:
    await register(api, "n1", {"s": {"port": 1}})
    first = await api.client.get(URL)
    again = await api.client.get(URL, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await register(api, "n1", {"s": {"port": 2}})
    assert (await api.client.get(URL, headers={"If-None-Match": first.headers["etag"]})).status_code == 200
