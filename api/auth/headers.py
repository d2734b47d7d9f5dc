"""The few request headers that decide who is let in, read in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_FORWARDING: Final = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"x-envoy-external-address",
    }
)


@dataclass(slots=True)
class DoorHeaders:
    """Raw values. A list where more than one would be an attack or a mistake that must be seen as such."""

    host: list[bytes] = field(default_factory=list)
    origin: list[bytes] = field(default_factory=list)
    authorization: list[bytes] = field(default_factory=list)
    cookie: list[bytes] = field(default_factory=list)
    forwarded_for: list[bytes] = field(default_factory=list)
    forwarded_proto: bytes = b""
    fetch_site: bytes = b""
    fetch_mode: bytes = b""
    preflight_method: bytes = b""
    forwarded: bool = False
    """Something says that a proxy stands between, whatever it says about it."""


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> DoorHeaders:
    """Pick the headers that matter. Names are lower case already, as ASGI demands."""
    found = DoorHeaders()
    for name, value in raw:
        if name in _LISTS:
            getattr(found, _LISTS[name]).append(value)
        elif name in _SINGLE:
            setattr(found, _SINGLE[name], value)
        if name in _FORWARDING or name.startswith(b"x-forwarded"):
            found.forwarded = True
    return found


_LISTS: Final = {
    b"host": "host",
    b"origin": "origin",
    b"authorization": "authorization",
    b"cookie": "cookie",
    b"x-forwarded-for": "forwarded_for",
}
_SINGLE: Final = {
    b"x-forwarded-proto": "forwarded_proto",
    b"sec-fetch-site": "fetch_site",
    b"sec-fetch-mode": "fetch_mode",
    b"access-control-request-method": "preflight_method",
}
