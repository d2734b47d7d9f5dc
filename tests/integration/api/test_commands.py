"""Commands over the document's API (contract C), on a store whose commands are ended by the tests."""

import asyncio
import time
from datetime import datetime
from typing import Any

import pytest

from api.auth.principal import Principal, Role
from controller.admission.ids import CommandIds
from controller.resources.command import Command
from controller.resources.record import Record
from controller.runtime.clock import SystemClock
from controller.settings import Settings
from controller.store.base import Append
from tests.support.inprocess import API, running

DOCUMENTED: dict[str, Any] = {
    "type": "exec",
    "action": "echo 'hello world'",
    "params": {"timeout": "30s"},
    "user": "developer",
}
OPERATOR = Principal(name="olga", role=Role.OPERATOR)


async def sent(api: API, timeout: float = 5) -> str:
    """The id of the next command that is stored."""
    async with asyncio.timeout(timeout), api.store.watch(frozenset({"Command"}), since=0) as changes:
        async for change in changes:
            return change.obj.name
    raise AssertionError


@pytest.mark.parametrize(
    ("key", "given", "told"),
    [
        ("timeout", "0s", "must be more than 0s"),
        ("timeout", "721h", "must be at most 720h0m0s"),
        ("delivery_timeout", "200h", "must be at most 168h0m0s"),
        ("connect_timeout", "11m", "must be at most 10m0s"),
        ("grace", "61m", "must be at most 1h0m0s"),
    ],
)
async def test_bounds_of_durations_are_told_as_durations(api: API, key: str, given: str, told: str) -> None:
    """C-3: nobody counts nanoseconds."""
    await api.node()
    refused = await api.client.post("/api/v1/nodes/node-1/commands", json={**DOCUMENTED, "params": {key: given}})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == f"the request's body is not valid: params.{key}: {told}"


async def test_a_command_that_ends_is_answered_with_its_result(api: API) -> None:
    """C-5, C-6: 200 and the document's shape."""
    await api.node()
    request = asyncio.create_task(api.client.post("/api/v1/nodes/node-1/commands", json=DOCUMENTED))
    await api.end(await sent(api), output=b"hello world\n")
    response = await request
    assert response.status_code == 200
    result = response.json()
    assert (result["status"], result["output"], result["duration"]) == ("success", "hello world", "100ms")
    assert result["finished"].endswith("Z")
    assert result["id"].startswith("cmd_")
    assert result["id"].endswith("_node-1")
    assert result["node_id"] == "node-1"


async def test_a_command_that_fails_is_answered_with_200_too(api: API) -> None:
    """C-5: the request worked, the command did not."""
    await api.node()
    request = asyncio.create_task(api.client.post("/api/v1/nodes/node-1/commands", json=DOCUMENTED))
    await api.end(await sent(api), phase="error", exit_code=7)
    response = await request
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["exit_code"]) == ("error", 7)


async def test_the_command_shown_is_whole(api: API) -> None:
    """C-3, C-6: the defaults used are filled in."""
    await api.node()
    command = (await api.command(**DOCUMENTED))["command"]
    assert command == {
        "type": "exec",
        "action": "echo 'hello world'",
        "params": {
            "timeout": "30s",
            "delivery_timeout": "10m0s",
            "connect_timeout": "10s",
            "grace": "5s",
            "env": {},
            "force": False,
        },
        "user": "developer",
    }


@pytest.mark.parametrize("how", [{"params": {"wait": "0"}}, {"headers": {"Prefer": "respond-async"}}])
async def test_nobody_has_to_wait(api: API, how: dict[str, Any]) -> None:
    """C-5: 202 at once, where to look, and neither duration nor finished."""
    await api.node()
    response = await api.client.post("/api/v1/nodes/node-1/commands", json=DOCUMENTED, **how)
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/v1/commands/{response.json()['id']}"
    assert response.json()["status"] == "pending"
    assert response.json().keys().isdisjoint({"duration", "finished"})


async def test_waiting_has_a_bound(api: API) -> None:
    """C-5: `wait` replaces the bound; then 202 with what is known."""
    await api.node()
    begun = time.monotonic()
    response = await api.client.post("/api/v1/nodes/node-1/commands?wait=300ms", json=DOCUMENTED)
    assert response.status_code == 202
    assert 0.25 < time.monotonic() - begun < 2


