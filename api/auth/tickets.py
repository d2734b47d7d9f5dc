"""Stream tickets: how a browser, whose EventSource cannot send a header, gets onto the event stream (E-5).

A ticket is a token of its own audience, good for a minute, one path and one first connect. Redeeming it writes its
id to the store, so that it is used once over all replicas. The connect then sets a cookie, good on that path until
the token that the ticket was bought with expires, and gone at once when that token is revoked.
"""

import secrets
from datetime import datetime
from typing import Any, Final

from api.auth import revocation
from api.auth.principal import Principal
from api.auth.tokens import InvalidToken, principal_of, read, sign
from controller.store.base import AlreadyExists, Store

TICKET_SECONDS: Final = 60
COOKIE: Final = "vendetta_stream"
_TICKET, _SESSION = "vendetta/stream-ticket", "vendetta/stream-session"


def issue(principal: Principal, path: str, *, secret: str, lifetime: int, now: datetime) -> str:
    """Return a ticket for one first connect to `path`. `lifetime`: seconds the cookie lasts if no token says less."""
    issued = int(now.timestamp())
    until = principal.expires if principal.expires is not None else issued + lifetime
    claims = _bound(principal, path, issued) | {"exp": issued + TICKET_SECONDS, "until": until}
    return sign(claims | {"ticket": secrets.token_urlsafe(16)}, secret, audience=_TICKET)


def _bound(principal: Principal, path: str, issued: int) -> dict[str, Any]:
    """Claims that a ticket and its cookie share. The jti is the token's own, so that its revocation ends both."""
    claims: dict[str, Any] = {
        "sub": principal.name,
        "role": str(principal.role),
        "iat": issued,
        "jti": principal.token_id or "static",
        "path": path,
    }
    if principal.node_uid is not None:
        claims["node"] = principal.node_uid
    return claims


async def redeem(ticket: str, path: str, *, secret: str, store: Store, now: datetime) -> tuple[Principal, str]:
    """Use a ticket up. Returns its principal and the cookie's value. Raises InvalidToken, and StoreError."""
    claims = read(ticket, secret, now, audience=_TICKET)
    ticket_id, until = claims.get("ticket"), claims.get("until")
    if claims.get("path") != path or not isinstance(ticket_id, str) or type(until) is not int:
        raise InvalidToken("the ticket is for another path")
    revocation.check(store, claims["jti"])
    try:
        await store.write(revocation.record(f"ticket/{ticket_id}", int(now.timestamp()) + 2 * TICKET_SECONDS))
    except AlreadyExists:
        raise InvalidToken("the ticket has been used") from None
    principal = principal_of(claims | {"exp": until})
    cookie = _bound(principal, path, int(now.timestamp())) | {"exp": until}
    return principal, sign(cookie, secret, audience=_SESSION)


def resume(cookie: str, path: str, *, secret: str, store: Store, now: datetime) -> Principal:
    """Return whom the cookie of an earlier connect speaks for. Raises InvalidToken."""
    claims = read(cookie, secret, now, audience=_SESSION)
    if claims.get("path") != path:
        raise InvalidToken("the cookie is for another path")
    revocation.check(store, claims["jti"])
    return principal_of(claims)


def set_cookie(value: str, path: str, *, max_age: int, secure: bool) -> str:
    """Return the Set-Cookie header's value."""
    flags = "; Secure" if secure else ""
    return f"{COOKIE}={value}; Path={path}; Max-Age={max(1, max_age)}; HttpOnly; SameSite=Strict{flags}"
