"""The Kubernetes face: what callers may ask about themselves, and that the answers are true (contract E-5, G-1)."""

from typing import Any

import pytest

from api.auth.principal import Principal, Role
from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
MAY = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MERGE = {"Content-Type": "application/merge-patch+json"}
ROLES = [Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.NODE]
VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]


async def status(api: API, url: str, spec: dict[str, Any] | None = None, *, role: Role = Role.ADMIN) -> Any:
    """The status of a review that somebody in that role creates."""
    async with api.as_(Principal(name="olga", role=role)) as client:
        response = await client.post(url, json={"spec": spec or {}})
    assert response.status_code == 201, response.text
    return response.json()["status"]


async def may(api: API, role: Role, verb: str, resource: str, group: str = "vendetta.dev", sub: str = "") -> bool:
    """Whether the server says so."""
    asked = {"verb": verb, "resource": resource, "group": group, "subresource": sub}
    answer = await status(api, MAY, {"resourceAttributes": asked}, role=role)
    return bool(answer["allowed"])


async def attempt(api: API, role: Role, verb: str, plural: str) -> bool:
    """Whether the server does it, or rather would do it."""
    name, spec = ("n1", {"unschedulable": True}) if plural == "nodes" else ("c1", {"node": "n1", "action": "true"})
    many, one, dry = f"{ROOT}/{plural}", f"{ROOT}/{plural}/{name}", "dryRun=All"
    async with api.as_(Principal(name="olga", role=role)) as client:
        match verb:
            case "get":
                response = await client.get(one)
            case "list":
                response = await client.get(many)
            case "watch":
                response = await client.get(f"{many}?watch=1&timeoutSeconds=1&resourceVersion={api.store.revision()}")
            case "create":
                response = await client.post(f"{many}?{dry}", json={"metadata": {"name": "new"}, "spec": spec})
            case "update":
                response = await client.put(f"{one}?{dry}", json={"metadata": {"name": name}, "spec": spec})
            case "patch":
                response = await client.patch(f"{one}?{dry}", json={"spec": spec}, headers=MERGE)
            case _:
                url = one if verb == "delete" else many
                response = await client.delete(f"{url}?{dry}")
    return response.status_code != 403


@pytest.mark.parametrize("plural", ["nodes", "commands"])
@pytest.mark.parametrize("role", ROLES)
async def test_what_is_said_to_be_permitted_is_and_nothing_else(api: API, role: Role, plural: str) -> None:
    """E-5: every role, verb and kind, tried."""
    await api.node("n1")
    await api.command("n1", id="c1")
    said = {verb: await may(api, role, verb, plural) for verb in VERBS}
    assert said == {verb: await attempt(api, role, verb, plural) for verb in VERBS}


@pytest.mark.parametrize("plural", ["nodes", "commands"])
@pytest.mark.parametrize("role", ROLES)
async def test_what_is_said_of_a_status_is_true(api: API, role: Role, plural: str) -> None:
    """E-5, G-1: who may read it, and who may add to it."""
    await api.node("n1")
    await api.command("n1", id="c1")
    url = f"{ROOT}/{plural}/{'n1' if plural == 'nodes' else 'c1'}/status"
    async with api.as_(Principal(name="olga", role=role)) as client:
        done = {
            "get": await client.get(url),
            "update": await client.put(url, json={"status": {}}),
            "patch": await client.patch(url, json={"status": {}}, headers=MERGE),
        }
    assert {verb: response.status_code == 200 for verb, response in done.items()} == {
        verb: await may(api, role, verb, plural, sub="status") for verb in done
    }
    assert not await may(api, role, "delete", plural, sub="status")


async def test_whoever_calls_is_told_who_it_is(api: API) -> None:
    """G-1: name, role, and the id of the token."""
    caller = Principal(name="olga", role=Role.NODE, node_uid="u1", token_id="t1")
    async with api.as_(caller) as client:
        user = (await client.post(WHO, json={})).json()["status"]["userInfo"]
    assert user == {
        "username": "olga",
        "groups": ["vendetta:node", "system:authenticated"],
        "extra": {
            "vendetta.dev/role": ["node"],
            "vendetta.dev/node-uid": ["u1"],
            "authentication.kubernetes.io/credential-id": ["JTI=t1"],
        },
    }


async def test_stars_stand_for_everything(api: API) -> None:
    """G-1: `kubectl auth can-i '*' '*'`."""
    for group in ("", "*", "vendetta.dev"):
        assert await may(api, Role.ADMIN, "*", "*", group)
        assert not await may(api, Role.OPERATOR, "*", "*", group)
    assert await may(api, Role.OPERATOR, "*", "commands")
    assert await may(api, Role.VIEWER, "list", "*")


