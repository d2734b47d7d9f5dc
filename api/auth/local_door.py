"""The door while auth is off, the documented default: safe on a laptop (contract E-6).

Only callers over the loopback address get in. And no web page does, wherever its browser runs: `Host` must be this
server's (or a page could rebind its own name to this address), and `Origin`, if any, its own.
"""

from typing import Final

from starlette.types import Scope

from api.auth.cors import cors_headers, preflight_headers
from api.auth.door import OPEN_PATHS, Admission, is_preflight, plain_path
from api.auth.headers import DoorHeaders
from api.auth.origins import Origins, parse_authority
from api.auth.peer import Proxies
from api.auth.principal import Principal, Role
from api.errors import forbidden
from controller.settings import Settings

REMOTE: Final = (
    "authentication is off, so that only callers over the loopback address (127.0.0.1, ::1) are let in: "
    "set auth.enabled: true and use a token, or set auth.allow_insecure_remote: true to let anybody in"
)
_HOST: Final = (
    "the Host header does not name this server: use localhost, 127.0.0.1 or the configured server.host with its port"
)
_ORIGIN: Final = "this web page's origin is not this server's own: list it in websocket.origins to let it in"
_REMEMBERED: Final = 256
"""Host headers known to be our own."""
_CROSS_SITE: Final = frozenset({b"cross-site", b"same-site"})

_LOCAL: Final = Principal(name="local", role=Role.ADMIN, local=True)
_WELCOME: Final = Admission(principal=_LOCAL)
_ANYBODY: Final = Principal(name="anonymous", role=Role.ADMIN)


class LocalDoor:
    """Admits by where the request comes from."""

    def __init__(self, settings: Settings) -> None:
        remote = settings.auth.allow_insecure_remote
        self._remote = remote
        self._own: set[tuple[tuple[bytes, ...], str, int | None]] = set()
        self._proxies = Proxies(settings.server.trusted_proxies)
        self._origins = Origins(host=settings.server.host, origins=settings.websocket.origins, any_address=remote)

    async def admit(self, scope: Scope, headers: DoorHeaders) -> Admission:
        """Return how the request goes on. Raises APIError (403)."""
        peer = self._proxies.peer(scope.get("client"), headers)
        probe = plain_path(scope) in OPEN_PATHS and scope["type"] == "http"
        if not peer.local and not probe and not self._remote:
            raise forbidden(REMOTE)
        if peer.local or not probe:
            # A remote probe may come under any name: kubelets and load balancers use addresses and aliases.
            self._check_host(scope, headers)
        by_name = self._check_origin(headers)
        if peer.local and not by_name:
            return _WELCOME
        principal = _LOCAL if peer.local else None if not self._remote else _ANYBODY
        if not by_name:
            return Admission(principal=principal)
        if is_preflight(scope, headers):
            answer = preflight_headers(headers.origin[0], by_name=True)
            return Admission(principal=principal, headers=answer, preflight=True)
        return Admission(principal=principal, headers=cors_headers(headers.origin[0], by_name=True))

    def _check_host(self, scope: Scope, headers: DoorHeaders) -> None:
        server = scope.get("server")
        key = (headers.host, scope.get("scheme", "http"), server[1] if server else None)
        if key in self._own:
            return
        host, scheme, port = key
        if len(host) != 1 or not self._origins.is_own_host(parse_authority(host[0], scheme), port):
            raise forbidden(_HOST)
        if len(self._own) < _REMEMBERED:
            self._own.add(key)

    def _check_origin(self, headers: DoorHeaders) -> bool:
        """Whether the origin is another's that is listed by name. Raises APIError for a foreign one."""
        if len(headers.origin) > 1:
            raise forbidden(_ORIGIN)
        if headers.origin:
            if self._origins.is_listed(headers.origin[0]):
                return True
            if not headers.host or not self._origins.is_same(headers.origin[0], headers.host[0]):
                raise forbidden(_ORIGIN)
        elif headers.fetch_site in _CROSS_SITE and headers.fetch_mode != b"navigate":
            # An image or a script of a foreign page: browsers send no Origin, but say so here.
            raise forbidden(_ORIGIN)
        return False
