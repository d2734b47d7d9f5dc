"""The few request headers that decide who is let in, read in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass
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
    """Raw values. A tuple where more than one would be an attack or a mistake that must be seen as such."""

    host: tuple[bytes, ...] = ()
    origin: tuple[bytes, ...] = ()
    authorization: tuple[bytes, ...] = ()
    cookie: tuple[bytes, ...] = ()
    forwarded_for: tuple[bytes, ...] = ()
    forwarded_proto: bytes = b""
    fetch_site: bytes = b""
    fetch_mode: bytes = b""
    preflight_method: bytes = b""
    forwarded: bool = False
    """Something says that a proxy stands between, whatever it says about it."""
    impersonates: bool = False
    """The caller wants to be taken for somebody else (Kubernetes, "User impersonation")."""


_SEVERAL: Final = {
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
_FORWARDED, _IMPERSONATE = b"x-forwarded", b"impersonate-"
_PREFIXES: Final = (_FORWARDED, _IMPERSONATE)
_OF_INTEREST: Final = _FORWARDING | _SEVERAL.keys() | _SINGLE.keys()


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> DoorHeaders:
    """Pick the headers that matter. Names are lower case already, as ASGI demands."""
    found = DoorHeaders()
    for name, value in raw:
        if name in _OF_INTEREST or name.startswith(_PREFIXES):
            _take(found, name, value)
    return found


def _take(found: DoorHeaders, name: bytes, value: bytes) -> None:
    if name in _SEVERAL:
        field = _SEVERAL[name]
        setattr(found, field, (*getattr(found, field), value))
    elif name in _SINGLE:
        setattr(found, _SINGLE[name], value)
    if name in _FORWARDING or name.startswith(_FORWARDED):
        found.forwarded = True
    if name.startswith(_IMPERSONATE):
        found.impersonates = True
