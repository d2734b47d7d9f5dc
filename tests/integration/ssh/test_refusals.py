"""Every way not to get in: the right class of error, a message one can act on, and in bounded time."""

import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.integration.ssh.conftest import Connect
from tests.support.keys import make_encrypted_key, make_key_pair
from tests.support.nodes import SshdFactory, free_port
from tests.support.oddservers import OddServerFactory
from transports.base import AddressPolicy, Credential, Endpoint, HostKeyPolicy
from transports.errors import (
    AddressDenied,
    AuthFailed,
    CredentialRebindRequired,
    EndpointInvalid,
    HostKeyMismatch,
    TransportError,
    Unreachable,
    UnsupportedShell,
)

pytestmark = pytest.mark.sshd


async def refusal(connect: Connect, endpoint: Endpoint) -> TransportError:
    """The error that this endpoint is answered with."""
    with pytest.raises(TransportError) as raised:
        await connect(endpoint)
    return raised.value


async def test_a_closed_port(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    error = await refusal(connect, node.endpoint(port=free_port()))
    assert isinstance(error, Unreachable)
    assert "nothing listens there" in str(error)


async def test_an_unknown_host(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    error = await refusal(connect, node.endpoint(address="no-such-host.invalid"))
    assert isinstance(error, Unreachable)
    assert "no-such-host.invalid" in str(error)


async def test_a_silent_peer_is_given_up_in_time(connect: Connect, sshd: SshdFactory, silent_port: int) -> None:
    node = await sshd()
    began = time.monotonic()
    error = await refusal(connect, node.endpoint(port=silent_port, connect_timeout=0.5))
    assert isinstance(error, Unreachable)
    assert "no answer in time" in str(error)
    assert time.monotonic() - began < 2


async def test_a_peer_that_speaks_something_else(connect: Connect, sshd: SshdFactory, http_port: int) -> None:
    node = await sshd()
    error = await refusal(connect, node.endpoint(port=http_port, connect_timeout=2))
    assert isinstance(error, Unreachable)
    assert "\n" not in str(error)


async def test_a_key_that_the_node_does_not_know(connect: Connect, sshd: SshdFactory, tmp_path: Path) -> None:
    node = await sshd()
    stranger = make_key_pair(tmp_path / "stranger")
    error = await refusal(connect, node.endpoint(credential=stranger.credential))
    assert isinstance(error, AuthFailed)
    assert "authorized_keys" in str(error)
    assert asyncssh.import_public_key(stranger.public).get_fingerprint() in str(error)


async def test_an_unknown_user(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    assert isinstance(await refusal(connect, node.endpoint(user="no-such-user")), AuthFailed)


@pytest.mark.parametrize(
    ("credential", "says"),
    [
        (None, "no key to log in with"),
        (Credential(), "no key to log in with"),
        (Credential(private_key=b"not a key"), "cannot be read"),
        (Credential(private_key=b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"), "cannot be read"),
    ],
)
async def test_a_credential_without_a_usable_key(
    connect: Connect, sshd: SshdFactory, credential: Credential | None, says: str
) -> None:
    node = await sshd()
    error = await refusal(connect, node.endpoint(credential=credential))
    assert isinstance(error, AuthFailed)
    assert says in str(error)


async def test_an_encrypted_key(connect: Connect, sshd: SshdFactory, tmp_path: Path) -> None:
    node = await sshd()
    key = asyncssh.import_private_key(node.key.private).export_private_key("pkcs8-pem", "s3cret")
    error = await refusal(connect, node.endpoint(credential=Credential(private_key=key)))
    assert isinstance(error, AuthFailed)
    assert "put its passphrase into the credential" in str(error)
    await connect(node.endpoint(credential=Credential(private_key=key, passphrase="s3cret")))
    error = await refusal(
        connect, node.endpoint(credential=Credential(private_key=make_encrypted_key(tmp_path / "k", "x")))
    )
    assert "is encrypted" in str(error)


@pytest.mark.parametrize("policy", [HostKeyPolicy.STRICT, HostKeyPolicy.ACCEPT_NEW])
async def test_a_changed_host_key(connect: Connect, sshd: SshdFactory, tmp_path: Path, policy: HostKeyPolicy) -> None:
    node = await sshd()
    before = node.endpoint(host_key_policy=policy)
    await connect(before)
    node.set_host_key(make_key_pair(tmp_path / "new_host_key"))
    await node.restart()
    error = await refusal(connect, before)
    assert isinstance(error, HostKeyMismatch)
    assert error.presented == node.host_key
    assert error.fingerprint == asyncssh.import_public_key(node.host_key).get_fingerprint()
    assert error.fingerprint in str(error)


async def test_a_changed_host_key_of_another_type(connect: Connect, sshd: SshdFactory, tmp_path: Path) -> None:
    node = await sshd(host_key_algorithm="ssh-rsa")
    before = node.endpoint()
    await connect(before)
    node.set_host_key(make_key_pair(tmp_path / "new_host_key"))
    await node.restart()
    error = await refusal(connect, before)
    assert isinstance(error, HostKeyMismatch)
    assert error.presented == node.host_key


async def test_strict_without_a_pinned_key_says_how_to_pin_the_one_it_saw(
    connect: Connect, sshd: SshdFactory
) -> None:
    node = await sshd()
    error = await refusal(connect, node.endpoint(host_keys=()))
    assert isinstance(error, HostKeyMismatch)
    assert error.presented == node.host_key
    assert "vendetta node trust" in str(error)


@pytest.mark.parametrize("policy", [HostKeyPolicy.STRICT, HostKeyPolicy.INSECURE])
async def test_a_credential_is_shown_to_no_key_but_the_one_it_is_bound_to(
    connect: Connect, sshd: SshdFactory, tmp_path: Path, policy: HostKeyPolicy
) -> None:
    """B-2: though the key presented is trusted; the node never hears of a login."""
    node = await sshd()
    before = node.endpoint(bound_host_key=node.host_key, host_key_policy=policy)
    await connect(before)
    assert "Accepted" in node.log.read_text()
    node.set_host_key(make_key_pair(tmp_path / "new_host_key"))
    await node.restart()
    error = await refusal(connect, replace(before, host_keys=(node.host_key,), credential_ref="deploy"))
    assert isinstance(error, CredentialRebindRequired)
    assert (error.presented, error.credential) == (node.host_key, "deploy")
    assert "vendetta node trust" in str(error)
    assert "Accepted" not in node.log.read_text()


async def test_a_server_without_a_common_algorithm(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd(config=["KexAlgorithms ecdh-sha2-nistp256"])
    error = await refusal(connect, node.endpoint())
    assert isinstance(error, EndpointInvalid)
    assert "no algorithm that both sides accept" in str(error)


async def test_an_ecdsa_host_key_is_taken_only_when_it_is_pinned(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd(host_key_algorithm="ecdsa-sha2-nistp256")
    await connect(node.endpoint())
    error = await refusal(connect, node.endpoint(host_keys=(), host_key_policy=HostKeyPolicy.ACCEPT_NEW))
    assert "pin its host key" in str(error)


async def test_a_denied_address_is_never_dialled(connect: Connect, sshd: SshdFactory, proxy: Any) -> None:
    node = await sshd()
    between = await proxy(node.port)
    for policy in (
        AddressPolicy(deny_networks=(ip_network("127.0.0.0/8"),)),
        AddressPolicy(deny_local_ports=frozenset({between.port})),
    ):
        for address in ("127.0.0.1", "localhost", "::ffff:127.0.0.1"):
            error = await refusal(connect, node.endpoint(address=address, port=between.port, policy=policy))
            assert isinstance(error, AddressDenied)
    assert between.accepted == 0


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
async def test_a_login_that_runs_nothing(connect: Connect, sshd: SshdFactory, shell: str) -> None:
    node = await sshd(login_shell=shell)
    error = await refusal(connect, node.endpoint())
    assert isinstance(error, UnsupportedShell)
    if "nologin" in shell:
        assert "not available" in str(error)


@pytest.mark.parametrize(
    "command", ["echo hello; echo 'a \x1b[31mmenu' >&2; exit 0", "yes | head -n 3000", "exec cat", "exit 7"]
)
async def test_a_forced_command(connect: Connect, sshd: SshdFactory, command: str) -> None:
    node = await sshd(config=[f"ForceCommand {command}"])
    error = await refusal(connect, node.endpoint(connect_timeout=3))
    assert isinstance(error, UnsupportedShell)
    assert len(str(error)) < 1000
    assert "\x1b" not in str(error)


async def test_a_login_without_any_channel(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd(config=["MaxSessions 0"])
    error = await refusal(connect, node.endpoint())
    assert isinstance(error, Unreachable)
    assert "MaxSessions" in str(error)


async def test_a_password_needs_a_pinned_host_key(connect: Connect, odd_server: OddServerFactory) -> None:
    server = await odd_server(password="s3cret")
    for policy in HostKeyPolicy:
        for pins in ((), (server.host_key,)):
            if policy is HostKeyPolicy.STRICT and pins:
                continue
            made = Endpoint(
                node="odd",
                address=server.address,
                port=server.port,
                user="me",
                credential=Credential(password="s3cret"),
                host_key_policy=policy,
                host_keys=pins,
            )
            error = await refusal(connect, made)
            assert isinstance(error, EndpointInvalid)
            assert "set hostKeyPolicy: strict and pin" in str(error)
    assert server.visitors.connections == []
