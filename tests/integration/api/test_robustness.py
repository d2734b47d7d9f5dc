"""What comes in wrong: any path, any method, any bytes (contract B-9, B-10)."""

import json
from typing import Any

import pytest

from api.routing import Path
from api.v1.enrolment_routes import PATHS as ENROLMENT
from api.v1.routes import PATHS as FLAT
from tests.support.inprocess import API

BODIES: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("text", b"hello"),
    ("a list", b"[]"),
    ("null", b"null"),
    ("a number", b"5"),
    ("NaN", b'{"id": "n", "port": NaN}'),
    ("infinity", b'{"id": "n", "capabilities": {"a": 1e999}}'),
    ("a NUL", b'{"id": "n", "name": "a\\u0000b"}'),
    ("a raw NUL", b'{"id": "n\x00"}'),
    ("a lone surrogate", b'{"id": "n", "name": "\\ud800"}'),
    ("no UTF-8", b'{"id": "n", "name": "\xff"}'),
    ("a huge number", b'{"id": "n", "port": ' + b"9" * 5000 + b"}"),
    ("100k lists", b"[" * 100_000),
    ("100k objects", b'{"a":' * 100_000),
    ("an unfinished one", b'{"id": "n"'),
    ("two of them", b'{"id": "n"}{"id": "m"}'),
]

PATHS = (*FLAT, *ENROLMENT)
# These need no body, and what they do not know may be any JSON.
FINE = {
    "heartbeat": {"nothing", "a NUL"},
    "claim": {"nothing", "a NUL", "infinity"},
    "join-tokens": {"nothing", "a NUL", "infinity"},
}
WRONG = [
    pytest.param(method, path.template, body, id=f"{method} {path.template}: {what}")
    for path in PATHS
    for method, operation in path.operations.items()
    for what, body in BODIES
    if operation.body is not None and what not in FINE.get(path.template.rpartition("/")[2], ())
]


@pytest.mark.parametrize(("method", "template", "body"), WRONG)
async def test_no_body_is_too_wrong(api: API, method: str, template: str, body: bytes) -> None:
    """B-10: an error in the document's shape, never a 500, and nothing of the body in it."""
    await api.node("n")
    url = template.replace("{id}", "n")
    response = await api.client.request(method, url, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 401, 404, 409}, response.text[:300]
    assert response.json().keys() == {"error", "request_id"}
    assert "Traceback" not in response.text


@pytest.mark.parametrize(("what", "body"), BODIES, ids=[what for what, _ in BODIES])
@pytest.mark.parametrize("kind", ["nodes", "commands"])
async def test_no_manifest_is_too_wrong(api: API, kind: str, what: str, body: bytes) -> None:
    """B-10: a Status under /apis."""
    del what
    headers = {"Content-Type": "application/json"}
    response = await api.client.post(f"/apis/vendetta.dev/v1/{kind}", content=body, headers=headers)
    assert response.status_code in {400, 422}, response.text[:300]
    assert (response.json()["kind"], response.json()["code"]) == ("Status", response.status_code)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/nodes", {"id": "n2", "capabilities": [1] * 21_000}),
        ("/api/v1/nodes/n1/commands", {"type": "exec", "params": {f"u{number}": 1 for number in range(21_000)}}),
        ("/api/v1/stream-tickets", {"path": [1] * 21_000}),
    ],
)
async def test_a_body_holds_a_bounded_number_of_values(api: API, path: str, body: dict[str, Any]) -> None:
    """A-4: of a million wrong ones each was told of, and the server had no time for anything else for a minute."""
    await api.node("n1")
    refused = await api.client.post(path, json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "the request's body holds more than 20000 values"


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/api/v1/nodes", {"id": "n", "services": [{"id": "w", "check": {"tcp": True, "fall": 0}}]},
         ["services[0].check.fall"]),
        ("/api/v1/nodes", {"id": "n", "services": 5}, ["services"]),
        ("/api/v1/nodes", {"id": "n", "capabilities": {"docker": [1]}}, ["capabilities.docker"]),
        ("/api/v1/nodes/n1/commands", {"type": "exec", "params": {"env": {"K": {"credential_ref": "/"}}}},
         ["params.env.K.credential_ref"]),
    ],
)  # fmt: skip
async def test_what_may_have_several_forms_is_told_once(
    api: API, path: str, body: dict[str, Any], fields: list[str]
) -> None:
    """B-10: where something within it is wrong its form is not."""
    await api.node("n1")
    refused = await api.client.post(path, json=body)
    assert [cause["field"] for cause in refused.json()["error"]["details"]["causes"]] == fields


async def test_a_patch_holds_a_bounded_number_of_values_too(api: API) -> None:
    """A-4: likewise, for what a patch of a node holds."""
    await api.node("n1")
    merge = {"Content-Type": "application/merge-patch+json"}
    for patch in ({"capabilities": [1] * 21_000}, {"labels": {f"u{number}": 1 for number in range(21_000)}}):
        refused = await api.client.patch("/api/v1/nodes/n1", json=patch, headers=merge)
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == "the request's body holds more than 20000 values"


