"""Which Host and which Origin are this server's own, and which other origins are welcome (contract A-8, E-6)."""

import re
from collections.abc import Iterable
from typing import Final

from api.auth.peer import parse_address

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_UNSPECIFIED: Final = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104 - compared with, not listened on
_AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?")
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}

HostPort = tuple[str, int]


def parse_authority(raw: bytes, scheme: str) -> HostPort | None:
    """Return host and port of a Host header or of what follows an origin's scheme; None when it is neither."""
    match = _AUTHORITY.fullmatch(raw.decode("latin-1"))
    if match is None:
        return None
    host = (match[1] or match[2]).lower()
    return host, int(match[3]) if match[3] else _PORTS.get(scheme, 80)


def parse_origin(raw: bytes) -> tuple[str, HostPort] | None:
    """Return (scheme, host and port); None for `null` and for what is no origin of a web page."""
    scheme, found, rest = raw.partition(b"://")
    name = scheme.decode("latin-1").lower()
    if not found or name not in {"http", "https"}:
        return None
    authority = parse_authority(rest, name)
    return (name, authority) if authority is not None else None


class Origins:
    """What `websocket.origins` and `server.host` say, ready to compare with."""

    def __init__(self, *, host: str, origins: Iterable[str], any_address: bool) -> None:
        """`any_address`: any IP address is accepted as Host; rebinding needs a name, so an address is safe."""
        self.anything = False
        self._listed: set[tuple[str, HostPort]] = set()
        self._any_address = any_address
        self._names = _LOCAL_NAMES | ({host.lower()} - _UNSPECIFIED)
        for origin in origins:
            if origin == "*":
                self.anything = True
            elif (parsed := parse_origin(origin.encode())) is not None:
                self._listed.add(parsed)

    def is_own_host(self, host: HostPort | None, port: int | None) -> bool:
        """Whether a Host names this server: by one of its names and the very port, or as a listed origin."""
        if host is None:
            return False
        if any(listed == host for _, listed in self._listed):
            return True
        if self._any_address and parse_address(host[0]) is not None:
            return True
        return host[0] in self._names and (port is None or host[1] == port)

    def is_same(self, origin: bytes, host: bytes) -> bool:
        """Whether the origin is what a page has that was loaded under this Host.

        The scheme is left out: behind a proxy that ends TLS this server cannot know it.
        """
        return parse_origin(origin) is not None and origin.partition(b"://")[2].lower() == host.lower()

    def is_listed(self, origin: bytes) -> bool:
        """Whether the origin is welcome by name."""
        return parse_origin(origin) in self._listed
