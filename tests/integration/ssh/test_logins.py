"""Logging in over real servers: jump hosts, login shells, host keys, and keys and passwords of every kind."""

import asyncio
from pathlib import Path

import asyncssh
import pytest

from tests.integration.ssh.conftest import Connect, both
from tests.support.keys import make_key_pair
from tests.support.nodes import SshdFactory
from tests.support.oddservers import OddServerFactory
from tests.support.runs import run
from transports.base import Credential, Endpoint, HostKeyPolicy
from transports.errors import EndpointInvalid, TransportError, Unreachable


@pytest.mark.sshd
async def test_through_a_jump_host(connect: Connect, sshd: SshdFactory) -> None:
    gate, node = await sshd(), await sshd()
    session = await connect(node.endpoint(jump=gate.endpoint()))
    _, out, _ = await run(session, 'echo "$HOME"')
    assert out == f"{node.home}\n".encode()
    assert session.info.host_key == node.host_key
    lost = asyncio.Event()
    session.on_close = lost.set
    gate.kill_sessions()
    async with asyncio.timeout(5):
        await lost.wait()


@pytest.mark.sshd
async def test_each_hop_has_its_own_credential_and_host_key(
    connect: Connect, sshd: SshdFactory, tmp_path: Path
) -> None:
    other = make_key_pair(tmp_path / "other")
    gate, node = await sshd(key=other), await sshd()
    session = await connect(node.endpoint(jump=gate.endpoint()))
    with pytest.raises(TransportError, match="no credential was accepted"):
        await connect(node.endpoint(jump=gate.endpoint(credential=node.key.credential)))
    with pytest.raises(TransportError, match="is not the trusted one"):
        await connect(node.endpoint(jump=gate.endpoint(host_keys=(node.host_key,))))
    await session.aclose()
    assert await gate.is_deserted()
    assert await node.is_deserted()


@pytest.mark.sshd
async def test_a_jump_host_that_does_not_forward_is_named(connect: Connect, sshd: SshdFactory) -> None:
    gate, node = await sshd(config=["AllowTcpForwarding no"]), await sshd()
    with pytest.raises(Unreachable, match="AllowTcpForwarding"):
        await connect(node.endpoint(jump=gate.endpoint()))


