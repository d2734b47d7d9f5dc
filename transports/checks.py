"""Checks of services over the network: one connection each, to an address that was checked, bounded in time.

    check_tcp     whether something accepts a connection
    Checks.http   whether an HTTP request is answered with a status that is good

Nothing is followed, kept or decompressed, and no body is read: neither an endless nor a slow one costs more than the
time that a check may take. What the other side sends never becomes part of a message, but for the status.
"""

import asyncio
import errno
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from transports.addresses import Target, dial, resolve
from transports.base import AddressPolicy
from transports.errors import Refused, Unreachable

_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL})
_LONGEST: Final = 8190
"""Bytes of a header line that is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a check ended: `good` is None where it could not be made, and `lasting` if that will not pass by itself.

    `no_way`: it was bad because nothing leads there from here. `latency` is seconds.
    """

    good: bool | None
    message: str
    latency: float | None = None
    lasting: bool = False
    no_way: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service is."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """What an HTTP check asks for. No statuses mean 200 to 299."""

    place: Place
    path: str = "/"
    statuses: frozenset[int] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    insecure: bool = False

    @property
    def host(self) -> str:
        """What the Host header says."""
        address = f"[{self.place.address}]" if ":" in self.place.address else self.place.address
        return address if self.place.port == (443 if self.tls else 80) else f"{address}:{self.place.port}"


class Checks:
    """Makes checks. Holds one HTTP client for all of them, which keeps no connection."""

    def __init__(self, policy: AddressPolicy, *, concurrency: int) -> None:
        self._policy = policy
        self._concurrency = concurrency
        self._client: aiohttp.ClientSession | None = None
        self._verified = ssl.create_default_context()
        self._unverified = ssl.create_default_context()
        self._unverified.check_hostname = False
        self._unverified.verify_mode = ssl.CERT_NONE

    async def tcp(self, place: Place, *, timeout: float) -> Outcome:
        """Whether something accepts a connection there."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                targets = await resolve(place.address, place.port, self._policy)
                (await dial(targets, timeout=timeout)).close()
        except TimeoutError:
            return Outcome(good=False, message=f"no connection within {timeout:g} s", no_way=True)
        except (OSError, Unreachable, Refused) as exc:
            return _failure(exc, timeout)
        return Outcome(good=True, message="connected", latency=time.perf_counter() - began)

    async def http(self, request: HTTPRequest, *, timeout: float) -> Outcome:
        """Whether the request is answered with a good status."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                targets = await resolve(request.place.address, request.place.port, self._policy)
                status = await self._status(request, targets[0], timeout)
        except aiohttp.ClientError as exc:
            return _client_failure(exc, timeout)
        except (TimeoutError, OSError, Unreachable, Refused) as exc:
            return _failure(exc, timeout)
        good = status in request.statuses if request.statuses else 200 <= status < 300
        return Outcome(good=good, message=f"status {status}", latency=time.perf_counter() - began)

    async def aclose(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.close()

    async def _status(self, request: HTTPRequest, target: Target, timeout: float) -> int:
        scheme = "https" if request.tls else "http"
        host = f"[{target.ip}]" if target.ip.version == 6 else str(target.ip)
        async with self._open().get(
            f"{scheme}://{host}:{request.place.port}{request.path}",
            headers={"Host": request.host, "User-Agent": "vendetta", **request.headers},
            allow_redirects=False,
            ssl=self._unverified if request.insecure else self._verified,
            server_hostname=request.place.address if request.tls else None,
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=0.8 * timeout),
        ) as response:
            response.close()
            return response.status

    def _open(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._concurrency, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=_LONGEST,
                max_field_size=_LONGEST,
            )
        return self._client


def _client_failure(exc: aiohttp.ClientError, timeout: float) -> Outcome:
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return Outcome(good=False, message="its certificate is not trusted")
    if isinstance(exc, aiohttp.ClientSSLError):
        return Outcome(good=False, message="it does not speak TLS as it should")
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return Outcome(good=False, message=f"no connection within {0.8 * timeout:g} s", no_way=True)
    if isinstance(exc, OSError):
        return _failure(exc, timeout)
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return Outcome(good=False, message="it closed the connection without an answer")
    return Outcome(good=False, message="its answer is no HTTP")


def _failure(exc: Exception, timeout: float) -> Outcome:
    if isinstance(exc, TimeoutError):
        return Outcome(good=False, message=f"no answer within {timeout:g} s")
    if isinstance(exc, Refused):
        return Outcome(good=None, message=str(exc), lasting=True)
    if isinstance(exc, Unreachable):
        return Outcome(good=False, message=str(exc), no_way=True)
    number = exc.errno if isinstance(exc, OSError) else None
    said = os.strerror(number) if number is not None else "the connection broke"
    return Outcome(good=False, message=said, no_way=number in _NO_WAY)
