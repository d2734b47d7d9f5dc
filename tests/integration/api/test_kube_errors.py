"""The Kubernetes face: errors in kube-apiserver's words, for kubectl prints them from their details (G-1, B-10)."""

from typing import Any

from api.auth.principal import Principal, Role
from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
OPERATOR = Principal(name="olga", role=Role.OPERATOR)


def node(name: str = "n1", **spec: Any) -> dict[str, Any]:
    """A manifest."""
    return {"apiVersion": "vendetta.dev/v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


def told(response: Any) -> tuple[int, str, str, dict[str, Any]]:
    """Code, reason, message, and the details without causes."""
    status = response.json()
    details = {key: value for key, value in status.get("details", {}).items() if key != "causes"}
    assert (status["kind"], status["code"]) == ("Status", response.status_code)
    return status["code"], status["reason"], status["message"], details


def about(kind: str = "nodes", name: str = "n1") -> dict[str, str]:
    """Details."""
    return {"name": name, "group": "vendetta.dev", "kind": kind}


async def test_there_is_one_already(api: API) -> None:
    """AlreadyExists names the resource."""
    await api.node("n1")
    again = told(await api.client.post(f"{ROOT}/nodes", json=node()))
    assert again == (409, "AlreadyExists", 'nodes.vendetta.dev "n1" already exists', about())


async def test_there_is_none(api: API) -> None:
    """NotFound, for every verb; a command's missing node is told as a node."""
    missing = (404, "NotFound", 'nodes.vendetta.dev "n1" not found', about())
    url = f"{ROOT}/nodes/n1"
    for response in (
        await api.client.get(url),
        await api.client.put(url, json=node()),
        await api.client.patch(url, json={}, headers=MERGE),
        await api.client.delete(url),
        await api.client.post(f"{ROOT}/commands", json={"spec": {"node": "n1", "action": "true"}}),
    ):
        assert told(response) == missing


async def test_somebody_else_was_faster(api: API) -> None:
    """Conflict, with the sentence by which people know it."""
    await api.node("n1")
    stale = {**node(), "metadata": {"name": "n1", "resourceVersion": "1"}}
    await api.node("n1", provider="lxc")
    assert told(await api.client.put(f"{ROOT}/nodes/n1", json=stale)) == (
        409,
        "Conflict",
        'Operation cannot be fulfilled on nodes.vendetta.dev "n1": the object has been modified; please apply your '
        "changes to the latest version and try again",
        about(),
    )


async def test_a_state_that_does_not_allow_it_is_explained(api: API) -> None:
    """Conflict, too, but with its own reason."""
    await api.node("n1")
    name = (await api.command("n1"))["id"]
    code, reason, message, details = told(await api.client.delete(f"{ROOT}/commands/{name}"))
    assert (code, reason, details) == (409, "Conflict", about("commands", name))
    assert message.startswith(f'Operation cannot be fulfilled on commands.vendetta.dev "{name}": ')
    assert "cancel it first" in message


async def test_what_is_wrong_names_the_kind_and_each_field(api: API) -> None:
    """Invalid: kubectl prints kind, name and one line a cause."""
    response = await api.client.post(f"{ROOT}/nodes", json=node(port=0, address="a\nb"))
    code, reason, message, details = told(response)
    assert (code, reason, details) == (422, "Invalid", about("Node"))
    assert message.startswith('Node.vendetta.dev "n1" is invalid: ')
    assert {cause["field"] for cause in response.json()["details"]["causes"]} == {"spec.port", "spec.address"}
    await api.node("n1")
    patched = told(await api.client.patch(f"{ROOT}/nodes/n1", json={"spec": {"port": 0}}, headers=MERGE))
    assert patched[3] == about("Node")


async def test_what_is_not_permitted_names_the_object(api: API) -> None:
    """Forbidden."""
    await api.node("n1")
    async with api.as_(OPERATOR) as client:
        code, reason, message, details = told(await client.delete(f"{ROOT}/nodes/n1"))
    assert (code, reason, details) == (403, "Forbidden", about())
    assert message == 'nodes.vendetta.dev "n1" is forbidden: only an admin may remove a node'


async def test_each_unknown_field_is_a_warning_of_its_own(api: API) -> None:
    """fieldValidation=Warn, on creation and on a patch."""
    created = await api.client.post(f"{ROOT}/nodes?fieldValidation=Warn", json=node(colour="red", size="big"))
    warnings = created.headers["warning"].split(", ")
    assert sorted(warnings) == [f'299 - "unknown field \\"spec.{name}\\""' for name in ("colour", "size")]
    patch = {"spec": {"colour": "red", "provider": "lxc"}}
    patched = await api.client.patch(f"{ROOT}/nodes/n1?fieldValidation=Warn", json=patch, headers=MERGE)
    assert (patched.status_code, patched.json()["spec"]["provider"]) == (200, "lxc")
    assert patched.headers["warning"] == '299 - "unknown field \\"spec.colour\\""'
