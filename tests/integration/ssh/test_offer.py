"""What we put on the wire: the algorithms offered, and the old servers that still have something in common."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.ssh.conftest import Connect
from tests.support.keys import KeyPair
from tests.support.nodes import SshdFactory
from tests.support.runs import run
from transports.base import Endpoint
from transports.errors import TransportError

_LISTS = ("kex", "host keys", "ciphers", "ciphers back", "macs", "macs back", "compression", "compression back")


class Listener:
    """Takes one connection and keeps what the client proposed."""

    port: int
    proposal: dict[str, list[str]]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the client's first key exchange message (RFC 4253, section 7.1), then hang up."""
        writer.write(b"SSH-2.0-listener\r\n")
        await reader.readline()
        size = int.from_bytes(await reader.readexactly(4), "big")
        packet = (await reader.readexactly(size))[1 + 1 + 16 :]
        self.proposal = {}
        for name in _LISTS:
            length = int.from_bytes(packet[:4], "big")
            self.proposal[name] = packet[4 : 4 + length].decode().split(",")
            packet = packet[4 + length :]
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


async def test_nothing_weak_is_offered(connect: Connect, listener: Listener, client_key: KeyPair) -> None:
    with pytest.raises(TransportError):
        await connect(
            Endpoint(
                node="listener",
                address="127.0.0.1",
                port=listener.port,
                user="me",
                credential=client_key.credential,
                connect_timeout=2,
            )
        )
    offered = listener.proposal
    weak = ("sha1", "md5", "nistp", "cbc", "arcfour", "group1-", "ssh-rsa", "ssh-dss", "3des", "gss", "-96")
    real = {name for names in offered.values() for name in names}
    assert not [name for name in real if any(mark in name for mark in weak)]
    assert offered["ciphers"][0] == offered["ciphers back"][0] == "aes128-gcm@openssh.com"
    assert offered["compression"] == offered["compression back"] == ["none"]
    assert any(name.startswith("kex-strict") for name in offered["kex"])


@pytest.mark.sshd
@pytest.mark.parametrize(
    "config",
    [
        ["KexAlgorithms curve25519-sha256@libssh.org", "Ciphers chacha20-poly1305@openssh.com"],
        ["KexAlgorithms diffie-hellman-group14-sha256", "Ciphers aes128-ctr", "MACs hmac-sha2-256"],
        ["KexAlgorithms diffie-hellman-group-exchange-sha256", "Ciphers aes256-gcm@openssh.com"],
        ["KexAlgorithms diffie-hellman-group16-sha512", "Ciphers aes256-ctr", "MACs hmac-sha2-512-etm@openssh.com"],
    ],
)
async def test_servers_with_little_in_common_still_work(
    connect: Connect, sshd: SshdFactory, config: list[str]
) -> None:
    node = await sshd(config=config)
    assert (await run(await connect(node.endpoint()), "echo fine"))[1] == b"fine\n"
