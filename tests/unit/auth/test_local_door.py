"""Auth off, the documented default: safe on a laptop (contract E-6)."""

from collections.abc import Mapping
from typing import Any

import pytest

from api.auth.guard import Guard
from tests.support.api import Answer, ask, echo, make_context

REMOTE = ("192.0.2.7", 50000)


async def through(headers: Mapping[str, str] | list[tuple[str, str]] | None = None, **how: Any) -> Answer:
    """One request through the door with the default settings, or with `sections`."""
    return await ask(Guard(echo, await make_context(**how.pop("sections", {}))), headers=headers, **how)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_callers_on_this_machine_get_in(address: str) -> None:
    """E-6: loopback in every notation, IPv4-mapped included."""
    answer = await through(client=(address, 50000))
    assert (answer.status, answer.body) == (200, b"local")


async def test_a_unix_socket_is_this_machine() -> None:
    """E-6: nobody else can reach it."""
    assert (await through(client=None)).status == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "fe80::1", "0.0.0.0", "testclient"])
async def test_remote_callers_are_refused_with_both_ways_out(address: str) -> None:
    """E-6: 403, and the sentence names auth.enabled and auth.allow_insecure_remote."""
    answer = await through(client=(address, 50000))
    assert answer.status == 403
    assert b"auth.enabled" in answer.body
    assert b"auth.allow_insecure_remote: true" in answer.body
    assert b"over the loopback address" in answer.body


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/health/"])
@pytest.mark.parametrize("host", ["10.0.0.1:3001", "vendetta.example.com"])
async def test_probes_are_open_to_remote_callers(path: str, host: str) -> None:
    """E-6: remote callers get health and probes, under whatever name they know the server."""
    answer = await through({"Host": host}, client=REMOTE, target=path)
    assert (answer.status, answer.body) == (200, b"nobody")


@pytest.mark.parametrize("path", ["/healthz", "/health/x", "//health", "/metrics", "/", "/ws", "/apis"])
async def test_nothing_else_is(path: str) -> None:
    """E-6: 403 elsewhere."""
    assert (await through(client=REMOTE, target=path)).status == 403


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Anything",
        "X-Real-IP",
        "Via",
        "CF-Connecting-IP",
        "True-Client-IP",
    ],
)
async def test_a_proxys_header_makes_a_request_remote(name: str) -> None:
    """E-6: whoever is behind a proxy on this machine is not on this machine, whatever the header says."""
    assert (await through({name: "127.0.0.1"})).status == 403


PROXY = {"server": {"trusted_proxies": ["10.0.0.0/8"]}}


@pytest.mark.parametrize(
    ("chain", "client", "status"),
    [
        ("127.0.0.1", "10.0.0.1", 200),
        ("192.0.2.7", "10.0.0.1", 403),
        ("127.0.0.1, 192.0.2.7", "10.0.0.1", 403),  # the left one is the caller's own invention
        ("192.0.2.7, 127.0.0.1, 10.9.9.9", "10.0.0.1", 200),
        ("nonsense", "10.0.0.1", 403),
        ("", "10.0.0.1", 403),
        ("127.0.0.1", "192.0.2.7", 403),  # not a trusted proxy
        ("127.0.0.1", "127.0.0.1", 403),  # neither is this one
    ],
)
async def test_forwarded_addresses_count_only_from_trusted_proxies(chain: str, client: str, status: int) -> None:
    """E-6: read from right to left past the trusted hops."""
    answer = await through({"X-Forwarded-For": chain}, client=(client, 1), sections=PROXY)
    assert answer.status == status


@pytest.mark.parametrize("host", ["localhost:3001", "127.0.0.1:3001", "[::1]:3001", "LOCALHOST:3001"])
async def test_the_servers_own_names_are_fine(host: str) -> None:
    """E-6: Host must be this server's."""
    assert (await through({"Host": host})).status == 200


