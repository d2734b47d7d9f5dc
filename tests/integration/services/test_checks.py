"""Checks against servers that behave, and against servers that do not (contract D-2, E-9)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest

from controller.settings import DENIED_NETWORKS
from transports.base import AddressPolicy
from transports.checks import Checks, HTTPRequest, Outcome, Place

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
POLICY = AddressPolicy(deny_networks=tuple(map(ip_network, DENIED_NETWORKS)))


@asynccontextmanager
async def serving(answer: bytes | Handler, on: str = "127.0.0.1") -> AsyncIterator[Place]:
    """A server on loopback that answers so to whatever comes."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain if isinstance(answer, bytes) else answer, on, 0)
    async with server:
        yield Place(address=on, port=server.sockets[0].getsockname()[1])
        server.close()


async def http(place: Place, *, policy: AddressPolicy = POLICY, timeout: float = 5.0, **request: object) -> Outcome:
    checks = Checks(policy, concurrency=8)
    try:
        return await checks.http(HTTPRequest(place=place, **request), timeout=timeout)  # type: ignore[arg-type]
    finally:
        await checks.aclose()


@pytest.mark.parametrize(
    ("head", "statuses", "good"),
    [
        (b"HTTP/1.1 200 OK", frozenset(), True),
        (b"HTTP/1.1 204 No Content", frozenset(), True),
        (b"HTTP/1.1 404 Not Found", frozenset(), False),
        (b"HTTP/1.1 401 Unauthorized", frozenset({401}), True),
        (b"HTTP/1.1 200 OK", frozenset({401}), False),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/", frozenset(), False),
    ],
)
async def test_the_status_decides_and_nothing_is_followed(head: bytes, statuses: frozenset[int], good: bool) -> None:
    async with serving(head + b"\r\nContent-Length: 0\r\n\r\n") as place:
        outcome = await http(place, statuses=statuses)
    assert (outcome.good, outcome.message) == (good, f"status {head.split()[1].decode()}")


async def test_the_request_is_what_was_asked_for_and_nothing_more() -> None:
    seen: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serving(note) as place:
        assert (await http(place, path="/healthz?a=b", headers={"X-Probe": "1"})).good
    lines = seen[0].decode().split("\r\n")
    assert lines[0] == "GET /healthz?a=b HTTP/1.1"
    assert f"Host: 127.0.0.1:{place.port}" in lines
    assert "X-Probe: 1" in lines
    assert not any(line.startswith(("Authorization", "Cookie")) for line in lines)


async def _endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def _endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.close()


async def test_an_endless_body_is_not_read() -> None:
    async with serving(_endless_body) as place:
        assert (await http(place)).good


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (_silence, "no answer within 0.3 s"),
        (_endless_header, "its answer is no HTTP"),
        (_hang_up, "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is no HTTP"),
        (b"HTTP/1.1 200 \x1b[31mOK\x00\r\n\r\n", None),
    ],
)
async def test_what_misbehaves_is_bad_within_the_time(answer: bytes | Handler, message: str | None) -> None:
    async with serving(answer) as place:
        outcome = await http(place, timeout=0.3)
    assert message is None or (outcome.good, outcome.message) == (False, message)
    assert outcome.message.isprintable()


async def test_a_port_that_nobody_listens_on_is_bad_and_known_to_lead_there() -> None:
    async with serving(b"") as place:
        pass
    checks = Checks(POLICY, concurrency=8)
    for outcome in (await http(place), await checks.tcp(place, timeout=1)):
        assert (outcome.good, outcome.message, outcome.no_way) == (False, "Connection refused", False)


async def test_a_port_that_accepts_is_good() -> None:
    async with serving(_hang_up) as place:
        assert (await Checks(POLICY, concurrency=8).tcp(place, timeout=1)).good


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "0.0.0.0"])
async def test_what_the_address_policy_denies_is_never_connected_to(address: str) -> None:
    """E-9: nothing is known of it, and nothing will be."""
    place = Place(address=address, port=80)
    for outcome in (await http(place), await Checks(POLICY, concurrency=8).tcp(place, timeout=1)):
        assert (outcome.good, outcome.lasting) == (None, True)
        assert "not allowed" in outcome.message


async def test_the_servers_own_ports_are_denied() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n") as place:
        policy = AddressPolicy(deny_local_ports=frozenset({place.port}))
        assert (await http(place, policy=policy)).good is None
