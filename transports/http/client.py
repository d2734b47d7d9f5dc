"""A client for one agent: pinned to checked addresses, verified, without redirects, proxies or cookies."""

import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from transports.addresses import Target, resolve
from transports.base import Credential, Endpoint
from transports.errors import AuthFailed, CertificateInvalid, EndpointInvalid, TransportError, Unreachable, described

CONNECTIONS = 8
"""Connections to one agent at the same time."""


async def open_client(endpoint: Endpoint) -> aiohttp.ClientSession:
    """A client whose relative URLs lead to the agent. Raises `Refused` for what somebody has to change."""
    token = bearer(endpoint.credential)
    if token is None and not _has_certificate(endpoint.credential):
        raise AuthFailed(
            f"node {endpoint.node} names no credential: the http transport delivers only with one; put the agent's "
            "token into the credentials directory as <name>/token and set credentialRef"
        )
    targets = await resolve(endpoint.address, endpoint.port, endpoint.policy)
    tls = _tls(endpoint, targets)
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return aiohttp.ClientSession(
        base_url=f"{'http' if tls is None else 'https'}://{host}:{endpoint.port}",
        connector=aiohttp.TCPConnector(
            resolver=_Pinned(targets), ssl=tls or False, limit=CONNECTIONS, keepalive_timeout=60
        ),
        headers={"User-Agent": "vendetta"} | ({"Authorization": f"Bearer {token}"} if token else {}),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_timeout),
        auto_decompress=False,
        trust_env=False,
    )


def bearer(credential: Credential | None) -> str | None:
    """The token: a folder's `token`, or a file that holds one line and no key. Raises AuthFailed."""
    if credential is None:
        return None
    token = credential.token
    if token is None and credential.private_key is not None and b"-----BEGIN" not in credential.private_key:
        token = credential.private_key.decode(errors="replace")
    if token is None:
        return None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise AuthFailed("the agent's token must be one line of printable characters without spaces")
    return token


def _has_certificate(credential: Credential | None) -> bool:
    return credential is not None and credential.certificate is not None


def _tls(endpoint: Endpoint, targets: Sequence[Target]) -> ssl.SSLContext | None:
    """None: plain HTTP, which off loopback needs `insecure`, as does TLS that is not verified (contract E-10)."""
    local = all(target.ip.is_loopback for target in targets)
    if not (not local if endpoint.tls is None else endpoint.tls):
        if local or endpoint.insecure:
            return None
        raise EndpointInvalid(
            f"node {endpoint.node} at {endpoint.address} would get its commands over plain HTTP: let its agent speak "
            "TLS, or set `insecure: true` in its transport"
        )
    try:
        return _context(endpoint)
    except (ssl.SSLError, ValueError) as exc:
        raise AuthFailed(f"the certificates of node {endpoint.node}'s credential cannot be used: {exc}") from exc


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    credential = endpoint.credential
    authority = credential.authority.decode("ascii", "replace") if credential and credential.authority else None
    context = ssl.create_default_context(cadata=authority)
    if endpoint.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credential is not None and credential.certificate is not None:
        with _in_memory(credential.certificate + b"\n" + (credential.private_key or b"")) as path:
            context.load_cert_chain(path, password=credential.passphrase)
    return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path for what must not lie on a disk: ssl takes nothing but paths."""
    with os.fdopen(os.memfd_create("certificate"), "wb", 0) as file:
        file.write(content)
        yield f"/proc/self/fd/{file.fileno()}"


class _Pinned(AbstractResolver):
    """Answers with the addresses that were checked, whatever the name service says by now."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The checked addresses, in their order."""
        del family
        return [
            ResolveResult(
                hostname=host,
                host=str(target.ip),
                port=port,
                family=target.family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for target in self._targets
        ]

    async def close(self) -> None:
        """Nothing to close."""


def failure(exc: Exception, endpoint: Endpoint) -> TransportError:
    """What a failure to connect means: something that may pass by itself, or something for somebody to change."""
    place = f"the agent of node {endpoint.node} at {endpoint.address} port {endpoint.port}"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return CertificateInvalid(
            f"{place} shows a certificate that is not trusted: {exc.certificate_error}; put the authority's "
            "certificate into the credential as `ca.crt`, or give the node the name that the certificate is for"
        )
    if isinstance(exc, aiohttp.ClientSSLError):
        return Unreachable(f"{place} does not speak TLS as it should: {described(exc.os_error)}")
    return Unreachable(f"cannot reach {place}: {described(exc)}")
