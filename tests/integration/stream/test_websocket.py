"""The event stream as a WebSocket, against a real server (contract E-1, A-8, E-4)."""

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.live import SSE, Live, Raw, serve

HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serve(websocket={"ping_period": "1s"}) as running:
        yield running


def dial(live: Live, target: str = "/ws", **how: Any) -> ClientConnection:
    client: ClientConnection = connect(f"ws://127.0.0.1:{live.port}{target}", **how)
    return client


def event(client: ClientConnection) -> dict[str, Any]:
    message = client.recv(5)
    assert isinstance(message, str), "a text frame each"
    found: dict[str, Any] = json.loads(message)
    return found


def test_it_tells_the_same_as_sse(live: Live) -> None:
    """E-1: the same JSON, a text frame each, the same ids."""
    with dial(live) as client, SSE(live.port) as other:
        first, same = event(client), other.event()
        assert {**first, "timestamp": ""} == {**same, "timestamp": ""}
        live.add_node("both")
        assert event(client) == other.event()


def test_what_was_missed_is_replayed(live: Live) -> None:
    """E-2: ?last_event_id=."""
    with dial(live) as client:
        last = event(client)["id"]
    live.add_nodes("ws-1", "ws-2")
    with dial(live, f"/ws?last_event_id={last}&types=node_registered") as client:
        assert [event(client)["data"]["node"]["id"] for _ in range(2)] == ["ws-1", "ws-2"]


def test_a_foreign_page_is_refused(live: Live) -> None:
    """E-6, A-8: the Origin check."""
    with pytest.raises(InvalidStatus) as refused:
        dial(live, origin="http://evil.example")
    assert refused.value.response.status_code == 403


def test_a_refusal_is_no_error_of_ours(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may not come in must not be able to fill the log with errors either."""
    with Raw(live.port) as client:
        client.get("/ws", "Origin: http://evil.example", *HANDSHAKE)
        assert client.rest().startswith(b"HTTP/1.1 403 ")
    with dial(live) as client_that_may:
        event(client_that_may)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_bad_query_is_told_over_http(live: Live) -> None:
    """B-10: 400, in JSON."""
    with pytest.raises(InvalidStatus) as refused:
        dial(live, "/ws?types=NO")
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body or b"")["error"]["code"] == "BadRequest"


def test_an_unknown_path_is_refused(live: Live) -> None:
    """A-8: only the path that is configured."""
    with pytest.raises(InvalidStatus):
        dial(live, "/elsewhere")


def test_disabled_means_not_found() -> None:
    """A-8: 404 for the upgrade, too."""
    with serve(websocket={"enabled": False}) as live, pytest.raises(InvalidStatus) as refused:
        dial(live)
    assert refused.value.response.status_code == 404


def test_both_kinds_of_clients_are_counted(live: Live) -> None:
    """D-4: connected_clients."""
    assert live.has_clients(0)
    with dial(live) as client, SSE(live.port) as other:
        event(client)
        other.event()
        assert live.has_clients(2)


def test_a_silent_peer_is_dropped_after_two_periods(live: Live) -> None:
    """A-8: it has answered no ping."""
    with Raw(live.port) as client:
        client.get("/ws", *HANDSHAKE)
        assert client.status() == 101
        begun = time.monotonic()
        client.rest()
        assert 1.5 < time.monotonic() - begun < 4


def test_a_peer_that_answers_is_not(live: Live) -> None:
    """A-8: pings are answered by the client's library."""
    with dial(live) as client:
        event(client)
        with pytest.raises(TimeoutError):
            client.recv(3)
        live.add_node("still-there")
        assert event(client)["data"]["node"]["id"] == "still-there"


def test_what_a_client_says_is_ignored(live: Live) -> None:
    """E-1: there is nothing to say; saying it anyway breaks nothing."""
    with dial(live) as client:
        event(client)
        for _ in range(200):
            client.send("x" * 1000)
        live.add_node("after-talk")
        assert event(client)["data"]["node"]["id"] == "after-talk"


def test_a_stop_closes_cleanly() -> None:
    """E-4: with a close frame that says why."""
    with serve() as live, dial(live) as client:
        event(client)
        live.call(live.server.stop)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


def test_a_client_that_does_not_read_is_cut() -> None:
    """E-4: it answers no ping either, and its connection's buffers are all that it costs."""
    with serve(websocket={"ping_period": "1s"}) as live, Raw(live.port, receive_buffer=4096) as client:
        client.get("/ws", *HANDSHAKE)
        for n in range(100):
            live.add_node(f"big-{n}", capabilities={"x": "y" * 50_000})
        assert live.has_clients(0, within=10)