async def test_what_there_is_not_nobody_may(api: API) -> None:
    """G-1: another group, resource, verb or subresource."""
    assert not await may(api, Role.ADMIN, "get", "nodes", "")
    assert not await may(api, Role.ADMIN, "get", "pods")
    assert not await may(api, Role.ADMIN, "impersonate", "nodes")
    assert not await may(api, Role.ADMIN, "get", "nodes", sub="proxy")


@pytest.mark.parametrize(
    ("role", "path", "allowed"),
    [
        (Role.VIEWER, "/apis", True),
        (Role.VIEWER, "/openapi/v3", True),
        (Role.VIEWER, "/elsewhere", False),
        (Role.NODE, "/apis", False),
        (Role.NODE, "/livez", True),
    ],
)
async def test_paths_are_asked_about_too(api: API, role: Role, path: str, allowed: bool) -> None:
    """G-1: and the answer is what a GET meets."""
    spec = {"nonResourceAttributes": {"verb": "get", "path": path}}
    assert (await status(api, MAY, spec, role=role))["allowed"] is allowed
    if path == "/apis":
        async with api.as_(Principal(name="olga", role=role)) as client:
            assert ((await client.get(path)).status_code == 200) is allowed


async def test_the_rules_list_what_one_may(api: API) -> None:
    """G-1: `kubectl auth can-i --list`."""
    rules = await status(api, RULES, {"namespace": "default"}, role=Role.VIEWER)
    assert rules["resourceRules"] == [
        {"verbs": ["get", "list", "watch"], "apiGroups": ["vendetta.dev"], "resources": ["nodes", "commands"]},
        {"verbs": ["get"], "apiGroups": ["vendetta.dev"], "resources": ["nodes/status", "commands/status"]},
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["namespaces"]},
        {"verbs": ["get", "list"], "apiGroups": ["", "events.k8s.io"], "resources": ["events"]},
    ]
    assert not rules["incomplete"]
    assert "/version" in rules["nonResourceRules"][0]["nonResourceURLs"]
    assert (await status(api, RULES, role=Role.NODE))["resourceRules"] == []


def field(number: int, value: bytes) -> bytes:
    """A field with a length."""
    return bytes([number << 3 | 2, len(value)]) + value


async def test_the_question_may_come_as_protobuf(api: API) -> None:
    """G-1: as kubectl sends it; a number among the fields does no harm."""
    wish = field(2, b"create") + b"\x60\x96\x01" + field(3, b"vendetta.dev") + field(5, b"nodes")
    message = field(1, field(1, b"x")) + field(2, field(1, wish))
    body = b"k8s\x00" + field(1, field(1, b"v1")) + field(2, message)
    headers = {"Content-Type": PROTOBUF, "Accept": f"{PROTOBUF},application/json"}
    answers = {}
    for role in (Role.VIEWER, Role.ADMIN):
        async with api.as_(Principal(name="olga", role=role)) as client:
            response = await client.post(MAY, content=body, headers=headers)
        assert (response.status_code, response.headers["content-type"]) == (201, "application/json")
        assert response.json()["spec"]["resourceAttributes"]["resource"] == "nodes"
        answers[role] = response.json()["status"]["allowed"]
    assert answers == {Role.VIEWER: False, Role.ADMIN: True}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\x00\x12\x7fshort",
        b"k8s\x00\xff",
        b"k8s\x00" + b"\xff" * 12,
        b"k8s\x00\x13",
        b"k8s\x00\x12\x02\x12\x05",
    ],
)
async def test_what_is_no_protobuf_is_refused(api: API, body: bytes) -> None:
    """B-10: 400 for every broken body, never a fault of the server."""
    refused = await api.client.post(MAY, content=body, headers={"Content-Type": PROTOBUF})
    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("role", ROLES)
async def test_events_are_read_by_viewers_and_reported_by_operators(api: API, role: Role) -> None:
    """E-5: in both groups, tried."""
    said, done = {}, {}
    for group, root in (("", "/api/v1"), ("events.k8s.io", "/apis/events.k8s.io/v1")):
        url = f"{root}/namespaces/default/events"
        async with api.as_(Principal(name="olga", role=role)) as client:
            done[group] = [(await client.get(url)).status_code, (await client.post(url, json={})).status_code]
        said[group] = [await may(api, role, verb, "events", group) for verb in ("list", "create")]
    assert said == {group: [code != 403 for code in codes] for group, codes in done.items()}
    assert not await may(api, role, "watch", "events", "")


async def test_nothing_is_stored(api: API) -> None:
    """G-1: a review is its own answer."""
    before = api.store.revision()
    await status(api, WHO)
    assert api.store.revision() == before
