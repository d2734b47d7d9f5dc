"""Tokens and stream tickets over HTTP (contract E-5)."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth import revocation
from api.auth.authenticator import Authenticator
from api.auth.principal import Role
from api.auth.tickets import TICKET_SECONDS
from api.auth.tokens import mint, verify
from api.context import Context
from api.errors import bad_request, conflict, not_found
from api.messages import validated
from api.routing import SHORT_ID, Operation, Path, principal_of
from controller.duration import SECOND
from controller.resources.types import Nanoseconds, Text, lasting, rfc3339
from controller.store.base import AlreadyExists, Conflict, NotFound

_JSON: Final = "application/json"
_TOKEN: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["token", "id", "subject", "role", "expires_in"],
    "properties": {
        "token": {"type": "string"},
        "id": {"type": "string", "description": "The token's jti, by which it is revoked."},
        "subject": {"type": "string"},
        "role": {"type": "string", "enum": [str(role) for role in Role]},
        "node": {"type": "string"},
        "expires_in": {"type": "integer"},
    },
}
_TICKET: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["ticket", "expires_in"],
    "properties": {"ticket": {"type": "string"}, "expires_in": {"type": "integer"}},
}
_WHO: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["name", "role"],
    "properties": {"name": {"type": "string"}, "role": {"type": "string"}, "node": {"type": "string"}},
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class TokenRequest(_Body):
    """What the new token says."""

    subject: Annotated[Text, Field(min_length=1, max_length=255)]
    """Whom it is for."""
    role: Annotated[Role, Field(strict=False)]
    """What it may do."""
    node: Annotated[Text, Field(min_length=1, max_length=255)] | None = None
    """For role node: the node's id or uid."""
    expiry: Annotated[Nanoseconds, lasting(least=SECOND)] | None = None
    """How long it counts; default auth.token_expiry."""


class TicketRequest(_Body):
    """Optional: the one path that tickets are for."""

    path: Text | None = None


def paths(context: Context) -> tuple[Path, ...]:
    """Return the routes of this module."""
    desk = _Desk(context)
    made = {201: ("The token; it is shown only now.", _TOKEN, _JSON)}
    gone = {204: ("Revoked.", None, _JSON)}
    sold = {200: ("A ticket for one connect.", _TICKET, _JSON)}
    who = {200: ("The caller.", _WHO, _JSON)}
    return (
        Path(
            template="/api/v1/tokens",
            tag="tokens",
            operations={
                "POST": Operation(
                    handler=desk.create, summary="Make a token", role=Role.ADMIN, body=TokenRequest, responses=made
                )
            },
        ),
        Path(
            template="/api/v1/tokens/{jti}",
            tag="tokens",
            operations={
                "DELETE": Operation(handler=desk.revoke, summary="Revoke a token", role=Role.ADMIN, responses=gone)
            },
        ),
        Path(
            template="/api/v1/stream-tickets",
            tag="tokens",
            operations={
                "POST": Operation(
                    handler=desk.sell,
                    summary="Get a ticket for the event stream",
                    body=TicketRequest,
                    body_rule={"properties": {"path": {"enum": [context.settings.websocket.path, None]}}},
                    body_required=False,
                    responses=sold,
                )
            },
        ),
        Path(
            template="/api/v1/whoami",
            tag="tokens",
            operations={"GET": Operation(handler=desk.whoami, summary="Who is calling", role=None, responses=who)},
        ),
    )


class _Desk:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings
        self._authenticator = Authenticator(context.settings, context.store, context.clock)

    async def create(self, request: Request) -> Response:
        """Sign a new token."""
        if not self._settings.auth.enabled:
            raise conflict("auth.enabled is false, so that tokens mean nothing: set it to true first")
        body = validated(TokenRequest, await request.body())
        now = self._context.clock.now()
        seconds = (body.expiry or self._settings.auth.token_expiry) // SECOND
        node = self._node_uid(body.node) if body.node is not None else None
        secret = self._settings.auth.jwt_secret.get_secret_value()
        try:
            token = mint(secret, subject=body.subject, role=body.role, node=node, expiry_seconds=seconds, now=now)
        except ValueError as error:
            raise bad_request(str(error)) from None
        content = {
            "token": token,
            "id": verify(token, secret, now).token_id,
            "subject": body.subject,
            "role": str(body.role),
            "expires_in": seconds,
        }
        if node is not None:
            content["node"] = node
        return JSONResponse(content, HTTPStatus.CREATED, {"Cache-Control": "no-store"})

    def _node_uid(self, name: str) -> str:
        node = self._context.store.get("Node", name)
        if node is not None:
            return node.uid
        if any(item.uid == name for item in self._context.store.list("Node").items):
            return name
        raise not_found("Node", name)

    async def revoke(self, request: Request) -> Response:
        """Revoke a token by its id; doing it twice is no error."""
        jti = request.path_params["jti"]
        if not SHORT_ID.fullmatch(jti):
            raise bad_request("a token's id is a short printable text, without spaces")
        store, caller = self._context.store, principal_of(request.scope)
        with suppress(AlreadyExists):
            await store.write(revocation.record(jti, None, by=caller.name))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def sell(self, request: Request) -> Response:
        """Sell a ticket for the event stream to whoever may read it."""
        path = self._settings.websocket.path
        if body := await request.body():
            wanted = validated(TicketRequest, body)
            if wanted.path not in {None, path}:
                raise bad_request(f"tickets are for {path} only")
        await self._tidy()
        ticket = self._authenticator.issue_ticket(principal_of(request.scope))
        return JSONResponse({"ticket": ticket, "expires_in": TICKET_SECONDS}, headers={"Cache-Control": "no-store"})

    async def _tidy(self) -> None:
        """Drop records of used tickets. Here, because here they are made."""
        store = self._context.store
        if stale := revocation.outdated(store, self._context.clock.now()):
            with suppress(Conflict, NotFound):  # another request or replica was faster
                await store.write(*stale)

    async def whoami(self, request: Request) -> Response:
        """Tell the caller who it is."""
        caller = principal_of(request.scope)
        content: dict[str, object] = {"name": caller.name, "role": str(caller.role)}
        if caller.node_uid is not None:
            content["node"] = caller.node_uid
        if caller.expires is not None:
            content["token_id"] = caller.token_id
            content["expires"] = rfc3339(datetime.fromtimestamp(caller.expires, UTC))
        return JSONResponse(content, headers={"Cache-Control": "no-store"})
