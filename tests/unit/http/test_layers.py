"""The layers around the application (contract A-4, B-10)."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from api.errors import conflict
from api.layers import Front, allow_time
from tests.support.api import Answer, ask, make_context


async def front(app: ASGIApp, **sections: Any) -> Front:
    return Front(app, await make_context(**sections))


async def through(app: ASGIApp, *, sections: dict[str, Any] | None = None, **how: Any) -> Answer:
    return await ask(await front(app, **(sections or {})), **how)


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"id": scope["vendetta.request_id"]})(scope, receive, send)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("the secret is in /etc/vendetta/key")


@pytest.mark.parametrize("given", ["abc-123", "0af7651916cd43dd8448eb211c80319c", "a" * 64])
async def test_a_sane_request_id_is_kept(given: str) -> None:
    """B-10: the caller's own id comes back."""
    answer = await through(fine, headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given == json.loads(answer.body)["id"]


@pytest.mark.parametrize("given", ["", "a b", "a" * 65, "x\u00e9", "<script>", "a\tb"])
async def test_any_other_is_replaced(given: str) -> None:
    """B-10: what gets into logs and answers is never the caller's own text at will."""
    answer = await through(fine, headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert answer.headers["x-request-id"] == json.loads(answer.body)["id"]


async def test_every_answer_forbids_sniffing_framing_and_caching() -> None:
    """E-6: an answer of this API is never a page."""
    answer = await through(fine)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_handlers_own_headers_win() -> None:
    """E-6: a page of ours brings its own policy."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x", headers={"Content-Security-Policy": "default-src 'self'"})(scope, receive, send)

    assert (await through(page)).headers["content-security-policy"] == "default-src 'self'"


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/apis/vendetta.dev/v1/nodes"])
async def test_a_fault_of_ours_shows_nothing_of_the_insides(path: str) -> None:
    """B-10: 500 in the face's shape; the log has the traceback."""
    with capture_logs() as logs:
        answer = await through(broken, target=path)
    assert answer.status == 500
    assert b"/etc" not in answer.body
    assert b"RuntimeError" not in answer.body
    assert ("kind" in json.loads(answer.body)) == path.startswith("/apis")
    assert any(isinstance(entry.get("exc_info"), RuntimeError) for entry in logs)


async def test_an_error_that_is_known_is_told() -> None:
    """B-10: wherever it was raised."""

    async def taken(scope: Scope, receive: Receive, send: Send) -> None:
        raise conflict("the id is taken")

    answer = await through(taken)
    assert (answer.status, json.loads(answer.body)["error"]["message"]) == (409, "the id is taken")


SHORT = {"server": {"write_timeout": "50ms"}}


async def sleepy(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(30)


async def test_a_response_that_does_not_come_is_given_up() -> None:
    """A-4: write_timeout bounds producing a response: 504, in JSON."""
    answer = await through(sleepy, sections=SHORT)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (504, "Timeout")


async def test_a_handler_may_take_the_time_that_the_client_asked_for() -> None:
    """C-5: ?wait= replaces the bound."""

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        allow_time(scope, 5)
        await asyncio.sleep(0.2)
        await fine(scope, receive, send)

    assert (await through(waiting, sections=SHORT)).status == 200


async def test_streams_are_exempt() -> None:
    """A-4: what has no length may take its time."""

    async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
        async def pieces() -> Any:
            for _ in range(4):
                await asyncio.sleep(0.05)
                yield b"x"

        await StreamingResponse(pieces())(scope, receive, send)

    app = await front(slowly, **SHORT)
    sent: list[Any] = []
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}, receive, send)
    assert b"".join(m.get("body", b"") for m in sent) == b"xxxx"


async def test_a_slow_body_is_not_the_responses_fault() -> None:
    """A-4: read_timeout bounds the body; the response's clock stands meanwhile."""

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(str(len(body)))(scope, receive, send)

    app, pieces, sent = await front(reads, **SHORT), [b"[", b" ", b"]"], []

    async def receive() -> Any:
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}, receive, send)
    assert [m["status"] for m in sent if "status" in m] == [200]


async def test_a_cancellation_from_outside_is_never_swallowed() -> None:
    """A-4: only the clock's own cancellation becomes an answer."""
    app = await front(sleepy)
    task = asyncio.create_task(ask(app))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_access_log_names_no_query() -> None:
    """E-8: a ticket in the URL stays out of the log."""
    with capture_logs() as logs:
        await through(fine, target="/ws?ticket=very-secret")
    assert logs[-1]["path"] == "/ws"
    assert "very-secret" not in str(logs)


async def test_the_access_log_is_bounded_and_says_what_it_left_out() -> None:
    """A-10: not more lines than somebody can read."""
    app = await front(fine)
    with capture_logs() as logs:
        for _ in range(300):
            await ask(app)
    assert len(logs) < 100


@pytest.mark.parametrize(("path", "level"), [("/livez", "debug"), ("/health/", "debug"), ("/api/v1/nodes", "info")])
async def test_probes_that_go_well_are_noted_at_level_debug(path: str, level: str) -> None:
    """A-10: a kubelet asks all day long, and nobody reads it."""
    with capture_logs() as logs:
        await through(fine, target=path)
    assert [(entry["path"], entry["log_level"]) for entry in logs] == [(path, level)]


async def test_a_probe_that_fails_is_noted_like_everything_that_fails() -> None:
    """A-10: that one somebody wants to read."""
    with capture_logs() as logs:
        await through(broken, target="/livez")
    assert "warning" in {entry["log_level"] for entry in logs}
