"""`/status` on the Kubernetes face: what others may say in it, and what stays the server's own (contract G-1)."""

from typing import Any

import pytest

from controller.outcome import ended
from controller.reconcilers.verdict import CommandStatusWriter
from controller.resources.command import Command
from tests.support.inprocess import API

ROOT = "/apis/vendetta.dev/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
NODE = f"{ROOT}/nodes/n1"


def condition(kind: str = "example.com/DiskHealthy", **more: Any) -> dict[str, Any]:
    """A condition that somebody else has observed."""
    at = "2026-01-13T18:17:00Z"
    return {"type": kind, "status": "True", "reason": "Checked", "message": "", "lastTransitionTime": at, **more}


async def patch(api: API, *conditions: dict[str, Any], url: str = NODE, **metadata: Any) -> Any:
    """The answer to a merge patch of the conditions."""
    body = {"metadata": metadata, "status": {"conditions": conditions}}
    return await api.client.patch(f"{url}/status", json=body, headers=MERGE)


def types(obj: dict[str, Any]) -> list[str]:
    """The types of its conditions."""
    return [c["type"] for c in obj["status"]["conditions"]]


async def test_others_add_conditions_of_their_own(api: API) -> None:
    """G-1: by merge patch, JSON patch and replacement; the server's own stay, and generation does."""
    before = await api.node("n1")
    patched = await patch(api, condition())
    assert (patched.status_code, "warning" in patched.headers) == (200, False)
    assert types(patched.json()) == ["Reachable", "Ready", "example.com/DiskHealthy"]
    assert patched.json()["metadata"]["generation"] == 1
    assert patched.json()["metadata"]["resourceVersion"] != before["resource_version"]
    operation = {"op": "add", "path": "/status/conditions/-", "value": condition("Quiet")}
    assert (
        types((await api.client.patch(f"{NODE}/status", json=[operation], headers=JSON_PATCH)).json())[0] == "Quiet"
    )
    read = (await api.client.get(f"{NODE}/status")).json()
    assert read == (await api.client.get(NODE)).json()
    read["status"]["conditions"] = [c for c in read["status"]["conditions"] if c["type"] != "Quiet"]
    replaced = (await api.client.put(f"{NODE}/status", json=read)).json()
    assert types(replaced) == ["Reachable", "Ready", "example.com/DiskHealthy"]
    assert types((await patch(api)).json()) == ["Reachable", "Ready"]


async def test_what_is_the_servers_own_stays_and_a_warning_says_so(api: API) -> None:
    """G-1: phase, facts and conditions such as Ready; the wish and the metadata are not a status's."""
    await api.node("n1", provider="lxc")
    before = (await api.client.get(NODE)).json()
    asked = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"provider": "qemu"},
        "status": {"phase": "inactive", "facts": {"os": "plan9"}, "conditions": [condition("Ready")]},
    }
    response = await api.client.patch(f"{NODE}/status", json=asked, headers=MERGE)
    assert response.json() == before
    told = response.headers["warning"]
    for name in ("status.phase is", "status.facts is", "the condition Ready is"):
        assert f"{name} the server's own and stays as it is" in told


async def test_a_wish_says_nothing_of_a_status(api: API) -> None:
    """G-1: a write to the object leaves its status alone, that of others as well."""
    await api.node("n1")
    await patch(api, condition())
    asked = {"spec": {"provider": "lxc"}, "status": {"phase": "inactive", "conditions": []}}
    patched = (await api.client.patch(NODE, json=asked, headers=MERGE)).json()
    assert (patched["spec"]["provider"], patched["status"]["phase"]) == ("lxc", "active")
    assert "example.com/DiskHealthy" in types(patched)


async def test_a_status_is_locked_by_its_version(api: API) -> None:
    """G-1: 409 for a version that is not the newest, and for another object of that name."""
    version = (await api.node("n1"))["resource_version"]
    assert (await patch(api, condition(), resourceVersion=version)).status_code == 200
    late = await patch(api, resourceVersion=version)
    assert (late.status_code, late.json()["reason"]) == (409, "Conflict")
    assert (await patch(api, uid="another")).status_code == 409
    assert (await patch(api, url=f"{ROOT}/nodes/none")).json()["details"]["kind"] == "nodes"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ([condition("no/two/slashes")], "status.conditions[0].type"),
        ([condition(), condition(message="again")], "status.conditions[1].type"),
        ([condition(message="x" * 4097)], "status.conditions[0].message"),
        ([condition(reason="x" * 1025)], "status.conditions[0].reason"),
        ([condition(f"t{number}") for number in range(65)], "status.conditions"),
        ([condition(status="Perhaps")], "status.conditions[0].status"),
    ],
)
async def test_a_condition_has_the_form_that_kubernetes_gives_it(
    api: API, wrong: list[dict[str, Any]], field: str
) -> None:
    """G-1: 422, which names the field."""
    await api.node("n1")
    response = await patch(api, *wrong)
    assert response.status_code == 422, response.text
    assert response.json()["details"]["causes"][0]["field"] == field


async def test_unknown_fields_are_dropped_with_a_warning_or_refused(api: API) -> None:
    """G-1: a status is written by programs that keep notes in it: Warn is the default here, as in Kubernetes."""
    await api.node("n1")
    asked = {"status": {"kopf": {"progress": 1}}}
    response = await api.client.patch(f"{NODE}/status", json=asked, headers=MERGE)
    assert response.status_code == 200
    assert 'unknown field \\"status.kopf\\"' in response.headers["warning"]
    strict = await api.client.patch(f"{NODE}/status?fieldValidation=Strict", json=asked, headers=MERGE)
    assert strict.status_code == 400
    quiet = await api.client.patch(f"{NODE}/status?fieldValidation=Ignore", json=asked, headers=MERGE)
    assert "warning" not in quiet.headers


async def test_a_rehearsal_of_a_status_stores_nothing(api: API) -> None:
    """G-1: dryRun."""
    await api.node("n1")
    body = {"status": {"conditions": [condition()]}}
    rehearsed = (await api.client.patch(f"{NODE}/status?dryRun=All", json=body, headers=MERGE)).json()
    assert len(types(rehearsed)) == 3
    assert len(types((await api.client.get(NODE)).json())) == 2


async def test_there_is_no_apply_of_a_status(api: API) -> None:
    """G-1: 415 names what there is."""
    await api.node("n1")
    applied = await api.client.patch(
        f"{NODE}/status?fieldManager=m&force=false",
        content="{}",
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    assert applied.status_code == 415
    assert "merge-patch" in applied.text


async def test_the_end_of_a_command_keeps_what_others_said_meanwhile(api: API) -> None:
    """G-1: the controller writes the status that it has worked out, and not over the conditions of others."""
    await api.node("n1")
    await api.command("n1", id="c1")
    command = api.store.get("Command", "c1")
    assert isinstance(command, Command)
    assert (await patch(api, condition("Approved"), url=f"{ROOT}/commands/c1")).status_code == 200
    now = api.context.clock.now()
    status = ended(command.status, phase="success", reason="Completed", message="", certainty="confirmed", now=now)
    await CommandStatusWriter(api.store)(command, status)
    found = (await api.client.get(f"{ROOT}/commands/c1")).json()
    assert types(found) == ["Approved", "Complete", "Failed", "Succeeded"]
