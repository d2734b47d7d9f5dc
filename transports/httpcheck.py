"""The HTTP client of the checks."""

import ssl
from typing import Final

import aiohttp

from transports.addresses import Target
from transports.checks import HTTPRequest, Outcome, failure

_LONGEST: Final = 8190
"""Bytes of a header line that is read."""


class HTTPClient:
    """One for all checks; at most `concurrency` requests at once, each over a connection of its own."""

    def __init__(self, *, concurrency: int) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_LONGEST,
            max_field_size=_LONGEST,
        )
        self._verified = ssl.create_default_context()
        self._unverified = ssl.create_default_context()
        self._unverified.check_hostname = False
        self._unverified.verify_mode = ssl.CERT_NONE

    async def ask(self, request: HTTPRequest, target: Target, *, timeout: float) -> int | Outcome:
        """The status of the answer, or what went wrong. Raises `TimeoutError`, `OSError`."""
        scheme = "https" if request.tls else "http"
        host = f"[{target.ip}]" if target.ip.version == 6 else str(target.ip)
        try:
            async with self._session.get(
                f"{scheme}://{host}:{request.place.port}{request.path}",
                headers={"Host": request.host, "User-Agent": "vendetta", **request.headers},
                allow_redirects=False,
                ssl=self._unverified if request.insecure else self._verified,
                server_hostname=request.place.address if request.tls else None,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=0.8 * timeout),
            ) as response:
                response.close()
                return response.status
        except aiohttp.ClientError as exc:
            return _client_failure(exc, timeout)

    async def aclose(self) -> None:
        """Close it."""
        await self._session.close()


def _client_failure(exc: aiohttp.ClientError, timeout: float) -> Outcome:
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return Outcome(good=False, message="its certificate is not trusted")
    if isinstance(exc, aiohttp.ClientSSLError):
        return Outcome(good=False, message="it does not speak TLS as it should")
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return Outcome(good=False, message=f"no connection within {0.8 * timeout:g} s", no_way=True)
    if isinstance(exc, OSError):
        return failure(exc, timeout)
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return Outcome(good=False, message="it closed the connection without an answer")
    return Outcome(good=False, message="its answer is no HTTP")
