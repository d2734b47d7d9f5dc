"""Checks of services over the network: one connection each, to an address that was checked, bounded in time.

    Checks.tcp    whether something accepts a connection
    Checks.http   whether an HTTP request is answered with a status that is good

Nothing is followed, kept or decompressed, and no body is read: neither an endless nor a slow one costs more than the
time that a check may take. What the other side sends never becomes part of a message, but for the status.
"""

import asyncio
import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from transports.addresses import dial, resolve
from transports.base import AddressPolicy
from transports.errors import Refused, Unreachable

if TYPE_CHECKING:
    from transports.httpcheck import HTTPClient

_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL})


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
    """Makes checks, at most `concurrency` over HTTP at once. Keeps no connection."""

    def __init__(self, policy: AddressPolicy, *, concurrency: int) -> None:
        self._policy = policy
        self._concurrency = concurrency
        self._client: HTTPClient | None = None

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
            return failure(exc, timeout)
        return Outcome(good=True, message="connected", latency=time.perf_counter() - began)

    async def http(self, request: HTTPRequest, *, timeout: float) -> Outcome:
        """Whether the request is answered with a good status."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                targets = await resolve(request.place.address, request.place.port, self._policy)
                answer = await self._open().ask(request, targets[0], timeout=timeout)
        except (TimeoutError, OSError, Unreachable, Refused) as exc:
            return failure(exc, timeout)
        if isinstance(answer, Outcome):
            return answer
        good = answer in request.statuses if request.statuses else 200 <= answer < 300
        return Outcome(good=good, message=f"status {answer}", latency=time.perf_counter() - began)

    async def aclose(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.aclose()

    def _open(self) -> "HTTPClient":
        if self._client is None:
            from transports.httpcheck import HTTPClient  # noqa: PLC0415 - an HTTP client, which few servers need

            self._client = HTTPClient(concurrency=self._concurrency)
        return self._client


def failure(exc: Exception, timeout: float) -> Outcome:
    """What an error says of the other side. `timeout` is seconds."""
    if isinstance(exc, TimeoutError):
        return Outcome(good=False, message=f"no answer within {timeout:g} s")
    if isinstance(exc, Refused):
        return Outcome(good=None, message=str(exc), lasting=True)
    if isinstance(exc, Unreachable):
        return Outcome(good=False, message=str(exc), no_way=True)
    number = exc.errno if isinstance(exc, OSError) else None
    said = os.strerror(number) if number is not None else "the connection broke"
    return Outcome(good=False, message=said, no_way=number in _NO_WAY)
