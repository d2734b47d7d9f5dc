"""Cross-origin headers: what a browser must be told so that a page of another origin may read an answer (A-8)."""

from typing import Final

RawHeaders = list[tuple[bytes, bytes]]

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_ALLOWED: Final = b"Authorization, Content-Type, If-Match, Idempotency-Key, Prefer, X-Request-ID, Last-Event-ID"
_EXPOSED: Final = b"Location, Warning, X-Request-ID, WWW-Authenticate"
_VARY: Final = (b"vary", b"Origin")


def cors_headers(origin: bytes, *, by_name: bool) -> RawHeaders:
    """Return the headers of an answer. Only an origin that is listed by name may use the stream's cookie."""
    if not by_name:
        return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", _EXPOSED),
        _VARY,
    ]


def preflight_headers(origin: bytes, *, by_name: bool) -> RawHeaders:
    """Return the headers that answer a preflight."""
    return [
        *cors_headers(origin, by_name=by_name),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _ALLOWED),
        (b"access-control-max-age", b"600"),
    ]
