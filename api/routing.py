"""The route table: one entry a path, one operation a method; routes and the OpenAPI document both come from it.

One Starlette route a path (so 405 carries the right `Allow`, and HEAD and OPTIONS work), with and without a
trailing slash (contract B-9). The role an operation needs stands beside it and is checked before its handler runs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.auth.principal import Role

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query or header parameter, for the OpenAPI document and for refusing unknown or malformed ones."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    where: str = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `role` None: anybody who got past the door may call it.

    `stream`: the response has no end of its own, so write_timeout does not apply.
    `responses` maps a status to (description, model or JSON schema or None, media type).
    """

    handler: Handler
    summary: str
    role: Role | None = Role.VIEWER
    body: type[BaseModel] | Mapping[str, Any] | None = None
    parameters: tuple[Parameter, ...] = ()
    responses: Mapping[int, tuple[str, type[BaseModel] | Mapping[str, Any] | None, str]] = field(default_factory=dict)
    stream: bool = False
    open: bool = False
    """Reachable without authentication and from anywhere (health and probes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One path template in Starlette's syntax, with its operations by method."""

    template: str
    operations: Mapping[str, Operation]
    tag: str = ""
