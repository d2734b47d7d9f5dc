"""How an agent makes itself known to the server: by a join token once, and by a registration at each start."""

import json
import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from transports.agent.options import is_loopback
from transports.agent.state import State, StateFile

log = logging.getLogger(__name__)

TIMEOUT: Final = 15.0


class EnrolError(Exception):
    """The server did not take this agent; the message says why. `status` is HTTP's, 0 when there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def lasting(self) -> bool:
        """Whether it will not pass by itself."""
        return 400 <= self.status < 500 and self.status not in {408, 429}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the server is, e.g. `https://vendetta.example:3001`. `tls` for its https and wss."""

    url: str
    tls: ssl.SSLContext | None = None

    @classmethod
    def at(cls, url: str, *, authority: str | None, insecure: bool) -> "Server":
        """Checks the URL, and that the authority's file can be read. Raises OSError and ValueError.

        Plain HTTP off loopback is refused, too: the token would be anybody's.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no server: write http(s)://host:port")
        if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname):
            raise ValueError(
                f"{url} would carry this node's token and commands over plain HTTP: use https, or --insecure on a "
                "network that you trust"
            )
        if authority is not None:
            Path(authority).read_bytes()  # its error names the file; that of the TLS library does not
        tls = ssl.create_default_context(cafile=authority) if parts.scheme == "https" else None
        return cls(url=url.rstrip("/"), tls=tls)

    def websocket(self, node_id: str) -> str:
        """Where that node's agent dials in."""
        return f"ws{self.url.removeprefix('http')}/api/v1/nodes/{node_id}/connect"

    def post(self, path: str, body: Mapping[str, Any], token: str) -> Any:
        """POST, and what was answered. Raises EnrolError."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), headers, method="POST")  # noqa: S310 - its scheme was checked
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls), _NoRedirects()
        )
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                return json.loads(response.read(1 << 20) or b"{}")
        except urllib.error.HTTPError as error:
            raise EnrolError(_refusal(error), error.code) from None
        except (OSError, ValueError) as error:
            raise EnrolError(f"cannot reach {self.url}: {getattr(error, 'reason', error)}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: not followed."""


def enrol(server: Server, state: State, file: StateFile, *, token: str, join: str, facts: Mapping[str, Any]) -> State:
    """Register with what was given before; join if that does not count, or there is nothing. Returns the new state.

    A token that another server has given is shown to that one only.
    """
    body = {"id": state.id, **facts}
    state = state if state.server == server.url else replace(state, token="", expires_at="", server=server.url)
    own = token or state.token
    if own or not join:
        try:
            server.post("/api/v1/nodes", body, own)
        except EnrolError as error:
            if error.status != HTTPStatus.UNAUTHORIZED or token or not join:
                raise
        else:
            return state
    joined = _given(server, state, file, server.post("/api/v1/join", {**body, "key": state.key}, join))
    log.info("joined %s as node %s", server.url, state.id)
    return joined


def renew(server: Server, state: State, file: StateFile) -> State:
    """Have the token replaced by one that counts longer. Raises EnrolError."""
    return _given(server, state, file, server.post(f"/api/v1/nodes/{state.id}/token", {}, state.token))


def renewal_in(state: State, now: datetime) -> float | None:
    """Seconds until the token should be renewed: a third of its time is then left. None for one that is not ours."""
    if not state.expires_at:
        return None
    return max(0.0, (datetime.fromisoformat(state.expires_at) - now).total_seconds() * 2 / 3)


def _given(server: Server, state: State, file: StateFile, answer: Any) -> State:
    given = replace(state, token=str(answer["token"]), expires_at=str(answer["expires_at"]), server=server.url)
    file.write(given)
    return given


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        said = json.loads(error.read(1 << 16))["error"]["message"]
    except (ValueError, KeyError, TypeError, OSError):
        said = error.reason
    return f"the server answered {error.code}: {said}"
