"""One SSH connection: dialled or tunnelled, host key checked, logged in. No command has run yet."""

import asyncio
import getpass
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncssh
from asyncssh.auth import KbdIntPrompts, KbdIntResponse

from transports.addresses import dial, resolve
from transports.base import Credential, Endpoint, HostKeyPolicy
from transports.errors import AuthFailed, EndpointInvalid, TransportError, Unreachable
from transports.ssh import algorithms
from transports.ssh.credentials import Identities, Identity
from transports.ssh.hostkeys import HostKeys, host_keys_of, public_line
from transports.ssh.quickack import QuickAcks
from transports.ssh.translation import Foreign, connect_error, place, rule_for

MAX_HOPS = 5
_KEEPALIVE_MISSES = 3
_CLOSE_PATIENCE = 2.0

_NOTHING_KNOWN: tuple[list[Any], ...] = ([], [], [], [], [], [], [])
"""The library's own list of known hosts, empty: then it asks `Client` about every key. It must not be falsy,
or the library reads the file of the user who runs the server."""


class Client(asyncssh.SSHClient):
    """What the library asks while it connects, and where it says that the connection has ended."""

    def __init__(self, host_keys: HostKeys, password: str | None) -> None:
        self.host_keys = host_keys
        self.lost: Callable[[], None] | None = None
        self._password = password
        self._asked = False
        self._ssh: asyncssh.SSHClientConnection | None = None
        self.made_at = time.monotonic()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """The TCP connection is there."""
        self._ssh = conn
        self.made_at = time.monotonic()

    @property
    def negotiating(self) -> bool:
        """Whether the peer has introduced itself, but no algorithms are agreed on yet."""
        known = self._ssh and self._ssh.get_extra_info("server_version")
        return bool(known) and self._ssh is not None and not self._ssh.get_extra_info("send_cipher")

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Whether this host key is good."""
        return self.host_keys.accepts(key)

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Whether host keys signed by this key are good."""
        return self.host_keys.accepts_authority(key)

    def kbdint_auth_requested(self) -> str | None:
        """Keyboard-interactive is just another way to ask for the password."""
        return None if self._password is None else ""

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: KbdIntPrompts
    ) -> KbdIntResponse | None:
        """Answer the one hidden prompt with the password, once; anything else is not ours to answer."""
        if not prompts:
            return []
        if self._password is None or self._asked or len(prompts) != 1 or prompts[0][1]:
            return None
        self._asked = True
        return [self._password]

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, for whatever reason."""
        if self.lost:
            self.lost()


class Connection:
    """A logged-in connection, and the one to the jump host that it runs through, if any."""

    def __init__(self, ssh: asyncssh.SSHClientConnection, client: Client, below: "Connection | None") -> None:
        self.ssh = ssh
        self._client = client
        self._below = below

    @property
    def host_key(self) -> str | None:
        """The host key that was seen, as a public key line."""
        key = self.ssh.get_server_host_key()
        return public_line(key) if key else None

    @property
    def age(self) -> float:
        """Seconds since the node took the TCP connection."""
        return time.monotonic() - self._client.made_at

    def on_lost(self, call: Callable[[], None]) -> None:
        """Have `call` called once the connection has ended."""
        self._client.lost = call

    def abort(self) -> None:
        """End it at once, and what it runs through."""
        self.ssh.abort()
        if self._below:
            self._below.abort()

    async def aclose(self) -> None:
        """End it politely, at once if that takes more than two seconds."""
        self.ssh.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_PATIENCE):
                await self.ssh.wait_closed()
        self.ssh.abort()
        if self._below:
            await self._below.aclose()


class Connector:
    """Opens connections, hop by hop. Holds the parsed keys."""

    def __init__(self, *, keepalive_interval: float) -> None:
        self._keepalive = keepalive_interval
        self._identities = Identities()

    def forget(self) -> None:
        """Drop the parsed keys."""
        self._identities.clear()

    async def open(self, endpoint: Endpoint, acks: QuickAcks, *, hops: int = 1) -> Connection:
        """Connect and log in; each hop gets its own `connect_timeout`.

        The address policy is applied to what we dial ourselves. Behind a jump host it is the jump host that
        resolves and connects, and what can be reached is up to its own network.
        """
        if hops > MAX_HOPS:
            raise EndpointInvalid(f"more than {MAX_HOPS} jump hosts in a row on the way to {place(endpoint)}")
        below = await self.open(endpoint.jump, acks, hops=hops + 1) if endpoint.jump else None
        try:
            return await self._hop(endpoint, below, acks)
        except BaseException:
            if below:
                below.abort()
            raise

    async def _hop(self, endpoint: Endpoint, below: Connection | None, acks: QuickAcks) -> Connection:
        _name_the_process()
        credential = endpoint.credential or Credential()
        host_keys = host_keys_of(endpoint)
        _check(endpoint, credential, host_keys)
        identity = await self._identities.get(credential, place(endpoint))
        client = Client(host_keys, credential.password)
        options = self._options(endpoint, client, identity, credential.password)
        try:
            async with asyncio.timeout(endpoint.connect_timeout):
                ssh = await _connect(endpoint, below, acks, options)
        except Foreign as exc:
            raise _failure(exc, endpoint, client, identity) from exc
        return Connection(ssh, client, below)

    def _options(
        self, endpoint: Endpoint, client: Client, identity: Identity | None, password: str | None
    ) -> dict[str, Any]:
        return {
            **_FIXED,
            "client_factory": lambda: client,
            "username": endpoint.user or getpass.getuser(),
            "client_keys": identity.key_pairs() if identity else None,
            "public_key_auth": identity is not None,
            "password": password,
            "password_auth": password is not None,
            "kbdint_auth": password is not None,
            "server_host_key_algs": client.host_keys.algorithms,
            "host_key_alias": endpoint.address,
            "connect_timeout": endpoint.connect_timeout,
            "login_timeout": endpoint.connect_timeout,
            "keepalive_interval": self._keepalive,
        }


_FIXED: dict[str, Any] = {
    # Nothing of the user who runs the server: no ~/.ssh/config, agent, default keys, known_hosts or certificates.
    "config": None,
    "agent_path": None,
    "pkcs11_provider": None,
    "known_hosts": _NOTHING_KNOWN,
    "x509_trusted_certs": None,
    "x509_trusted_cert_paths": [],
    "proxy_command": None,
    "gss_host": None,
    "gss_kex": False,
    "gss_auth": False,
    "host_based_auth": False,
    "agent_forwarding": False,
    "x11_forwarding": False,
    "request_pty": False,
    "encoding": None,
    "utf8_decode_errors": "replace",
    "keepalive_count_max": _KEEPALIVE_MISSES,
    "kex_algs": algorithms.KEX,
    "encryption_algs": algorithms.CIPHERS,
    "mac_algs": algorithms.MACS,
    "signature_algs": algorithms.SIGNATURES,
    "compression_algs": None,
}


async def _connect(
    endpoint: Endpoint, below: Connection | None, acks: QuickAcks, options: dict[str, Any]
) -> asyncssh.SSHClientConnection:
    if below:
        return await asyncssh.connect(endpoint.address, endpoint.port, tunnel=below.ssh, **options)
    targets = await resolve(endpoint.address, endpoint.port, endpoint.policy)
    sock = await dial(targets, timeout=endpoint.connect_timeout)
    acks.add(sock)
    try:
        return await asyncssh.connect(endpoint.address, endpoint.port, sock=sock, **options)
    except BaseException:
        sock.close()
        raise


def _check(endpoint: Endpoint, credential: Credential, host_keys: HostKeys) -> None:
    """Refuse what can never work, or should not."""
    where = place(endpoint)
    if credential.private_key is None and credential.password is None:
        raise AuthFailed(f"there is no key to log in with for {where}; name one in transport.credentialRef")
    if credential.password is not None and not (host_keys.policy is HostKeyPolicy.STRICT and host_keys.pinned):
        raise EndpointInvalid(
            f"a password for {where} would be shown to whoever answers there; set hostKeyPolicy: strict and pin "
            "the host key (spec.transport.hostKeys, known_hosts or `vendetta node trust`), or use a key instead"
        )


def _name_the_process() -> None:
    """Who we are is whom to log in as when nobody said, as with `ssh`, and the library insists on knowing.

    A container with an arbitrary uid has no name for it.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = "vendetta"


def _failure(exc: Exception, endpoint: Endpoint, client: Client, identity: Identity | None) -> TransportError:
    if isinstance(exc, asyncssh.HostKeyNotVerifiable):
        return client.host_keys.refused(endpoint, place(endpoint))
    error = connect_error(exc, endpoint)
    if isinstance(error, AuthFailed) and identity:
        return AuthFailed(f"{error} (the key tried was {identity})")
    if isinstance(exc, (asyncssh.ConnectionLost, ConnectionError)) and client.negotiating:
        # sshd just hangs up when it has nothing in common with us, and tells only its own log.
        return Unreachable(
            f"{error} (it ended before algorithms were agreed on; {rule_for(_NOTHING_IN_COMMON).advice})"
        )
    return error


_NOTHING_IN_COMMON = asyncssh.KeyExchangeFailed("")
