"""The door while auth is on: a bearer token, or on the event stream a ticket and its cookie (contract E-5)."""

from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs

from starlette.types import Scope

from api.auth.authenticator import Authenticator
from api.auth.cors import RawHeaders, cors_headers, preflight_headers
from api.auth.door import JOIN_PATH, METRICS_PATHS, OPEN_PATHS, Admission, is_preflight, plain_path
from api.auth.headers import DoorHeaders
from api.auth.origins import Origins
from api.auth.peer import Peer, Proxies
from api.auth.principal import Principal
from api.auth.tokens import InvalidToken
from api.errors import APIError, forbidden
from controller.settings import Settings
from controller.store.base import StoreError

_ORIGIN: Final = "this web page's origin may not read the event stream: list it in websocket.origins"
_CHALLENGE: Final = 'Bearer realm="vendetta"'
_MISSING: Final = "this needs a token: send `Authorization: Bearer …` (make one with `vendetta token create`)"


def unauthorized(message: str, error: str = "") -> APIError:
    """401: who is calling is not known."""
    challenge = f'{_CHALLENGE}, error="{error}"' if error else _CHALLENGE
    return APIError(401, "Unauthorized", message, headers={"WWW-Authenticate": challenge})


class TokenDoor:
    """Admits by what the caller can show."""

    def __init__(self, settings: Settings, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._proxies = Proxies(settings.server.trusted_proxies)
        self._origins = Origins(host=settings.server.host, origins=settings.websocket.origins, any_address=True)
        self._open = OPEN_PATHS | {JOIN_PATH} | (METRICS_PATHS if settings.metrics.public else frozenset())
        self._stream = settings.websocket.path.rstrip("/")

    async def admit(self, scope: Scope, headers: DoorHeaders) -> Admission:
        """Return how the request goes on. Raises APIError (401, 403)."""
        path = plain_path(scope)
        on_stream = path == self._stream
        trusted, welcome = self._judge_origin(headers)
        if on_stream and not (trusted or welcome):
            raise forbidden(_ORIGIN)
        if is_preflight(scope, headers):
            return self._preflight(headers, trusted=trusted, welcome=welcome)
        cors = self._cors(headers, trusted=trusted, welcome=welcome)
        if path in self._open and scope["type"] == "http":
            return Admission(principal=None, headers=cors)
        peer = self._proxies.peer(scope.get("client"), headers)
        try:
            principal, cookies = await self._identify(scope, headers, peer, on_stream=on_stream, by_cookie=trusted)
        except InvalidToken as error:
            raise unauthorized(f"the token does not count: {error}", "invalid_token") from None
        except StoreError:
            raise APIError(503, "ServiceUnavailable", "the ticket could not be redeemed: the store is away") from None
        return Admission(principal=_placed(principal, peer), headers=cors + cookies)

    def _judge_origin(self, headers: DoorHeaders) -> tuple[bool, bool]:
        """Whether the origin is our own or listed by name (or there is none), and whether `*` makes it welcome."""
        if not headers.origin:
            return True, True
        origin = headers.origin[0]
        if len(headers.origin) > 1 or origin == b"null":
            return False, False
        same = len(headers.host) == 1 and self._origins.is_same(origin, headers.host[0])
        return same or self._origins.is_listed(origin), self._origins.anything

    def _cors(self, headers: DoorHeaders, *, trusted: bool, welcome: bool) -> RawHeaders:
        if not headers.origin or not (trusted or welcome):
            return []
        return cors_headers(headers.origin[0], by_name=trusted)

    def _preflight(self, headers: DoorHeaders, *, trusted: bool, welcome: bool) -> Admission:
        if not headers.origin or not (trusted or welcome):
            raise forbidden("this web page's origin is not welcome: list it in websocket.origins")
        answer = preflight_headers(headers.origin[0], by_name=trusted)
        return Admission(principal=None, headers=answer, preflight=True)

    async def _identify(
        self, scope: Scope, headers: DoorHeaders, peer: Peer, *, on_stream: bool, by_cookie: bool
    ) -> tuple[Principal, RawHeaders]:
        """Who it is, and the cookie to set. Raises InvalidToken, APIError (401), StoreError."""
        if len(headers.authorization) > 1:
            raise InvalidToken("more than one Authorization header")
        if headers.authorization:
            return self._authenticator.bearer(headers.authorization[0]), []
        if on_stream:
            return await self._on_stream(scope, headers, peer, by_cookie=by_cookie)
        raise unauthorized(_MISSING)

    async def _on_stream(
        self, scope: Scope, headers: DoorHeaders, peer: Peer, *, by_cookie: bool
    ) -> tuple[Principal, RawHeaders]:
        """By ticket; else, as in EventSource's reconnects with the used ticket still in the URL, by the cookie."""
        wrong: InvalidToken | None = None
        ticket = _ticket(scope)
        if ticket is not None:
            try:
                principal, cookie = await self._authenticator.ticket(ticket, secure=_secure(scope, headers, peer))
            except InvalidToken as error:
                wrong = error
            else:
                return principal, [(b"set-cookie", cookie.encode())]
        found = self._authenticator.cookie(headers.cookie) if by_cookie and headers.cookie else None
        if found is None:
            raise wrong if wrong is not None else unauthorized(_MISSING)
        return found, []


def _ticket(scope: Scope) -> str | None:
    query: bytes = scope.get("query_string", b"")
    if b"ticket=" not in query:
        return None
    values = parse_qs(query.decode("latin-1"), max_num_fields=64).get("ticket", [])
    return values[0] if len(values) == 1 else None


def _secure(scope: Scope, headers: DoorHeaders, peer: Peer) -> bool:
    proxied = peer.proxied and headers.forwarded_proto.strip().lower() == b"https"
    return proxied or scope.get("scheme") in {"https", "wss"}


def _placed(principal: Principal, peer: Peer) -> Principal:
    return replace(principal, local=True) if peer.local else principal