async def test_a_long_text_is_one_value_whatever_is_in_it(api: API) -> None:
    await api.node("n1")
    command = {"type": "exec", "action": "cat", "params": {"stdin": "," * 100_000}}
    assert (await api.client.post("/api/v1/nodes/n1/commands?wait=0", json=command)).status_code == 202


async def test_a_body_that_is_too_large_is_413(api: API) -> None:
    """A-4: 10 MB, declared or not."""

    async def pieces() -> Any:
        for _ in range(100):
            yield b"x" * 100_000

    headers = {"Content-Type": "application/json"}
    for content in (b"x" * 10_000_000, pieces()):
        response = await api.client.post("/api/v1/nodes", content=content, headers=headers)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "RequestEntityTooLarge"


async def test_an_action_of_a_megabyte_is_fine(api: API) -> None:
    """C-1: below the bound, everything fits."""
    await api.node()
    assert len((await api.command(action="#" * 1_000_000))["command"]["action"]) == 1_000_000


@pytest.mark.parametrize("path", ["/api/v2", "/api/v1/nope", "/api/v1/nodes/a/b/c", "/apis/x", "/../etc"])
async def test_an_unknown_path_is_404_in_its_faces_shape(api: API, path: str) -> None:
    """B-10."""
    response = await api.client.get(path)
    assert response.status_code == 404
    assert response.json().keys() >= ({"kind", "code"} if path.startswith("/apis") else {"error", "request_id"})


@pytest.mark.parametrize("name", ["a%2Fb", "a%00b", "%FF", "..%2F..%2Fetc", "a b", "a" * 4000, "%F0%9F%98%80", "-"])
async def test_no_name_in_a_path_is_too_wrong(api: API, name: str) -> None:
    """B-10: 404, for nothing has such a name; nothing of it is ever a path."""
    for url in (f"/api/v1/nodes/{name}", f"/api/v1/commands/{name}/logs", f"/apis/vendetta.dev/v1/nodes/{name}"):
        assert (await api.client.get(url)).status_code == 404


@pytest.mark.parametrize("path", PATHS, ids=[p.template for p in PATHS])
async def test_methods_that_are_not_there_are_405_with_the_right_allow(api: API, path: Path) -> None:
    """B-9: Allow names exactly what works; OPTIONS says the same; HEAD works wherever GET does."""
    url = path.template.replace("{id}", "x")
    allowed = {*path.operations, "OPTIONS"} | ({"HEAD"} if "GET" in path.operations else set())
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "PROPFIND"} - allowed:
        response = await api.client.request(method, url)
        assert response.status_code == 405, method
        assert set(response.headers["allow"].split(", ")) == allowed
    options = await api.client.options(url)
    assert (options.status_code, set(options.headers["allow"].split(", "))) == (204, allowed)


async def test_paths_work_with_and_without_a_trailing_slash(api: API) -> None:
    """B-9: the same handler, no redirect."""
    assert (await api.client.post("/api/v1/nodes/", json={"id": "n"})).status_code == 200
    for url in ("/api/v1/nodes", "/api/v1/nodes/n", "/api/v1/nodes/n/status", "/api/v1/services", "/openapi.json"):
        assert (await api.client.get(url)).text == (await api.client.get(url + "/")).text
    assert (await api.client.delete("/api/v1/nodes/n/")).status_code == 204


async def test_head_is_get_without_a_body(api: API) -> None:
    """B-9."""
    await api.node("n")
    for url in ("/api/v1/nodes", "/api/v1/nodes/n", "/api/v1/services", "/apis/vendetta.dev/v1/nodes?watch=1"):
        assert (await api.client.head(url)).status_code == 200


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=-1", "limit=99999999999999999999", "status=bogus", "labelselector=a", "labelSelector=a%00"],
)
async def test_parameters_are_checked(api: API, query: str) -> None:
    """B-10: unknown, malformed and out-of-range ones are 400 that names them."""
    response = await api.client.get(f"/api/v1/nodes?{query}")
    assert response.status_code == 400
    assert query.split("=", maxsplit=1)[0].lower() in response.text.lower()


async def test_an_answer_is_json_whatever_was_stored(api: API) -> None:
    """B-10: what was accepted can be told again."""
    wild = {"id": "n", "name": '"\\\u2028\U0001f600</script>', "capabilities": {"x": 1.5e300, "": -(2**63)}}
    assert (await api.client.post("/api/v1/nodes", json=wild)).status_code == 200
    told = json.loads((await api.client.get("/api/v1/nodes/n")).text)
    assert (told["name"], told["capabilities"]) == (wild["name"], wild["capabilities"])


async def test_a_line_break_at_the_end_makes_another_path(api: API) -> None:
    """B-9: only a slash there is nothing."""
    await api.node()
    assert (await api.client.get("/api/v1/nodes/")).status_code == 200
    for path in ("/api/v1/nodes%0A", "/api/v1/nodes/%0A", "/api/v1/nodes/node-1%0A", "/health%0A", "/%0A"):
        assert (await api.client.get(path)).status_code == 404, path