async def test_the_bound_stays_below_write_timeout() -> None:
    """C-5: min(what the command may take, write_timeout - 2 s), at least 1 s."""
    settings = Settings.model_validate({"server": {"write_timeout": "1s"}})
    async with running(settings) as api:
        await api.node()
        begun = time.monotonic()
        assert (await api.client.post("/api/v1/nodes/node-1/commands", json=DOCUMENTED)).status_code == 202
        assert 0.9 < time.monotonic() - begun < 2


async def test_a_client_that_hangs_up_cancels_nothing(api: API) -> None:
    """C-5."""
    await api.node()
    request = asyncio.create_task(api.client.post("/api/v1/nodes/node-1/commands", json=DOCUMENTED))
    name = await sent(api)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    command = api.store.get("Command", name)
    assert isinstance(command, Command)
    assert (command.spec.cancel, command.status.phase) == (False, "pending")


async def test_waiting_ends_when_the_server_stops(api: API) -> None:
    """C-5, E-4: 202, so that the client knows where to look."""
    await api.node()
    request = asyncio.create_task(api.client.post("/api/v1/nodes/node-1/commands?wait=1h", json=DOCUMENTED))
    await sent(api)
    api.context.stopping.set()
    assert (await asyncio.wait_for(request, 2)).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"type": "reboot", "action": "x"}, 400, "exec"),
        ({}, 400, "action"),
        ({"action": ""}, 400, "action"),
        ({"action": "x", "params": {"timeuot": "3s"}}, 400, "params.timeuot"),
        ({"action": "x", "params": {"timeout": "0s"}}, 400, "params.timeout"),
        ({"action": "x", "params": {"timeout": "1d"}}, 400, "params.timeout"),
        ({"action": "x", "params": {"timeout": 30}}, 400, "params.timeout"),
        ({"action": "x", "params": {"timeout": "-3s"}}, 400, "params.timeout"),
        ({"action": "x\x00"}, 400, "action"),
        ({"params": {"argv": []}}, 400, "argv"),
        ({"params": {"argv": ["ls"], "shell": "/bin/bash"}}, 400, "argv"),
        ({"action": "x", "params": {"env": {"A=B": "c"}}}, 400, "env"),
        ({"action": "x", "params": {"env": {"VENDETTA_RUN": "c"}}}, 400, "VENDETTA_"),
        ({"action": "x", "params": {"run_as": "-root"}}, 400, "run_as"),
        ({"action": "x", "id": "a/b"}, 400, "id"),
        ({"action": 5}, 400, "action"),
    ],
)
async def test_a_wrong_command_says_what_is_wrong(api: API, body: dict[str, Any], status: int, says: str) -> None:
    """C-1, C-2, A-3: and nothing is stored."""
    await api.node()
    response = await api.client.post("/api/v1/nodes/node-1/commands?wait=0", json=body)
    assert response.status_code == status
    assert says in response.json()["error"]["message"]
    assert api.store.list("Command").items == ()


async def test_argv_needs_no_action(api: API) -> None:
    """C-2."""
    await api.node()
    response = await api.client.post(
        "/api/v1/nodes/node-1/commands?wait=0", json={"params": {"argv": ["ls", "a b"], "env": {"A": "b"}}}
    )
    assert response.status_code == 202
    assert response.json()["command"]["params"]["argv"] == ["ls", "a b"]


async def test_where_a_command_cannot_go(api: API) -> None:
    """C-1: unknown node 404; cordoned 409 unless forced; not JSON 400."""
    await api.node(status="inactive")
    url = "/api/v1/nodes/node-1/commands?wait=0"
    assert (await api.client.post("/api/v1/nodes/nobody/commands", json={"action": "x"})).status_code == 404
    assert (await api.client.post(url, json={"action": "x"})).status_code == 409
    assert (await api.client.post(url, json={"action": "x", "params": {"force": True}})).status_code == 202
    headers = {"Content-Type": "application/json"}
    assert (await api.client.post(url, content=b"action=x", headers=headers)).status_code == 400
    assert (
        await api.client.post(url, content=b"action=x", headers={"Content-Type": "text/plain"})
    ).status_code == 415


