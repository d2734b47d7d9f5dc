"""The http transport and who does not get in (contract E-9, E-10)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest

from tests.integration.agent.conftest import TOKEN, Connect
from tests.support.agents import AgentProcess
from tests.support.certificates import Certificate
from tests.support.nodes import free_port
from tests.support.proxy import Proxy
from tests.support.runs import request, run
from transports.base import AddressPolicy, Credential, Endpoint
from transports.errors import (
    AddressDenied,
    AuthFailed,
    CertificateInvalid,
    ConnectionLost,
    EndpointInvalid,
    TransportError,
    Unreachable,
)
from transports.http.client import open_client

ELSEWHERE = "192.0.2.1"
"""An address for documentation: nothing is ever sent there."""


async def refusal(connect: Connect, port: int, **fields: object) -> TransportError:
    """The error that this endpoint is answered with."""
    with pytest.raises(TransportError) as raised:
        await connect(port, **fields)
    return raised.value


async def test_without_a_credential_nothing_is_delivered(connect: Connect) -> None:
    """E-10: not even on loopback."""
    error = await refusal(connect, free_port(), credential=None)
    assert isinstance(error, AuthFailed)
    assert "credentialRef" in str(error)


async def test_a_wrong_token_is_refused_and_never_shown(connect: Connect, agent: AgentProcess) -> None:
    await agent.serve(TOKEN)
    error = await refusal(connect, agent.port, credential=Credential(token="guessed-token"))
    assert isinstance(error, AuthFailed)
    assert "guessed-token" not in str(error) + agent.log.read_text()


@pytest.mark.parametrize("token", ["", "two words", "a\nheader: x", "t\u00f6ken"])
async def test_a_token_that_no_header_can_carry(connect: Connect, token: str) -> None:
    assert isinstance(await refusal(connect, free_port(), credential=Credential(token=token)), AuthFailed)


async def test_a_file_with_one_line_is_a_token(connect: Connect, agent: AgentProcess) -> None:
    await agent.serve(TOKEN)
    session = await connect(agent.port, credential=Credential(private_key=f"{TOKEN}\n".encode()))
    assert (await session.probe()).facts["kernel"].startswith("Linux")


async def test_a_closed_port_may_open_later(connect: Connect) -> None:
    assert isinstance(await refusal(connect, free_port()), Unreachable)


async def test_off_loopback_commands_do_not_travel_in_plain_http() -> None:
    """E-10: verified TLS, unless `insecure` stands there."""
    endpoint = Endpoint(node="n", address=ELSEWHERE, port=80, credential=Credential(token=TOKEN), tls=False)
    with pytest.raises(EndpointInvalid, match="plain HTTP"):
        await open_client(endpoint)
    for allowed in (replace(endpoint, insecure=True), replace(endpoint, tls=None)):
        client = await open_client(allowed)
        assert str(client._base_url).startswith("http:" if allowed.insecure else "https:")
        await client.close()


async def test_denied_addresses_are_not_dialled(connect: Connect) -> None:
    """E-9."""
    policy = AddressPolicy(deny_networks=(ip_network("127.0.0.0/8"),))
    assert isinstance(await refusal(connect, free_port(), policy=policy), AddressDenied)


async def tls_agent(agent: AgentProcess, certificate: Certificate, *arguments: str) -> None:
    await agent.serve(TOKEN, "--tls-cert", str(certificate.path), "--tls-key", str(certificate.key_path), *arguments)


async def test_tls_with_an_authority_of_ones_own(
    connect: Connect, agent: AgentProcess, authority: Certificate, tmp_path: Path
) -> None:
    await tls_agent(agent, Certificate.make(tmp_path, "node", signed_by=authority))
    trusting = Credential(token=TOKEN, authority=authority.path.read_bytes())
    session = await connect(agent.port, tls=True, credential=trusting)
    status, out, _ = await run(session, "echo over TLS")
    assert (status.exit_code, out) == (0, b"over TLS\n")


async def test_a_certificate_that_nobody_vouches_for(connect: Connect, agent: AgentProcess, tmp_path: Path) -> None:
    await tls_agent(agent, Certificate.make(tmp_path, "node"))
    assert isinstance(await refusal(connect, agent.port, tls=True), CertificateInvalid)
    session = await connect(agent.port, tls=True, insecure=True)
    assert (await session.probe()).facts


async def test_a_certificate_of_another_host(
    connect: Connect, agent: AgentProcess, authority: Certificate, tmp_path: Path
) -> None:
    await tls_agent(agent, Certificate.make(tmp_path, "node", address=ELSEWHERE, signed_by=authority))
    trusting = Credential(token=TOKEN, authority=authority.path.read_bytes())
    assert isinstance(await refusal(connect, agent.port, tls=True, credential=trusting), CertificateInvalid)


async def test_mutual_tls(connect: Connect, agent: AgentProcess, authority: Certificate, tmp_path: Path) -> None:
    """The token alone is not enough then."""
    node, client = (Certificate.make(tmp_path, name, signed_by=authority) for name in ("node", "client"))
    await tls_agent(agent, node, "--client-ca", str(authority.path))
    token = Credential(token=TOKEN, authority=authority.path.read_bytes())
    assert isinstance(await refusal(connect, agent.port, tls=True, credential=token), Unreachable)
    both = replace(token, certificate=client.path.read_bytes(), private_key=client.key_path.read_bytes())
    assert (await (await connect(agent.port, tls=True, credential=both)).probe()).facts


async def test_what_is_no_agent_is_told(connect: Connect, http_server: "Serve") -> None:
    port = await http_server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    error = await refusal(connect, port)
    assert isinstance(error, Unreachable)
    assert "no agent" in str(error)


async def test_redirects_are_not_followed(connect: Connect, agent: AgentProcess, http_server: "Serve") -> None:
    """The token would go wherever a redirect says."""
    await agent.serve(TOKEN)
    there = f"http://127.0.0.1:{agent.port}/agent/v1/node"
    port = await http_server(f"HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode())
    assert isinstance(await refusal(connect, port), Unreachable)


async def test_a_black_hole_ends_the_wait(connect: Connect, agent: AgentProcess, proxy: "PutProxy") -> None:
    await agent.serve(TOKEN)
    between = await proxy(agent.port)
    between.stall()
    assert isinstance(await refusal(connect, between.port, connect_timeout=0.5), Unreachable)


async def test_a_start_is_posted_once_whatever_the_connection_does(
    connect: Connect, agent: AgentProcess, proxy: "PutProxy"
) -> None:
    """A request that may have arrived is never repeated by the transport."""
    await agent.serve(TOKEN)
    between = await proxy(agent.port)
    session = await connect(between.port)
    between.delay = 0.2
    asked = request("echo x >>$HOME/truth")
    starting = asyncio.create_task(session.start(asked, wait=5))
    await asyncio.sleep(0.1)
    accepted = between.accepted
    between.cut()
    with pytest.raises(ConnectionLost):
        await starting
    assert between.accepted == accepted


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/agent/v1/verbs", b"not json", 400),
        ("POST", "/agent/v1/verbs", b"[" * 100_000, 400),
        ("POST", "/agent/v1/verbs", b'{"verb": "format"}', 400),
        ("POST", "/agent/v1/verbs", b'{"verb": "status", "run": "../../etc/passwd"}', 400),
        ("POST", "/agent/v1/verbs", b'{"verb": "start", "request": {"run": 7}}', 400),
        ("GET", "/agent/v1/verbs", b"", 405),
        ("GET", "/agent/v1/nothing", b"", 404),
        ("POST", "/api/v1/execute", b'{"cmd": []}', 400),
        ("POST", "/api/v1/execute", b'{"cmd": "true", "env": {"A": 1}}', 400),
        ("POST", "/api/v1/execute", b'{"cmd": "true", "timeout": "long"}', 400),
    ],
)
async def test_an_agent_refuses_what_makes_no_sense(
    agent: AgentProcess, method: str, path: str, body: bytes, status: int
) -> None:
    await agent.serve(TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{agent.port}", headers=headers) as client,
        client.request(method, path, data=body) as answer,
    ):
        assert answer.status == status
        assert (await answer.json())["error"]["message"]
    assert "Traceback" not in agent.log.read_text()


async def test_a_command_is_executed_for_callers_that_know_only_that(agent: AgentProcess) -> None:
    """Through the run protocol: the same key answers with the first one's result."""
    await agent.serve(TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k1"}
    body = {"cmd": "echo x >>$HOME/truth; echo $A; echo err >&2; exit 4", "env": {"A": "b c"}, "timeout": 10}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{agent.port}", headers=headers) as client:
        answers = []
        for _ in range(2):
            async with client.post("/api/v1/execute", json=body) as answer:
                assert answer.status == 200
                answers.append(await answer.json())
    assert [(a["exit_code"], a["output"], a["error"]) for a in answers] == [(4, "b c\n", "err\n")] * 2
    assert (agent.home / "truth").read_text() == "x\n"


@pytest.mark.parametrize(
    ("arguments", "token", "why"),
    [
        (["serve"], "", "there is no token"),
        (["serve"], "two words", "must hold one token"),
        (["serve", "--host", "0.0.0.0"], TOKEN, "plain HTTP"),
        (["serve", "--tls-cert", "cert.pem"], TOKEN, "belong together"),
        (["serve", "--token-file", "/nowhere/token"], TOKEN, "/nowhere/token"),
        (["connect", "ftp://127.0.0.1"], "", "is no server"),
        (["connect", "http://192.0.2.1:3001"], TOKEN, "plain HTTP"),
        (["connect", "http://127.0.0.1:1", "--id", "a b"], "", "cannot be a node's id"),
        (["connect", "http://127.0.0.1:1", "--label", "nothing"], "", "is no label"),
    ],
)
async def test_an_agent_does_not_start_like_this(
    agent: AgentProcess, arguments: list[str], token: str, why: str
) -> None:
    """E-10: above all not without a token. One line says why."""
    agent._environment = {"VENDETTA_AGENT_TOKEN": token, "XDG_STATE_HOME": str(agent.state)}
    agent.launch(*arguments)
    assert agent.process is not None
    assert await asyncio.to_thread(agent.process.wait, 20) == 1
    said = agent.log.read_text()
    assert why in said
    assert len(said.splitlines()) == 1


Serve = Callable[[bytes], Awaitable[int]]
PutProxy = Callable[[int], Awaitable[Proxy]]


@pytest.fixture
async def http_server() -> Serve:
    """Start a server that gives every request one answer; says its port."""

    async def start(answer: bytes) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(4096):
                writer.write(answer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    return start
