"""What a connection may send and how long it may take, against a real server and by raw sockets (contract A-4)."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.live import Live, Raw, serve

HEAD = "POST /api/v1/nodes HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serve(server={"read_timeout": "1s", "idle_timeout": "2s", "write_timeout": "5s"}) as running:
        yield running


def alive(live: Live) -> bool:
    return httpx2.get(f"{live.url}/livez").status_code == 200


def resident() -> int:
    """Memory of this process, in which the server runs, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmRSS")


def seconds_to_end(client: Raw) -> float:
    begun = time.monotonic()
    client.rest()
    return time.monotonic() - begun


def test_ordinary_requests_are_served(live: Live) -> None:
    """A-4: the bounds are for others."""
    with Raw(live.port) as client:
        for _ in range(3):
            client.get("/livez")
            assert client.status() == 200
            assert client.until(b"ok") == b"ok"


def test_headers_under_the_bound_are_taken(live: Live) -> None:
    """A-4: headers <= 64 KiB."""
    with Raw(live.port) as client:
        client.get("/livez", "X-Much: " + "a" * 60_000)
        assert client.status() == 200


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Much: " + "a" * 70_000],
        [f"X-{n}: {'a' * 1000}" for n in range(70)],
        ["a:" for _ in range(20_000)],
    ],
    ids=["one long", "many", "tiny"],
)
def test_too_many_header_bytes_are_refused(live: Live, lines: list[str]) -> None:
    """A-4: 431, in the shape of every error."""
    with Raw(live.port) as client:
        client.get("/livez", *lines)
        head = client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert json.loads(client.rest())["error"]["code"] == "RequestHeaderFieldsTooLarge"


@pytest.mark.parametrize("begin", ["GET /livez HTTP/1.1\r\n", "GET /livez?", "\r\n\r\n", "G"])
def test_headers_without_end_are_refused_before_they_fill_the_memory(live: Live, begin: str) -> None:
    """A-4: an endless request line or endless headers end at the bound, not at the machine's memory."""
    before = resident()
    with Raw(live.port) as client:
        sent = 0
        with contextlib.suppress(OSError):
            client.send(begin)
            piece = b"\r\n" * 30_000 if begin == "\r\n\r\n" else b"x" * 60_000
            while sent < 200_000_000:
                client.send(piece)
                sent += len(piece)
        assert sent < 20_000_000
    assert resident() - before < 30
    assert alive(live)


@pytest.mark.parametrize(
    "begin",
    ["", "G", "GET / HT", "GET /livez HTTP/1.1\r\nHost: x\r\n", "\r\n"],
    ids=["nothing", "one byte", "half a line", "half the headers", "an empty line"],
)
def test_a_connection_that_does_not_go_on_is_closed(live: Live, begin: str) -> None:
    """A-4: read_timeout, and for a connection that says nothing, too."""
    with Raw(live.port) as client:
        client.send(begin)
        assert 0.5 < seconds_to_end(client) < 3.5


def test_half_a_request_is_told_that_it_was_too_slow(live: Live) -> None:
    """A-4: 408."""
    with Raw(live.port) as client:
        client.send("GET /livez HTTP/1.1\r\nHost: x\r\n")
        assert client.status() == 408
        assert json.loads(client.rest())["error"]["code"] == "Timeout"


def test_a_trickle_of_headers_does_not_move_the_deadline(live: Live) -> None:
    """A-4: the deadline is for the whole request, not for each byte (slowloris)."""
    with Raw(live.port) as client:
        client.send("GET /livez HTTP/1.1\r\n")
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 6:
                client.send("X-a: b\r\n")
                time.sleep(0.1)
        assert time.monotonic() - begun < 4


@pytest.mark.parametrize("chunked", [False, True])
def test_a_trickle_of_body_does_not_either(live: Live, chunked: bool) -> None:
    """A-4: headers and body together; 408 while the handler waits for it."""
    with Raw(live.port) as client:
        client.send(HEAD.format(port=live.port))
        client.send("Transfer-Encoding: chunked\r\n\r\n" if chunked else "Content-Length: 1000\r\n\r\n")
        begun = time.monotonic()
        client.socket.settimeout(0.1)
        answer = b""
        while time.monotonic() - begun < 6 and b"\r\n\r\n" not in answer:
            with contextlib.suppress(OSError):
                client.send("1\r\nx\r\n" if chunked else "x")
            with contextlib.suppress(TimeoutError):
                answer += client.socket.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begun < 4


def test_an_idle_connection_is_closed_later(live: Live) -> None:
    """A-4: idle_timeout is HTTP keep-alive."""
    with Raw(live.port) as client:
        client.get("/livez")
        client.until(b"ok")
        assert 1.5 < seconds_to_end(client) < 4


def test_a_connection_lives_on_after_a_quiet_second(live: Live) -> None:
    """A-4: read_timeout counts from a request's first byte, not from the last request."""
    with Raw(live.port) as client:
        client.get("/livez")
        client.until(b"ok")
        time.sleep(1.6)
        client.get("/livez")
        assert client.status() == 200


def test_a_declared_length_above_the_bound_is_refused_at_once(live: Live) -> None:
    """A-4: 413 before a byte of the body is sent."""
    with Raw(live.port) as client:
        client.send(HEAD.format(port=live.port) + f"Content-Length: {4 * 1024 * 1024 + 1}\r\n\r\n")
        begun = time.monotonic()
        assert client.status() == 413
        assert time.monotonic() - begun < 0.5