async def test_the_user_is_a_label_and_the_caller_is_recorded(api: API) -> None:
    """C-4: requested_by is the authenticated principal."""
    await api.node()
    async with api.as_(OPERATOR) as client:
        response = await client.post("/api/v1/nodes/node-1/commands?wait=0", json=DOCUMENTED)
    assert response.json()["requested_by"] == "olga"
    assert response.json()["command"]["user"] == "developer"


async def test_another_user_on_the_node_is_an_admins_choice(api: API) -> None:
    """C-2, E-5: run_as."""
    await api.node()
    body = {"action": "id", "params": {"run_as": "deploy"}}
    async with api.as_(OPERATOR) as client:
        assert (await client.post("/api/v1/nodes/node-1/commands?wait=0", json=body)).status_code == 403
    assert (await api.client.post("/api/v1/nodes/node-1/commands?wait=0", json=body)).status_code == 202


async def test_the_same_request_under_the_same_id_is_done_once(api: API) -> None:
    """C-8: the same command, however its durations are spelled; another body is 409."""
    await api.node()
    await api.node("node-2")
    first = await api.command(id="mine", params={"timeout": "60s"})
    again = await api.command(id="mine", params={"timeout": "1m"})
    assert again["resource_version"] == first["resource_version"]
    url = "/api/v1/nodes/{}/commands?wait=0"
    other = {"id": "mine", "action": "false"}
    assert (await api.client.post(url.format("node-1"), json=other)).status_code == 409
    same = {"id": "mine", "action": "true", "params": {"timeout": "60s"}}
    assert (await api.client.post(url.format("node-2"), json=same)).status_code == 409
    assert len(api.store.list("Command").items) == 1


async def test_an_idempotency_key_is_an_id(api: API) -> None:
    """C-8: with and without the quotes of its draft; a retry of an ended command answers its result."""
    await api.node()
    url, key = "/api/v1/nodes/node-1/commands?wait=0", "8e03978e-40d5-43dd-bc93-6894a57f9324"
    first = await api.client.post(url, json=DOCUMENTED, headers={"Idempotency-Key": f'"{key}"'})
    assert first.json()["id"] == key
    await api.end(key)
    again = await api.client.post(url, json=DOCUMENTED, headers={"Idempotency-Key": key})
    assert (again.status_code, again.json()["status"]) == (200, "success")
    wrong = await api.client.post(url, json=DOCUMENTED, headers={"Idempotency-Key": "a b"})
    assert wrong.status_code == 400


async def test_many_at_once_under_one_id_are_one(api: API) -> None:
    """C-8."""
    await api.node()
    results = await asyncio.gather(*(api.command(id="one") for _ in range(20)))
    assert {r["resource_version"] for r in results} == {results[0]["resource_version"]}
    assert len(api.store.list("Command").items) == 1


async def test_the_id_of_a_removed_command_stays_taken(api: API) -> None:
    """C-8: a late retry never runs it again."""
    await api.node()
    await api.command(id="mine")
    await api.end("mine")
    assert (await api.client.delete("/apis/vendetta.dev/v1/commands/mine")).status_code == 200
    assert isinstance(api.store.get("Reservation", "mine"), Record)
    response = await api.client.post("/api/v1/nodes/node-1/commands?wait=0", json={"id": "mine", "action": "true"})
    assert response.status_code == 409


async def test_minted_ids_are_unique_within_one_second(api: API) -> None:
    """C-8: and cost next to no writes."""
    await api.node()
    before = api.store.revision()
    names = [(await api.command())["id"] for _ in range(200)]
    assert len(set(names)) == 200
    assert names == sorted(names)
    assert api.store.revision() - before <= 202


class BackwardsClock(SystemClock):
    """A clock that was set back by a day."""

    def now(self) -> datetime:
        """A time long ago."""
        return super().now().replace(year=2020)