@pytest.mark.sshd
async def test_endless_jumping_is_refused(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    endpoint = node.endpoint()
    for _ in range(6):
        endpoint = node.endpoint(jump=endpoint)
    with pytest.raises(EndpointInvalid, match="jump hosts"):
        await connect(endpoint)


@pytest.mark.sshd
async def test_a_login_that_prints_noise_still_works(connect: Connect, sshd: SshdFactory) -> None:
    noise = "ForceCommand echo 'Welcome to the machine'; printf noise; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\""
    node = await sshd(config=[noise, "Banner /etc/passwd"])
    session = await connect(node.endpoint())
    assert (await run(session, "echo fine"))[1] == b"fine\n"


@pytest.mark.sshd
@both
@pytest.mark.parametrize(
    "shell", ["/bin/sh", "/bin/bash", "/usr/bin/zsh", "/usr/bin/fish", "/usr/bin/tcsh", "/usr/bin/mksh"]
)
async def test_any_login_shell_will_do(connect: Connect, sshd: SshdFactory, shell: str) -> None:
    if not Path(shell).exists():  # noqa: ASYNC240 - once, before anything runs
        pytest.skip(f"{shell} is not installed")
    node = await sshd(login_shell=shell)
    session = await connect(node.endpoint())
    assert (await run(session, 'echo "a  b"; exit 2'))[1] == b"a  b\n"


@pytest.mark.sshd
async def test_a_new_key_is_accepted_and_reported_by_the_other_policies(connect: Connect, sshd: SshdFactory) -> None:
    node = await sshd()
    for policy in (HostKeyPolicy.ACCEPT_NEW, HostKeyPolicy.INSECURE):
        session = await connect(node.endpoint(host_key_policy=policy, host_keys=()))
        assert session.info.host_key == node.host_key


@pytest.mark.sshd
async def test_a_server_with_several_keys_shows_the_pinned_one(
    connect: Connect, sshd: SshdFactory, tmp_path: Path
) -> None:
    rsa = make_key_pair(tmp_path / "rsa", algorithm="ssh-rsa")
    node = await sshd(config=[f"HostKey {rsa.path}"])
    for pinned in (rsa.public, node.host_key):
        session = await connect(node.endpoint(host_keys=(pinned,)))
        assert session.info.host_key == pinned


@pytest.mark.sshd
async def test_a_host_certificate_of_a_pinned_authority_is_good(
    connect: Connect, sshd: SshdFactory, tmp_path: Path
) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    certificate = tmp_path / "host-cert.pub"
    node = await sshd(config=[f"HostCertificate {certificate}"])
    pin = "@cert-authority " + authority.export_public_key("openssh").decode()
    for principal, good in (("127.0.0.1", True), ("elsewhere", False)):
        key = asyncssh.import_public_key(node.host_key)
        made = authority.generate_host_certificate(key, "id", principals=[principal]).export_certificate()
        await asyncio.to_thread(certificate.write_bytes, made)
        await node.restart()
        if good:
            assert (await connect(node.endpoint(host_keys=(pin,)))).info.host_key == node.host_key
        else:
            with pytest.raises(TransportError, match="host key"):
                await connect(node.endpoint(host_keys=(pin,)))


@pytest.mark.sshd
@pytest.mark.parametrize("algorithm", ["ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519"])
async def test_keys_of_every_usual_type_log_in(
    connect: Connect, sshd: SshdFactory, tmp_path: Path, algorithm: str
) -> None:
    node = await sshd(key=make_key_pair(tmp_path / "key", algorithm=algorithm))
    await connect(node.endpoint())


@pytest.mark.sshd
async def test_a_user_certificate_logs_in(connect: Connect, sshd: SshdFactory, tmp_path: Path) -> None:
    authority = make_key_pair(tmp_path / "authority")
    key = make_key_pair(tmp_path / "key")
    trusted = tmp_path / "trusted"
    await asyncio.to_thread(trusted.write_text, authority.public)
    node = await sshd(config=[f"TrustedUserCAKeys {trusted}"])
    signer = asyncssh.import_private_key(authority.private)
    made = signer.generate_user_certificate(asyncssh.import_public_key(key.public), "id", principals=[node.user])
    await connect(
        node.endpoint(credential=Credential(private_key=key.private, certificate=made.export_certificate()))
    )


@pytest.mark.parametrize("interactive", [False, True])
async def test_a_password_is_shown_to_the_pinned_server_only(
    connect: Connect, odd_server: OddServerFactory, *, interactive: bool
) -> None:
    right, wrong = [
        await odd_server(password="s3cret", only_interactive=interactive, banner="\x1b[31mhello\xff")
        for _ in range(2)
    ]

    def endpoint(port: int, password: str) -> Endpoint:
        return Endpoint(
            node="odd",
            address=right.address,
            port=port,
            user="me",
            credential=Credential(password=password),
            host_key_policy=HostKeyPolicy.STRICT,
            host_keys=(right.host_key,),
            connect_timeout=2,
        )

    with pytest.raises(TransportError, match="is not the trusted one"):
        await connect(endpoint(wrong.port, "s3cret"))
    assert wrong.visitors.passwords == []
    with pytest.raises(TransportError, match="no credential was accepted") as refused:
        await connect(endpoint(right.port, "wr0ng"))
    assert "wr0ng" not in str(refused.value)
    with pytest.raises(TransportError, match="runner"):
        await connect(endpoint(right.port, "s3cret"))
    assert right.visitors.passwords == ["wr0ng", "s3cret"]
    assert len(right.visitors.commands) == 1


@pytest.mark.sshd
async def test_nothing_of_the_servers_own_user_is_used(
    connect: Connect, sshd: SshdFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    witness = tmp_path / "ran"
    (folder / "config").write_text(f"Host *\n  ProxyCommand touch {witness}; false\n  User nobody\n")
    (folder / "known_hosts").write_text("* ssh-ed25519 AAAA\n")
    (folder / "id_ed25519").write_text("garbage")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    node = await sshd()
    await connect(node.endpoint())
    assert not await asyncio.to_thread(witness.exists)
