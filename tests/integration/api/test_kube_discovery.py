"""The Kubernetes face: discovery, OpenAPI and in which form answers go out (contract G-1)."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
V3 = f"/openapi/v3{ROOT}"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
DOCUMENTS = ["/version", "/api", "/api/v1", "/apis", "/apis/vendetta.dev", ROOT, "/openapi/v2", "/openapi/v3", V3]


async def get(api: API, url: str, accept: str = "application/json") -> Any:
    """The body of an answer."""
    response = await api.client.get(url, headers={"Accept": accept})
    assert response.status_code == 200, response.text
    return response.json()


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside of one, itself included."""
    yield value
    for part in (value.get("items"), value.get("additionalProperties"), *value.get("properties", {}).values()):
        if isinstance(part, dict):
            yield from schemas(part)


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_each_document_is_there_with_and_without_a_slash_and_a_timeout(api: API, path: str) -> None:
    """G-1, B-9: kubectl adds its own timeout to what it asks."""
    for form in (path, f"{path}/", f"{path}?timeout=32s"):
        assert (await api.client.get(form)).status_code == 200


async def test_the_resources_have_the_names_that_kubectl_takes(api: API) -> None:
    """G-1: short names, a singular, and the category `all`; each with a status."""
    found = (await get(api, ROOT))["resources"]
    resources, statuses = ([r for r in found if ("/" in r["name"]) is part] for part in (False, True))
    assert [(r["name"], r["kind"]) for r in statuses] == [("nodes/status", "Node"), ("commands/status", "Command")]
    told = [(r["name"], r["singularName"], r["kind"], r["namespaced"], r["shortNames"]) for r in resources]
    assert told == [("nodes", "node", "Node", False, ["vn"]), ("commands", "command", "Command", False, ["vcmd"])]
    assert all(r["categories"] == ["all"] for r in resources)
    assert all({"create", "delete", "get", "list", "patch", "update", "watch"} <= {*r["verbs"]} for r in resources)


async def test_names_and_aggregated_discovery_tell_the_same(api: API) -> None:
    """G-1: whichever way a client goes, it finds the same resources."""
    names = await get(api, "/apis")
    whole = await get(api, "/apis", AGGREGATED)
    assert (whole["kind"], whole["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    assert [g["name"] for g in names["groups"]] == [item["metadata"]["name"] for item in whole["items"]]
    for item in whole["items"]:
        (version,) = item["versions"]
        plain = (await get(api, f"/apis/{item['metadata']['name']}/{version['version']}"))["resources"]
        told = [(r["resource"], r["verbs"]) for r in version["resources"]]
        parts = [
            (f"{r['resource']}/{part['subresource']}", part["verbs"])
            for r in version["resources"]
            for part in r.get("subresources", ())
        ]
        assert sorted((r["name"], r["verbs"]) for r in plain) == sorted(told + parts)


async def test_the_core_group_offers_events_and_nothing_of_the_flat_api(api: API) -> None:
    """G-1: `/api/v1` is the document's own; a Kubernetes client that looks there finds events and where they are."""
    assert (await get(api, "/api"))["versions"] == ["v1"]
    events, namespaces = (await get(api, "/api/v1"))["resources"]
    assert (events["name"], events["namespaced"], "watch" in events["verbs"]) == ("events", True, False)
    assert (namespaces["name"], namespaces["namespaced"], namespaces["verbs"]) == (
        "namespaces",
        False,
        ["get", "list"],
    )
    (core,) = (await get(api, "/api", AGGREGATED))["items"]
    again, _ = core["versions"][0]["resources"]
    assert (core["metadata"]["name"], again["resource"], again["scope"]) == ("", "events", "Namespaced")
    assert (await get(api, "/api/v1/nodes")) == {"nodes": [], "count": 0, "resource_version": "0"}


async def test_there_is_one_namespace(api: API) -> None:
    """G-1: the one that events are in, for clients that look for it before anything else."""
    listed = await get(api, "/api/v1/namespaces")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["default"]
    assert (await get(api, "/api/v1/namespaces/default"))["status"] == {"phase": "Active"}
    for query, count in (
        ("fieldSelector=metadata.name%3Ddefault,status.phase%3DActive", 1),
        ("fieldSelector=metadata.name%21%3Ddefault", 0),
        ("labelSelector=kubernetes.io/metadata.name%3Ddefault", 1),
        ("labelSelector=env", 0),
    ):
        assert len((await get(api, f"/api/v1/namespaces?{query}"))["items"]) == count, query
    missing = await api.client.get("/api/v1/namespaces/kube-system")
    assert (missing.status_code, missing.json()["details"]["kind"]) == (404, "namespaces")
    for refused in (api.client.delete("/api/v1/namespaces/default"), api.client.get("/api/v1/namespaces?watch=true")):
        assert (await refused).status_code == 405


async def test_who_has_the_document_gets_none(api: API) -> None:
    """G-1: 304 by ETag; another form of it is another document."""
    first = await api.client.get("/apis", headers={"Accept": AGGREGATED})
    assert first.headers["content-type"] == AGGREGATED
    assert first.headers["vary"] == "Accept"
    again = {"Accept": AGGREGATED, "If-None-Match": first.headers["etag"]}
    assert (await api.client.get("/apis", headers=again)).status_code == 304
    other = {"Accept": "application/json", "If-None-Match": first.headers["etag"]}
    assert (await api.client.get("/apis", headers=other)).status_code == 200


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "APIGroupList"),
        ("*/*", "APIGroupList"),
        ("application/*", "APIGroupList"),
        ("text/html, application/json", "APIGroupList"),
        (f"{AGGREGATED},application/json", "APIGroupDiscoveryList"),
        (f"{AGGREGATED};q=0.5,application/json", "APIGroupList"),
        (f"*/*,{AGGREGATED}", "APIGroupDiscoveryList"),
        (f"application/json;q=0,{AGGREGATED}", "APIGroupDiscoveryList"),
        ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json", "APIGroupList"),
        ("application/json;q=nonsense", "APIGroupList"),
    ],
)
async def test_the_form_is_the_one_that_is_liked_best(api: API, accept: str, kind: str) -> None:
    """G-1: by quality, then exact before wildcards, then as they stand; what there is not is passed over."""
    assert (await get(api, "/apis", accept))["kind"] == kind


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/vnd.kubernetes.protobuf"])
async def test_what_cannot_be_answered_is_not_acceptable(api: API, accept: str) -> None:
    """G-1: 406, with what there is."""
    refused = await api.client.get("/apis", headers={"Accept": accept})
    assert (refused.status_code, refused.json()["reason"]) == (406, "NotAcceptable")
    assert refused.json()["message"] == "only the following media types are accepted: application/json"