async def test_no_number_comes_twice_after_a_restart_with_a_wrong_clock(api: API) -> None:
    """C-8: the counter is persisted."""
    first = CommandIds(store=api.store, clock=SystemClock())
    before = [await first.mint("n") for _ in range(100)]
    second = CommandIds(store=api.store, clock=BackwardsClock())
    after = [await second.mint("n") for _ in range(100)]
    assert not set(before) & set(after)
    assert min(after) > max(before)


async def test_two_replicas_never_mint_the_same(api: API) -> None:
    """C-8: each reserves its own numbers."""
    replicas = [CommandIds(store=api.store, clock=SystemClock()) for _ in range(3)]
    minted = await asyncio.gather(*(r.mint("n") for r in replicas for _ in range(50)))
    assert len(set(minted)) == 150


async def test_cancelling_asks_and_the_ended_stay(api: API) -> None:
    """C-11, C-12: 202 and the wish is stored; ended commands answer 200 and do not change."""
    await api.node()
    name = (await api.command())["id"]
    response = await api.client.post(f"/api/v1/commands/{name}/cancel")
    assert (response.status_code, response.json()["cancel"]) == (202, True)
    command = api.store.get("Command", name)
    assert isinstance(command, Command)
    assert command.spec.cancel
    await api.end(name)
    response = await api.client.post(f"/api/v1/commands/{name}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "success")
    assert (await api.client.post("/api/v1/commands/nobody/cancel")).status_code == 404


async def test_commands_are_listed_by_node_status_time_and_label(api: API) -> None:
    """C-11."""
    await api.node()
    await api.node("node-2")
    await api.command(id="a", labels={"job": "x"})
    await api.command("node-2", id="b")
    await api.end("b")

    async def names(query: str) -> list[str]:
        listed = (await api.client.get(f"/api/v1/commands?{query}")).json()
        assert listed["count"] == len(listed["commands"])
        return [c["id"] for c in listed["commands"]]

    assert await names("") == ["a", "b"]
    assert await names("node=node-2") == ["b"]
    assert await names("status=pending") == ["a"]
    assert await names("labelSelector=job=x") == ["a"]
    assert await names("since=1h") == ["a", "b"]
    assert await names("since=2999-01-01T00:00:00Z") == []
    for wrong in ("since=yesterday", "status=done", "limit=-1", "limit=x", "nodes=a", "labelSelector=a%20b"):
        assert (await api.client.get(f"/api/v1/commands?{wrong}")).status_code == 400, wrong


async def write(api: API, name: str, stream: Any, offset: int, data: bytes) -> None:
    """Append output as the controller does."""
    command = api.store.get("Command", name)
    assert isinstance(command, Command)
    now = api.context.clock.now()
    await api.store.write(Append(command_uid=command.uid, stream=stream, offset=offset, data=data, at=now))


async def test_output_is_raw_bytes_from_any_offset_of_any_view(api: API) -> None:
    """C-10, C-11."""
    await api.node()
    name = (await api.command())["id"]
    await write(api, name, "stdout", 0, b"out\xff1")
    await write(api, name, "stderr", 0, b"err1")
    await write(api, name, "stdout", 5, b"out2")

    async def read(query: str) -> bytes:
        response = await api.client.get(f"/api/v1/commands/{name}/logs?{query}")
        assert response.headers["content-type"] == "application/octet-stream"
        return response.content

    assert await read("") == b"out\xff1err1out2"
    assert await read("stream=stdout") == b"out\xff1out2"
    assert await read("stream=stderr&offset=2") == b"r1"
    assert await read("offset=7") == b"r1out2"
    assert await read("offset=1000") == b""
    assert (await api.client.get("/api/v1/commands/nobody/logs")).status_code == 404
    wrong = {"Last-Event-ID": "Row!>Gi["}
    assert (await api.client.get(f"/api/v1/commands/{name}/logs", headers=wrong)).status_code == 400


async def test_output_comes_in_tagged_chunks_when_asked_for(api: API) -> None:
    """C-11: stream, offset and time; text as text, the rest in base64."""
    await api.node()
    name = (await api.command())["id"]
    await write(api, name, "stdout", 0, b"text")
    await write(api, name, "stderr", 0, b"\xff")
    url = f"/api/v1/commands/{name}/logs"
    lines = (await api.client.get(url, headers={"Accept": "application/x-ndjson"})).text.splitlines()
    assert '"stream":"stdout","offset":0,"position":0' in lines[0]
    assert '"data":"text"' in lines[0]
    assert '"stream":"stderr","offset":0,"position":4' in lines[1]
    assert '"base64":"/w=="' in lines[1]
    events = (await api.client.get(url, headers={"Accept": "text/event-stream"})).text
    assert events.startswith('id: 4\ndata: {"stream":"stdout"')
    assert '\n\nid: 5\ndata: {"stream":"stderr"' in events
    assert events.endswith("\n\n")


async def test_following_ends_with_the_command_and_loses_nothing(api: API) -> None:
    """C-11: everything written before the end is sent, then the stream ends."""
    await api.node()
    name = (await api.command())["id"]
    request = asyncio.create_task(api.client.get(f"/api/v1/commands/{name}/logs?follow=1"))
    for number in range(50):
        await write(api, name, "stderr", number, b"x")
        await asyncio.sleep(0)
    await api.end(name, output=b"y" * 300_000)
    response = await asyncio.wait_for(request, 5)
    assert response.content == b"x" * 50 + b"y" * 300_000


async def test_following_ends_when_the_node_is_removed_or_the_server_stops(api: API) -> None:
    """C-11, E-4."""
    await api.node()
    first, second = (await api.command())["id"], None
    follower = asyncio.create_task(api.client.get(f"/api/v1/commands/{first}/logs?follow=1"))
    await asyncio.sleep(0.05)
    await api.client.delete("/api/v1/nodes/node-1")
    assert (await asyncio.wait_for(follower, 2)).status_code == 200
    await api.node()
    second = (await api.command())["id"]
    follower = asyncio.create_task(api.client.get(f"/api/v1/commands/{second}/logs?follow=true"))
    await asyncio.sleep(0.05)
    api.context.stopping.set()
    assert (await asyncio.wait_for(follower, 2)).status_code == 200


async def test_head_of_a_stream_ends(api: API) -> None:
    """B-9: HEAD and OPTIONS work, also on streams."""
    await api.node()
    name = (await api.command())["id"]
    response = await asyncio.wait_for(api.client.head(f"/api/v1/commands/{name}/logs?follow=1"), 2)
    assert (response.status_code, response.content) == (200, b"")
    options = await api.client.options(f"/api/v1/commands/{name}/logs")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def report(name: str, **fields: Any) -> dict[str, Any]:
    """The document's report."""
    return {
        "id": name,
        "node_id": "node-1",
        "status": "success",
        "output": "Command executed successfully",
        "duration": "150ms",
        "finished": "2026-01-13T18:17:00Z",
        **fields,
    }


async def test_an_agent_reports_a_result_by_itself(api: API) -> None:
    """C-13: 202, presumed; an identical repeat 202; another outcome 409."""
    await api.node()
    name = (await api.command())["id"]
    url = f"/api/v1/commands/{name}/result"
    assert (await api.client.post(url, json=report(name))).status_code == 202
    command = (await api.client.get(f"/api/v1/commands/{name}")).json()
    assert (command["status"], command["output"]) == ("success", "Command executed successfully")
    assert (command["duration"], command["finished"]) == ("150ms", "2026-01-13T18:17:00Z")
    assert command["certainty"] == "presumed"
    assert (await api.client.post(url, json=report(name))).status_code == 202
    assert (await api.client.post(url, json=report(name, status="failed"))).status_code == 409


async def test_failed_means_error(api: API) -> None:
    """C-7: inbound `failed`."""
    await api.node()
    name = (await api.command())["id"]
    response = await api.client.post(f"/api/v1/commands/{name}/result", json=report(name, status="failed"))
    assert response.json()["status"] == "error"


async def test_reports_that_are_refused(api: API) -> None:
    """C-13: unknown id 404, ids that differ 400, another caller 403, a command that the server observes 409."""
    node = await api.node()
    other = await api.node("node-2", transport={"type": "ssh"})
    name = (await api.command())["id"]
    observed = (await api.command("node-2"))["id"]
    url = "/api/v1/commands/{}/result"
    assert (await api.client.post(url.format("nobody"), json=report("nobody"))).status_code == 404
    assert (await api.client.post(url.format(name), json=report("other"))).status_code == 400
    assert (await api.client.post(url.format(name), json=report(name, node_id="node-2"))).status_code == 400
    assert (await api.client.post(url.format(name), json=report(name, status="done"))).status_code == 400
    response = await api.client.post(url.format(observed), json=report(observed, node_id="node-2"))
    assert (response.status_code, response.json()["error"]["code"]) == (409, "NotReportable")
    for principal in (Principal(name="x", role=Role.NODE, node_uid=other["uid"]), OPERATOR):
        async with api.as_(principal) as client:
            assert (await client.post(url.format(name), json=report(name))).status_code == 403
    async with api.as_(Principal(name="agent", role=Role.NODE, node_uid=node["uid"])) as client:
        assert (await client.post(url.format(name), json=report(name))).status_code == 202


async def test_an_agent_fetches_its_commands_and_reports_them_by_nonce(api: API) -> None:
    """C-13: handed out once, with a nonce that nobody else is shown; a report without it is 403."""
    node = await api.node()
    await api.node("node-2", transport={"type": "ssh"})
    name, other = (await api.command())["id"], (await api.command())["id"]
    path = "/api/v1/nodes/node-1/commands/claim"
    async with api.as_(Principal(name="agent", role=Role.NODE, node_uid=node["uid"])) as client:
        for body in ({"limit": 0}, {"limit": 101}, {"limit": "1"}):
            assert (await client.post(path, json=body)).status_code == 400
        claims = (await client.post(path)).json()
        assert ([c["id"] for c in claims["commands"]], claims["count"], claims["cancelled"]) == ([name], 1, [])
        (handed,) = claims["commands"]
        assert (handed["status"], handed["command"]["action"], handed["transport"]) == ("running", "true", "report")
        assert handed["nonce"] not in (await api.client.get(f"/apis/vendetta.dev/v1/commands/{name}")).text
        assert [c["id"] for c in (await client.post(path, json={"limit": 9})).json()["commands"]] == [other]
        url = f"/api/v1/commands/{name}/result"
        for nonce in ({}, {"nonce": "0" * 32}):
            assert (await client.post(url, json=report(name, **nonce))).status_code == 403
        for _ in range(2):
            assert (await client.post(url, json=report(name, nonce=handed["nonce"]))).status_code == 202
        lied = report(name, status="failed", nonce=handed["nonce"])
        assert (await client.post(url, json=lied)).status_code == 409
        assert (await client.post("/api/v1/nodes/node-2/commands/claim")).status_code == 403
    command = (await api.client.get(f"/api/v1/commands/{name}")).json()
    assert (command["status"], command["certainty"], command["attempts"]) == ("success", "confirmed", 1)
    assert (await api.client.post("/api/v1/nodes/node-2/commands/claim")).status_code == 409
    assert (await api.client.post("/api/v1/nodes/nobody/commands/claim")).status_code == 404
    async with api.as_(OPERATOR) as client:
        assert (await client.post(path)).status_code == 403


async def test_services_are_told_by_node(api: API) -> None:
    """D-1: sorted by id; nodes without any are absent; of a node that is not active nobody knows."""
    web = {"id": "web", "name": "Web Server", "type": "http", "status": "running", "port": 8080}
    await api.node(services=[{**web, "endpoint": "http://localhost:8080"}, {"id": "db", "type": "tcp"}])
    await api.node("node-2", services=[web], status="inactive", labels={"a": "b"})
    await api.node("node-3")
    told = (await api.client.get("/api/v1/services")).json()
    assert told["nodes"] == 3
    assert list(told["services"]) == ["node-1", "node-2"]
    assert [s["id"] for s in told["services"]["node-1"]] == ["db", "web"]
    assert told["services"]["node-1"][1] == {**web, "source": "declared", "endpoint": "http://localhost:8080"}
    (stale,) = told["services"]["node-2"]
    assert (stale["status"], stale["stale"]) == ("unknown", True)
    for query in ("node=node-1", "type=tcp", "labelSelector=!a"):
        assert list((await api.client.get(f"/api/v1/services?{query}")).json()["services"]) == ["node-1"]
