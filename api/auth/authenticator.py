"""Turns what a caller shows into a principal: a token, the static administrator token, a ticket or its cookie."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from api.auth import revocation, tickets
from api.auth.principal import Principal, Role
from api.auth.tokens import LEEWAY, MAX_LENGTH, InvalidToken, verify
from controller.duration import SECOND
from controller.runtime.clock import Clock
from controller.settings import Settings
from controller.store.base import Store

STATIC_NAME: Final = "static-admin"
_REMEMBERED: Final = 1024
_COOKIE: Final = tickets.COOKIE.encode()


class Authenticator:
    """Verifies credentials while auth is on. Every method raises InvalidToken for what does not count.

    A token's signature is checked once and remembered by its hash; expiry and revocation are checked every time.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._secret = settings.auth.jwt_secret.get_secret_value()
        self._static = settings.server.auth_token.get_secret_value().encode()
        if hmac.compare_digest(self._static, self._secret.encode()):
            self._static = b""  # the signing key is never itself a token, whatever the settings say (E-5)
        self._lifetime = settings.auth.token_expiry // SECOND
        self._path = settings.websocket.path
        self._store = store
        self._clock = clock
        self._known: OrderedDict[bytes, Principal] = OrderedDict()

    def bearer(self, credentials: bytes) -> Principal:
        """Whom `Authorization: Bearer …` speaks for."""
        scheme, _, token = credentials.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not 0 < len(token) <= MAX_LENGTH:
            raise InvalidToken("malformed")
        # An empty static token is none at all: it must never equal anything.
        if self._static and hmac.compare_digest(token, self._static):
            return Principal(name=STATIC_NAME, role=Role.ADMIN)
        return self._token(token)

    def _token(self, token: bytes) -> Principal:
        digest = hashlib.sha256(token).digest()
        principal = self._known.get(digest)
        if principal is None:
            verified = verify(token.decode("latin-1"), self._secret, self._clock.now())
            principal = revocation.with_name(self._store, verified)
            self._remember(digest, principal)
        if principal.expires is not None and principal.expires <= self._clock.now().timestamp() - LEEWAY:
            raise InvalidToken("expired")
        revocation.check(self._store, principal.token_id or "")
        revocation.check_node(self._store, principal)
        return principal

    def _remember(self, digest: bytes, principal: Principal) -> None:
        self._known[digest] = principal
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def issue_ticket(self, principal: Principal) -> str:
        """Sell a ticket for the event stream."""
        now = self._clock.now()
        return tickets.issue(principal, self._path, secret=self._secret, lifetime=self._lifetime, now=now)

    async def ticket(self, ticket: str, *, secure: bool) -> tuple[Principal, str]:
        """Redeem a ticket; also returns the Set-Cookie that reconnects go by. Raises StoreError, too."""
        now = self._clock.now()
        principal, value = await tickets.redeem(ticket, self._path, secret=self._secret, store=self._store, now=now)
        left = (principal.expires or 0) - int(now.timestamp())
        return principal, tickets.set_cookie(value, self._path, max_age=left, secure=secure)

    def cookie(self, headers: Sequence[bytes]) -> Principal | None:
        """Whom the stream's cookie speaks for; None if there is none."""
        value = _stream_cookie(headers)
        if value is None:
            return None
        if len(value) > MAX_LENGTH:
            raise InvalidToken("malformed")
        now = self._clock.now()
        return tickets.resume(value.decode("latin-1"), self._path, secret=self._secret, store=self._store, now=now)


def _stream_cookie(headers: Sequence[bytes]) -> bytes | None:
    """The first cookie of that name (RFC 6265, 4.2.1); its value is never quoted."""
    for header in headers:
        for pair in header.split(b";"):
            name, _, value = pair.partition(b"=")
            if name.strip() == _COOKIE:
                return value.strip()
    return None