async def test_the_version_is_one_that_kubectl_can_compare(api: API) -> None:
    """G-1: a Kubernetes version whose conventions are followed, and behind the plus sign our own."""
    told = await get(api, "/version")
    assert re.fullmatch(r"v1\.\d+\.0\+vendetta-1\.0\.0", told["gitVersion"])
    assert told["gitVersion"].startswith(f"v{told['major']}.{told['minor']}.")


async def test_the_index_leads_to_a_document_that_describes_the_kinds(api: API) -> None:
    """G-1: schemas with the names, descriptions and enums of the models; every reference resolves."""
    index = (await get(api, "/openapi/v3"))["paths"]
    assert [*index] == [ROOT.removeprefix("/")]
    document = await get(api, index[ROOT.removeprefix("/")]["serverRelativeURL"])
    components = document["components"]["schemas"]
    node = components["dev.vendetta.v1.Node"]
    assert node["x-kubernetes-group-version-kind"] == [{"group": "vendetta.dev", "version": "v1", "kind": "Node"}]
    spec = components["dev.vendetta.v1.NodeSpec"]["properties"]
    assert spec["address"]["description"] == "Host name or IP address."
    assert spec["transport"]["allOf"] == [{"$ref": "#/components/schemas/dev.vendetta.v1.TransportSpec"}]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"')))
    assert referred <= components.keys()


async def test_schemas_are_structural(api: API) -> None:
    """G-1: as Kubernetes' own: no unions, one type a property, OpenAPI 3.0's bounds, a description for each field."""
    components = (await get(api, V3))["components"]["schemas"]
    assert len(components) > 15
    for name, component in components.items():
        for schema in schemas(component):
            assert not schema.keys() & {"anyOf", "oneOf", "const", "propertyNames", "prefixItems", "$defs"}
            assert schema.keys() & {"type", "$ref", "allOf", "x-kubernetes-preserve-unknown-fields"}, (name, schema)
            assert isinstance(schema.get("exclusiveMinimum", True), bool)
            assert isinstance(schema.get("type", ""), str)
    node, command = components["dev.vendetta.v1.Node"], components["dev.vendetta.v1.CommandParams"]
    assert all("description" in part for part in (*node["properties"].values(), *command["properties"].values()))


async def test_operations_say_what_kubectl_may_send(api: API) -> None:
    """G-1: strict field validation and rehearsals by the server; patches by merge, never the strategic one."""
    paths = (await get(api, V3))["paths"]
    patch = paths[f"{ROOT}/nodes/{{name}}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Node"
    assert {"fieldValidation", "dryRun", "fieldManager"} <= {p["name"] for p in patch["parameters"]}
    media = patch["requestBody"]["content"].keys()
    assert "application/merge-patch+json" in media
    assert "application/strategic-merge-patch+json" not in media


async def test_openapi_v2_is_there_and_empty(api: API) -> None:
    """G-1: for clients that insist on it, also as protobuf: fields 1, 2 and 8 of openapi.v2.Document."""
    assert (await get(api, "/openapi/v2"))["swagger"] == "2.0"
    binary = await api.client.get("/openapi/v2", headers={"Accept": PROTOBUF})
    assert binary.headers["content-type"] == PROTOBUF
    assert binary.content == b"\x0a\x032.0\x12\x0e\x0a\x08Vendetta\x12\x02v1\x42\x00"
