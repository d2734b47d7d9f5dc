"""The event stream as Server-Sent Events, against a real server (contract E-1 to E-4, A-8)."""

import re
import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.support.live import SSE, Live, Raw, serve


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serve(websocket={"ping_period": "1s"}) as running:
        yield running


def test_the_first_frame_is_the_state_and_then_what_happens_follows(live: Live) -> None:
    """E-1, E-2, E-3: id and data and no event name; types and shapes as documented."""
    live.add_node("first-1")
    with SSE(live.port) as client:
        frame = client.frame()
        assert frame is not None
        assert frame.event == ""
        assert frame.id == frame.data["id"]
        assert re.fullmatch(rf"{live.context.store.uid}-\d+", frame.id)
        assert frame.data["type"] == "initial_state"
        assert "first-1" in [node["id"] for node in frame.data["data"]["nodes"]]
        assert frame.data["timestamp"].endswith("Z")
        live.add_node("first-2", provider="docker")
        event = client.event()
        assert (event["type"], event["data"]["node"]["id"]) == ("node_registered", "first-2")
        assert event["data"]["node"]["provider"] == "docker"
        assert 1000 <= client.retry <= 5000


def test_the_headers_keep_proxies_from_buffering(live: Live) -> None:
    """E-4: X-Accel-Buffering, Cache-Control; and the content type that EventSource demands."""
    with SSE(live.port) as client:
        head = client.head.lower()
        assert "content-type: text/event-stream" in head
        assert "x-accel-buffering: no" in head
        assert "cache-control: no-cache, no-transform" in head


def test_head_answers_and_ends(live: Live) -> None:
    """B-9: HEAD works, also on streams, and the connection can be used again."""
    with Raw(live.port) as client:
        for _ in range(2):
            client.send(f"HEAD /ws HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n\r\n")
            assert client.status() == 200
        client.send(f"OPTIONS /ws/ HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n\r\n")
        assert client.status() == 204


def test_an_unregistered_node_is_told_by_its_id(live: Live) -> None:
    """E-3: node_unregistered {"node_id"}."""
    live.add_node("gone-1")
    with SSE(live.port) as client:
        client.event()
        assert httpx2.delete(f"{live.url}/api/v1/nodes/gone-1").status_code == 204
        event = client.event()
        assert (event["type"], event["data"]) == ("node_unregistered", {"node_id": "gone-1"})


@pytest.mark.parametrize("how", ["header", "query"])
def test_what_was_missed_is_replayed_without_gap_or_repeat(live: Live, how: str) -> None:
    """E-2: Last-Event-ID, or ?last_event_id=."""
    with SSE(live.port) as client:
        last = client.event()["id"]
    names = [f"missed-{how}-{n}" for n in range(5)]
    live.add_nodes(*names)
    target, headers = (f"/ws?last_event_id={last}", []) if how == "query" else ("/ws", [f"Last-Event-ID: {last}"])
    with SSE(live.port, target, *headers) as client:
        assert [client.event()["data"]["node"]["id"] for _ in names] == names
        live.add_node(f"missed-{how}-after")
        assert client.event()["data"]["node"]["id"] == f"missed-{how}-after"


@pytest.mark.parametrize("last", ["nonsense", "other-uid-1", "{uid}-999999", "{uid}--1", "{uid}-", "{uid}-1e3", "-"])
def test_a_foreign_id_gets_the_state_and_is_told_so(live: Live, last: str) -> None:
    """E-2: too old or foreign ⇒ initial_state with resync: true."""
    with SSE(live.port, "/ws", f"Last-Event-ID: {last.format(uid=live.context.store.uid)}") as client:
        event = client.event()
        assert (event["type"], event["resync"]) == ("initial_state", True)


def test_a_fresh_client_is_not_told_to_resync(live: Live) -> None:
    """E-2: nothing was missed."""
    with SSE(live.port) as client:
        assert "resync" not in client.event()


def test_types_are_chosen(live: Live) -> None:
    """E-3: ?types=."""
    with SSE(live.port, "/ws?types=node_unregistered,command_result") as client:
        assert client.event()["type"] == "initial_state"
        live.add_node("chosen")
        httpx2.delete(f"{live.url}/api/v1/nodes/chosen")
        assert client.event()["type"] == "node_unregistered"
    assert httpx2.get(f"{live.url}/ws?types=Bad-Type").status_code == 400


def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(live: Live) -> None:
    """E-3: or a client with a slip of the pen would wait for ever."""
    with httpx2.stream("GET", f"{live.url}/ws?types=node_updated,zz") as answer:
        assert answer.status_code == 400
        answer.read()
    for known in ("zz", "command_result", "node_registered", "node_unregistered", "node_updated"):
        assert known in answer.json()["error"]["message"]
    with SSE(live.port, "/ws?types=initial_state,node_updated") as client:
        assert client.event()["type"] == "initial_state"


def test_a_quiet_stream_has_a_heartbeat(live: Live) -> None:
    """A-8: a comment each ping_period, which is no event."""
    with SSE(live.port) as client:
        client.event()
        begun = time.monotonic()
        frame = client.frame()
        assert frame is not None
        assert (frame.comment, frame.data) == ("still here", {})
        assert 0.7 < time.monotonic() - begun < 3


def test_many_events_arrive_once_and_in_order(live: Live) -> None:
    """E-4: joined into few writes, and still each its own frame."""
    names = [f"many-{n:04}" for n in range(1000)]
    with SSE(live.port) as one, SSE(live.port) as other:
        for client in (one, other):
            client.event()
        live.add_nodes(*names)
        for client in (one, other):
            assert [client.event()["data"]["node"]["id"] for _ in names] == names


def test_a_client_that_leaves_is_counted_out(live: Live) -> None:
    """D-4: connected_clients."""
    assert live.has_clients(0)
    with SSE(live.port) as client:
        client.event()
        assert live.has_clients(1)
    assert live.has_clients(0)


def test_disabled_means_not_found() -> None:
    """A-8: websocket.enabled: false ⇒ the path answers 404."""
    with serve(websocket={"enabled": False}) as live:
        assert httpx2.get(f"{live.url}/ws").status_code == 404


def test_the_path_is_honoured() -> None:
    """A-8: websocket.path."""
    with serve(websocket={"path": "/events/live"}) as live:
        assert httpx2.get(f"{live.url}/ws").status_code == 404
        with SSE(live.port, "/events/live") as client:
            assert client.event()["type"] == "initial_state"


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/nodes", "/api/v1/nodes/x", "/health/"])
def test_a_path_that_is_taken_fails_the_start(path: str) -> None:
    """A-8: refused where it collides."""
    with pytest.raises(RuntimeError) as raised, serve(websocket={"path": path}):
        pass
    assert "collides" in str(raised.value.__cause__)
