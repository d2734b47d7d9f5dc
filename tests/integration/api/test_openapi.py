"""The OpenAPI document and its page."""

import re
from typing import Any

from pydantic import TypeAdapter

from api.app import paths
from api.v1.views import CommandListView, CommandView, NodeListView, NodeStatusView, NodeView, ServicesView
from controller.settings import Settings
from tests.support.inprocess import API, running


def references(value: Any) -> set[str]:
    """Every $ref inside."""
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(references(v) for v in value.values()))
    return set[str]().union(*(references(v) for v in value)) if isinstance(value, list) else set()


async def test_the_document_describes_every_operation(api: API) -> None:
    """B-9, B-10: made from the table that the router is made from."""
    document = (await api.client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    for path in paths(api.context):
        described = document["paths"][re.sub(r":\w+}", "}", path.template)]
        assert {m.upper() for m in described if m != "parameters"} == set(path.operations)
    ids = [o["operationId"] for p in document["paths"].values() for m, o in p.items() if m != "parameters"]
    assert len(set(ids)) == len(ids)


async def test_every_reference_resolves(api: API) -> None:
    """Nothing is described by what is not there."""
    document = (await api.client.get("/openapi.json")).json()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


async def test_tokens_are_asked_for_only_where_they_are_needed(api: API) -> None:
    """E-5, E-6."""
    assert "securitySchemes" not in (await api.client.get("/openapi.json")).json()["components"]
    secret = "a secret of at least thirty-two bytes"
    async with running(Settings.model_validate({"auth": {"enabled": True, "jwt_secret": secret}})) as guarded:
        document = (await guarded.client.get("/openapi.json")).json()
    assert document["paths"]["/api/v1/nodes"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in document["paths"]["/health"]["get"]


async def test_the_page_needs_nothing_from_elsewhere(api: API) -> None:
    """No script, no foreign address, and a policy that holds both."""
    page = await api.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "<script" not in page.text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.text)
    assert "/api/v1/nodes/{id}/commands" in page.text


async def test_the_root_says_where_to_go_on(api: API) -> None:
    """Whoever opens the bare address finds the rest; each of these is there."""
    told = (await api.client.get("/")).json()
    assert told == {"docs": "/docs", "openapi": "/openapi.json", "health": "/health"}
    known = (await api.client.get("/openapi.json")).json()["paths"]
    assert {"/", *told.values()} <= known.keys()


async def test_a_stream_at_the_root_has_it_for_itself() -> None:
    """A-8: websocket.path may be any path that is free."""
    async with running(Settings.model_validate({"websocket": {"path": "/"}})) as api:
        (at_root,) = [path for path in paths(api.context) if path.template == "/"]
        assert at_root.tag == "events"


async def test_answers_are_what_the_document_says(api: API) -> None:
    """B-4, B-5, C-6, D-1: every field told is described, with its type."""
    await api.node(labels={"a": "b"}, services=[{"id": "web", "port": 80}], transport={"type": "ssh"})
    name = (await api.command())["id"]
    await api.end(name, output=b"x\n")
    for url, view in (
        ("/api/v1/nodes", NodeListView),
        ("/api/v1/nodes/node-1", NodeView),
        ("/api/v1/nodes/node-1/status", NodeStatusView),
        ("/api/v1/commands", CommandListView),
        (f"/api/v1/commands/{name}", CommandView),
        ("/api/v1/services", ServicesView),
    ):
        told = await api.client.get(url)
        TypeAdapter(view).validate_json(told.content, extra="forbid", strict=True)
