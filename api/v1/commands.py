"""Handlers of commands (contract C), all but their output."""

from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.encoding import Encoder
from api.errors import bad_request, conflict
from api.layers import allow_time
from api.messages import admission_of, answer, caller_of, context_of, etag, read_body, warning
from api.parameters import text
from api.v1.bodies import Body, ClaimRequest, CommandRequest, ResultReport
from api.v1.flat import command_spec, command_view, report_of
from api.v1.listing import collect, listed, listing
from api.waiting import until_ended
from controller.duration import MICROSECOND, SECOND, parse_duration
from controller.resources.command import Command, CommandParams
from controller.resources.meta import ObjectMeta, Resource
from controller.resources.scheme import KINDS
from controller.settings import Settings

MARGIN: Final = 2 * SECOND
"""How long before write_timeout a waiting request gives up."""


async def send_command(request: Request) -> Response:
    """Accept a command and wait for its end, as long as C-5 says. A client that hangs up cancels nothing."""
    body = await read_body(request, CommandRequest)
    spec = command_spec(request.path_params["id"], body)
    meta = ObjectMeta(name=_own_id(request, body), labels=body.labels, annotations=body.metadata)
    command = await admission_of(request).commands.create(spec, caller_of(request), meta)
    context = context_of(request)
    seconds = _wait_seconds(request, command.spec.params, context.settings)
    if seconds > 0 and not command.ended:
        allow_time(request.scope, seconds + MARGIN / SECOND)
        command = await until_ended(context.store, command, seconds, context.stopping)
    return _result(command, _ignored(body))


async def list_commands(request: Request) -> Response:
    """`{"commands": […], "count": n}`, sorted by id (C-11)."""
    node, status = text(request, "node"), text(request, "status")
    since = _since(text(request, "since"), context_of(request).clock.now())

    def wanted(command: Command) -> bool:
        created = command.metadata.creation_timestamp
        return (
            (node is None or command.spec.node == node)
            and (status is None or command.status.phase == status)
            and (since is None or (created is not None and created >= since))
        )

    found = collect(request, Command, wanted if node or status or since else None)
    return listing(listed("commands", [_ENCODER.encode(c) for c in found.items], found))


async def get_command(request: Request) -> Response:
    """The command and what became of it."""
    command = admission_of(request).commands.get(request.path_params["id"])
    return answer(command_view(command), headers={"ETag": etag(command.metadata.resource_version)})


async def cancel_command(request: Request) -> Response:
    """Ask for its cancellation: 202, or 200 when it has ended already."""
    command = await admission_of(request).commands.cancel(request.path_params["id"], caller_of(request))
    return _result(command, {})


async def claim_commands(request: Request) -> Response:
    """Hand commands to an agent that reports by itself: each once, with the nonce for its report (C-13)."""
    body = await read_body(request, ClaimRequest) if await request.body() else ClaimRequest()
    claims = await admission_of(request).claiming.claim(
        request.path_params["id"], caller_of(request), limit=body.limit
    )
    handed = [{**command_view(claim.command), "nonce": claim.nonce} for claim in claims.claims]
    content = {"commands": handed, "count": len(handed), "cancelled": claims.cancelled}
    return answer(content, headers=_ignored(body))


async def report_result(request: Request) -> Response:
    """Take a result that an agent reports by itself: 202, also for an identical repeat (C-13)."""
    body = await read_body(request, ResultReport)
    command = await admission_of(request).commands.report(
        request.path_params["id"], report_of(body), caller_of(request)
    )
    return answer({"id": command.name, "status": command.status.phase}, 202, _ignored(body))


def _encode(command: Resource) -> bytes:
    assert isinstance(command, Command)
    return to_json(command_view(command))


_ENCODER: Final = Encoder(_encode)


def _result(command: Command, headers: dict[str, str]) -> Response:
    """200 when it has ended, whatever the outcome; else 202 and where to look."""
    view = command_view(command)
    if command.ended:
        return answer(view, 200, headers)
    return answer(view, 202, {"Location": f"/api/v1/commands/{command.name}", **headers})


def _own_id(request: Request, body: CommandRequest) -> str:
    """The client's own id, from the body or from `Idempotency-Key`; empty: one is minted."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return body.id or ""
    key = given.strip().removeprefix('"').removesuffix('"')
    if not KINDS["Command"].name_pattern.fullmatch(key):
        raise bad_request("Idempotency-Key: at most 128 of [A-Za-z0-9._-], the first one alphanumeric")
    if body.id not in {None, key}:
        raise conflict("id and Idempotency-Key differ: give one of them")
    return key


def _wait_seconds(request: Request, params: CommandParams, settings: Settings) -> float:
    """How long to wait (C-5): as asked for, else what the command may take, within write_timeout."""
    asked = text(request, "wait")
    if asked is not None:
        return parse_duration(asked) / SECOND
    if "respond-async" in request.headers.get("prefer", "").lower():
        return 0
    takes = params.delivery_timeout + params.timeout + params.grace + 5 * SECOND
    return max(SECOND, min(takes, settings.server.write_timeout - MARGIN)) / SECOND


def _since(given: str | None, now: datetime) -> datetime | None:
    """A time (RFC 3339), or a duration before now. Raises APIError (400)."""
    if given is None:
        return None
    try:
        return now - timedelta(microseconds=parse_duration(given) // MICROSECOND)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise bad_request("since: write a time like 2026-01-13T18:17:00Z or a duration like 10m") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _ignored(body: Body) -> dict[str, str]:
    return warning(f"ignored unknown fields: {', '.join(body.unknown)}") if body.unknown else {}
