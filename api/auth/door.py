"""What both doors, with and without authentication, have in common."""

from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.types import Scope

from api.auth.cors import RawHeaders
from api.auth.headers import DoorHeaders
from api.auth.principal import Principal

PRINCIPAL: Final = "vendetta.principal"
"""Where the scope holds who is calling."""
OPEN_PATHS: Final = frozenset({"/health", "/livez", "/readyz"})
"""Health and probes: for everybody, from everywhere."""
METRICS_PATHS: Final = frozenset({"/metrics", "/metrics/prometheus"})
JOIN_PATH: Final = "/api/v1/join"
"""What is shown there is a join token, which its handler judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The request may go on. `headers` are added to its response; `preflight`: they are the whole answer."""

    principal: Principal | None
    headers: RawHeaders = field(default_factory=list)
    preflight: bool = False


class Door(Protocol):
    """Decides about one request. Raises APIError to refuse it."""

    async def admit(self, scope: Scope, headers: DoorHeaders) -> Admission:
        """Return how the request goes on."""


def plain_path(scope: Scope) -> str:
    """Return the path without its trailing slash."""
    path: str = scope["path"]
    return path.rstrip("/") or "/"


def is_preflight(scope: Scope, headers: DoorHeaders) -> bool:
    """Whether a browser asks if it may ask."""
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and bool(headers.preflight_method)
