"""Tokens and tickets over the wire, against a real server with auth on (contract E-5, B-10)."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from tests.support.api import AUTH_ON, STATIC
from tests.support.live import SSE, Live, Raw, serve

ADMIN = {"Authorization": f"Bearer {STATIC}"}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serve(auth=AUTH_ON, server={"auth_token": STATIC}) as running:
        yield running


def make(live: Live, role: str, **more: str) -> dict[str, Any]:
    answer = httpx2.post(f"{live.url}/api/v1/tokens", json={"subject": "x", "role": role, **more}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['token']}"}


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/api/v1/tokens", "/metrics", "/ws", "/apis", "/nothing", "/"])
def test_every_path_needs_a_token(live: Live, path: str) -> None:
    """E-5: also those that do not exist."""
    answer = httpx2.get(live.url + path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    if not path.startswith("/apis"):
        assert answer.json()["error"]["code"] == "Unauthorized"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_tokens_are_made_used_and_revoked(live: Live) -> None:
    """E-5: POST /api/v1/tokens, and DELETE by id; at once."""
    made = make(live, "viewer", expiry="1h")
    assert made["expires_in"] == 3600
    who = httpx2.get(f"{live.url}/api/v1/whoami", headers=bearer(made))
    assert (who.json()["name"], who.json()["role"]) == ("x", "viewer")
    assert httpx2.delete(f"{live.url}/api/v1/tokens/{made['id']}", headers=ADMIN).status_code == 204
    assert httpx2.delete(f"{live.url}/api/v1/tokens/{made['id']}", headers=ADMIN).status_code == 204
    assert httpx2.get(f"{live.url}/api/v1/whoami", headers=bearer(made)).status_code == 401


def test_only_admins_make_and_revoke_tokens(live: Live) -> None:
    """E-5: the table of roles."""
    for role in ("viewer", "operator"):
        headers = bearer(make(live, role))
        asked = httpx2.post(f"{live.url}/api/v1/tokens", json={"subject": "x", "role": "admin"}, headers=headers)
        assert asked.status_code == 403
        assert httpx2.delete(f"{live.url}/api/v1/tokens/x", headers=headers).status_code == 403


def test_a_nodes_token_names_its_node(live: Live) -> None:
    """E-5: by id or uid; one that does not exist gets none."""
    live.add_node("agent-1")
    uid = live.context.store.get("Node", "agent-1")
    assert uid is not None
    made = make(live, "node", node="agent-1")
    assert made["node"] == uid.uid == make(live, "node", node=uid.uid)["node"]
    body = {"subject": "x", "role": "node", "node": "nobody"}
    assert httpx2.post(f"{live.url}/api/v1/tokens", json=body, headers=ADMIN).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"subject": "x"},
        {"subject": "", "role": "admin"},
        {"subject": "x", "role": "root"},
        {"subject": "x", "role": "node"},
        {"subject": "a\nb", "role": "admin"},
        {"subject": "x", "role": "admin", "expiry": "-1s"},
        {"subject": "x", "role": "admin", "expiry": "0s"},
        {"subject": "x", "role": "admin", "more": 1},
        [],
    ],
)
def test_a_bad_request_for_a_token_is_told_why(live: Live, body: object) -> None:
    """B-10: 400."""
    answer = httpx2.post(f"{live.url}/api/v1/tokens", json=body, headers=ADMIN)
    assert answer.status_code == 400, answer.text


def test_a_browser_gets_onto_the_stream_by_ticket_and_stays_by_cookie(live: Live) -> None:
    """E-5: the ticket once, then the cookie with the used ticket still in the URL, as EventSource does it."""
    sold = httpx2.post(f"{live.url}/api/v1/stream-tickets", headers=bearer(make(live, "viewer")))
    assert sold.json()["expires_in"] == 60
    target = f"/ws?ticket={sold.json()['ticket']}"
    with SSE(live.port, target) as client:
        assert client.event()["type"] == "initial_state"
        cookie = next(line for line in client.head.split("\r\n") if line.lower().startswith("set-cookie: "))
    with Raw(live.port) as client:
        client.get(target)
        assert client.status() == 401
    value = cookie.partition(": ")[2].partition(";")[0]
    with SSE(live.port, target, f"Cookie: {value}") as client:
        assert client.event()["type"] == "initial_state"


def test_a_stream_does_not_outlive_its_token(live: Live) -> None:
    """E-5: revoking a token ends the streams that it opened."""
    made = make(live, "viewer")
    with SSE(live.port, "/ws", f"Authorization: Bearer {made['token']}") as client:
        client.event()
        assert httpx2.delete(f"{live.url}/api/v1/tokens/{made['id']}", headers=ADMIN).status_code == 204
        assert client.frame() is None


@pytest.mark.parametrize("target", ["/apis/vendetta.dev/v1/nodes?watch=1", "/api/v1/commands/{id}/logs?follow=1"])
def test_no_other_stream_outlives_its_token_either(live: Live, target: str) -> None:
    """E-5: watches and followed output end like the event stream, though nothing happens on them."""
    httpx2.post(f"{live.url}/api/v1/nodes", json={"id": "agent-3"}, headers=ADMIN)
    sent = httpx2.post(f"{live.url}/api/v1/nodes/agent-3/commands?wait=0", json={"action": "true"}, headers=ADMIN)
    made = make(live, "viewer")
    url = live.url + target.replace("{id}", sent.json()["id"])
    with httpx2.stream("GET", url, headers=bearer(made), timeout=5) as stream:
        assert stream.status_code == 200
        assert httpx2.delete(f"{live.url}/api/v1/tokens/{made['id']}", headers=ADMIN).status_code == 204
        stream.read()


def test_a_ticket_is_for_the_streams_path(live: Live) -> None:
    """E-5: bound to the path."""
    asked = httpx2.post(f"{live.url}/api/v1/stream-tickets", json={"path": "/metrics"}, headers=ADMIN)
    assert asked.status_code == 400
    assert httpx2.post(f"{live.url}/api/v1/stream-tickets", json={"path": "/ws"}, headers=ADMIN).status_code == 200


def test_no_secret_of_a_websockets_query_gets_into_the_log(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """E-8: uvicorn would log the path with its query."""
    caplog.set_level(logging.DEBUG)
    ticket = httpx2.post(f"{live.url}/api/v1/stream-tickets", headers=ADMIN).json()["ticket"]
    with connect(f"ws://127.0.0.1:{live.port}/ws?ticket={ticket}") as client:
        assert json.loads(client.recv(5))["type"] == "initial_state"
    server_side = [r.getMessage() for r in caplog.records if not r.name.startswith(("websockets", "httpcore"))]
    assert not [line for line in server_side if ticket in line]


def test_a_node_reads_no_stream(live: Live) -> None:
    """E-5: role node acts only for its own node."""
    live.add_node("agent-2")
    headers = bearer(make(live, "node", node="agent-2"))
    assert httpx2.get(f"{live.url}/ws", headers=headers).status_code == 403
    assert httpx2.get(f"{live.url}/metrics", headers=headers).status_code == 403


def test_tokens_mean_nothing_while_auth_is_off() -> None:
    """E-6: none is made that would count later."""
    with serve() as live:
        asked = httpx2.post(f"{live.url}/api/v1/tokens", json={"subject": "x", "role": "admin"})
        assert asked.status_code == 409
        who = httpx2.get(f"{live.url}/api/v1/whoami").json()
        assert (who["name"], who["role"]) == ("local", "admin")