def test_expect_100_continue_is_refused_without_a_continue(live: Live) -> None:
    """A-4: a client that asks first is told first."""
    with Raw(live.port) as client:
        client.send(HEAD.format(port=live.port) + "Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
        assert client.status() == 413


def test_a_chunked_body_above_the_bound_is_refused_on_the_way(live: Live) -> None:
    """A-4: 413 although nothing was declared; and the client, which is still sending, gets to read it."""
    with Raw(live.port) as client:
        client.send(HEAD.format(port=live.port) + "Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(80):
                client.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert client.status() == 413


def test_a_body_at_the_bound_is_read(live: Live) -> None:
    """A-4: 4 MiB are not too much (that this is no node is another matter)."""
    body = b" " * (4 * 1024 * 1024 - 2) + b"{}"
    answer = httpx2.post(f"{live.url}/api/v1/nodes", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize("around", ["extension", "trailer"])
def test_what_goes_on_around_a_body_is_bounded(live: Live, around: str) -> None:
    """A-4: chunk extensions and trailers are memory, too."""
    with Raw(live.port) as client:
        client.send(HEAD.format(port=live.port) + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        client.send("1;" if around == "extension" else "0\r\nX-Trailer: ")
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 50_000_000:
                client.send(b"y" * 60_000)
                sent += 60_000
        assert sent < 20_000_000
        assert client.status() in {0, 400}
    assert alive(live)


def test_a_trailer_never_becomes_a_header(live: Live) -> None:
    """E-5: the door has looked at the headers before trailers come."""
    with Raw(live.port) as client:
        client.send(
            HEAD.format(port=live.port) + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nHost: evil\r\n\r\n"
        )
        assert client.status() == 400


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "nonsense\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_or_two_kinds_of_it_is_refused_as_json(live: Live, request_text: str) -> None:
    """B-10: also where no application was asked. Two lengths are how requests are smuggled."""
    with Raw(live.port) as client:
        client.send(request_text.encode("latin-1"))
        head = client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(client.rest())["error"]["code"] == "BadRequest"


def test_json_that_is_nested_too_deeply_is_refused(live: Live) -> None:
    """A-4: JSON depth bounded."""
    for body in (b"[" * 100 + b"]" * 100, b'{"a":' * 100 + b"1" + b"}" * 100, b"[" * 2_000_000):
        begun = time.monotonic()
        answer = httpx2.post(f"{live.url}/api/v1/nodes", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
        assert time.monotonic() - begun < 2


def test_brackets_in_texts_are_not_nesting(live: Live) -> None:
    """A-4: only the structure counts."""
    node = {"id": "brackets", "metadata": {"note": "[{" * 500 + '"\\' + "]" * 10}}
    assert httpx2.post(f"{live.url}/api/v1/nodes", json=node).status_code == 200


def test_a_handshake_is_bounded_like_every_request(live: Live) -> None:
    """A-4: an upgrade is no way around the bounds."""
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    for more, status in (("X: " + "a" * 70_000, 431), ("Content-Length: 5000000", 413)):
        with Raw(live.port) as client:
            client.get("/ws", *upgrade, more)
            assert client.status() == status


def test_an_upgrade_that_we_do_not_know_is_passed_over(live: Live) -> None:
    """A-4: clients that offer HTTP/2 with every request are served, over one connection."""
    with Raw(live.port) as client:
        for _ in range(3):
            client.get("/livez", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
            assert client.status() == 200
            client.until(b"ok")


def test_pipelined_requests_are_answered_in_order(live: Live) -> None:
    """A-4: what the bounds must not break."""
    with Raw(live.port) as client:
        one = f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n\r\n"
        client.send(one * 20 + one[:10])
        for _ in range(20):
            assert client.status() == 200
            client.until(b"ok")
        client.send(one[10:])
        assert client.status() == 200


def test_many_slow_clients_at_once_cost_little_and_are_all_closed(live: Live) -> None:
    """A-4: 300 half-sent requests; others are served meanwhile; memory stays flat."""
    before = resident()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Raw(live.port)) for _ in range(300)]
        for number, client in enumerate(slow):
            client.send(
                ("GET /livez HTTP/1.1\r\nX: ", "", HEAD.format(port=live.port) + "Content-Length: 9\r\n\r\n")[
                    number % 3
                ]
            )
        begun = time.monotonic()
        assert alive(live)
        assert time.monotonic() - begun < 1
        for client in slow:
            client.rest()
        assert time.monotonic() - begun < 6
    assert resident() - before < 30
    assert not live.call(lambda: [c for c in live.server.server_state.connections if c.deadline < 1e18])  # type: ignore[union-attr]


def test_a_client_that_never_reads_its_answer_is_cut() -> None:
    """A-4: write_timeout bounds producing a response, also to somebody who does not take it."""
    with serve(server={"write_timeout": "1s"}) as live:
        for n in range(30):
            live.add_nodes(*(f"node-{n}-{m}" for m in range(100)))
        with Raw(live.port, receive_buffer=4096) as client:
            for _ in range(8):
                client.get("/api/v1/nodes")
            time.sleep(3)
            assert live.call(lambda: len(live.server.server_state.tasks)) == 0