async def test_the_configured_host_is_one_of_them() -> None:
    """E-6: server.host names the server, too."""
    sections = {"server": {"host": "build.example.com"}}
    assert (await through({"Host": "build.example.com:3001"}, sections=sections)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:3001",
        "localhost.evil.example:3001",
        "localhost",
        "localhost:3002",
        "localhost:",
        "localhost:99999999",
        "127.0.0.1:80",
        "0.0.0.0:3001",
        "localhost:3001@evil.example",
        "localhost:3001, evil.example",
        "",
        "user@localhost:3001",
        "localhost\u00e9:3001",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/nodes", "/ws", "/health"])
async def test_dns_rebinding_gets_nowhere(host: str, path: str) -> None:
    """E-6: a page that rebinds its name to this address still sends its name as Host. On every route."""
    assert (await through({"Host": host}, target=path)).status == 403


async def test_two_hosts_are_one_too_many() -> None:
    """E-6: what the two ends of an attack read differently is refused."""
    twice = [("Host", "localhost:3001"), ("Host", "evil.example")]
    assert (await through(twice)).status == 403


@pytest.mark.parametrize("origin", ["http://localhost:3001", "HTTP://LOCALHOST:3001"])
async def test_a_page_of_our_own_is_fine(origin: str) -> None:
    """E-6: Origin, if any, its own."""
    assert (await through({"Origin": origin})).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://localhost",
        "http://localhost:8080",
        "http://127.0.0.1:3001",
        "http://localhost:3001.evil.example",
        "http://localhost:3001/",
        "file://",
        "chrome-extension://localhost:3001",
        "",
        "*",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_foreign_pages_are_refused(origin: str, kind: str) -> None:
    """E-6: `null` is foreign, `*` in origins means same-origin; streams included."""
    answer = await through({"Origin": origin}, kind=kind, target="/ws")
    assert answer.status == 403


@pytest.mark.parametrize(("site", "mode", "status"), [
    ("cross-site", "no-cors", 403),
    ("same-site", "no-cors", 403),
    ("cross-site", "navigate", 200),
    ("same-origin", "cors", 200),
    ("none", "navigate", 200),
])  # fmt: skip
async def test_pages_that_send_no_origin_are_known_by_fetch_metadata(site: str, mode: str, status: int) -> None:
    """E-6: images and scripts of a foreign page carry no Origin."""
    assert (await through({"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})).status == status


async def test_an_origin_that_is_listed_by_name_gets_in_and_is_told_so() -> None:
    """A-8: origins governs CORS and the Origin check."""
    sections = {"websocket": {"origins": ["https://dash.example.com"]}}
    page = {"Origin": "https://dash.example.com"}
    answer = await through(page, sections=sections)
    assert answer.headers["access-control-allow-origin"] == "https://dash.example.com"
    asked = await through(page | {"Access-Control-Request-Method": "POST"}, method="OPTIONS", sections=sections)
    assert asked.status == 204
    assert "POST" in asked.headers["access-control-allow-methods"]


INSECURE = {"auth": {"allow_insecure_remote": True}}


async def test_insecure_remote_admits_remote_callers() -> None:
    """E-6: the second way out."""
    answer = await through({"Host": "10.0.0.1:3001"}, client=REMOTE, sections=INSECURE)
    assert (answer.status, answer.body) == (200, b"anonymous")


async def test_insecure_remote_still_admits_no_web_page() -> None:
    """E-6: neither by a rebound name nor from another origin."""
    assert (await through({"Host": "evil.example:3001"}, client=REMOTE, sections=INSECURE)).status == 403
    page = {"Host": "10.0.0.1:3001", "Origin": "http://evil.example"}
    assert (await through(page, client=REMOTE, sections=INSECURE)).status == 403


async def test_a_bearer_token_changes_nothing() -> None:
    """A-5: the static token is ignored while auth is off."""
    token = {"Authorization": "Bearer vendetta-coordination-token"}
    assert (await through(token, client=REMOTE)).status == 403


async def test_the_kubernetes_face_gets_a_status() -> None:
    """B-10: the door answers in the shape of the face that was called."""
    answer = await through(client=REMOTE, target="/apis/vendetta.dev/v1/nodes")
    assert b'"kind":"Status"' in answer.body.replace(b" ", b"")


@pytest.mark.parametrize("name", ["Impersonate-User", "impersonate-group", "Impersonate-Extra-scopes"])
@pytest.mark.parametrize("target", ["/api/v1/nodes", "/apis/vendetta.dev/v1/nodes"])
async def test_nobody_is_taken_for_somebody_else(name: str, target: str) -> None:
    """E-6: a request that asks for less rights than its caller has must not be served with all of them."""
    answer = await ask(Guard(echo, await make_context()), target=target, headers={name: "olga"})
    assert (answer.status, b"nobody can be impersonated here" in answer.body) == (403, True)
