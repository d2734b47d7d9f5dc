"""Handlers by which machines become nodes: join tokens, joining, and the tokens of nodes (contract E-5)."""

from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.auth import node_tokens
from api.errors import forbidden
from api.messages import admission_of, answer, caller_of, context_of, read_body, warning
from api.v1.bodies import Body, JoinRequest, JoinTokenRequest
from api.v1.flat import join_token_view, node_change, node_view
from controller.admission import BadJoinToken
from controller.duration import MICROSECOND
from controller.resources.node import Node
from controller.resources.types import rfc3339

_LONGEST: Final = 256


async def make_token(request: Request) -> Response:
    """Make a join token; its text is shown only now."""
    body = await read_body(request, JoinTokenRequest) if await request.body() else JoinTokenRequest()
    lifetime = timedelta(microseconds=body.expires_in // MICROSECOND)
    token, text = await admission_of(request).joining.make(
        caller_of(request), lifetime=lifetime, node=body.node, labels=body.labels
    )
    return answer({**join_token_view(token), "token": text}, 201, _ignored(body))


async def list_tokens(request: Request) -> Response:
    """`{"join_tokens": […], "count": n}`: those that can be used, and those that were or expired of late."""
    tokens = [join_token_view(token) for token in admission_of(request).joining.all(caller_of(request))]
    return answer({"join_tokens": tokens, "count": len(tokens)})


async def revoke_token(request: Request) -> Response:
    """204: it can neither be used nor be repeated any more. A node that has joined by it stays."""
    await admission_of(request).joining.remove(request.path_params["id"], caller_of(request))
    return Response(status_code=204)


async def join(request: Request) -> Response:
    """Become a node, by a join token in `Authorization: Bearer`, and get the node's own token.

    The join token is used up. Whoever did not get the answer repeats the request with the same `key`.
    """
    context, joining = context_of(request), admission_of(request).joining
    try:
        shown = _shown(request)
        joining.check(shown)
        body = await read_body(request, JoinRequest)
        node_tokens.check_secret(context.settings.auth)
        node = await joining.join(shown, body.id, node_change(body), key=body.key or "")
    except BadJoinToken:
        context.traffic.refused(401)  # as the door counts those that it turns away
        raise
    return _with_token(request, node, {"node": _view(request, node)}, _ignored(body))


async def renew(request: Request) -> Response:
    """Give a node another token before the one that it has expires; the old one counts until it does."""
    node = admission_of(request).nodes.get(request.path_params["id"])
    if not caller_of(request).acts_for(node.uid):
        raise forbidden("only the node itself may renew its token")
    node_tokens.check_secret(context_of(request).settings.auth)
    return _with_token(request, node, {}, {})


async def revoke_tokens(request: Request) -> Response:
    """Have none of the node's tokens count any more, nor its join tokens: at once, also on open streams."""
    node = await admission_of(request).nodes.revoke_tokens(request.path_params["id"], caller_of(request))
    return answer(_view(request, node))


def _shown(request: Request) -> str:
    """The join token in the request's header. Raises BadJoinToken."""
    given = request.headers.getlist("authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST:
        raise BadJoinToken("show a join token: `Authorization: Bearer …` (`vendetta node join-token` makes one)")
    return token


def _with_token(request: Request, node: Node, content: dict[str, object], headers: dict[str, str]) -> Response:
    context = context_of(request)
    made = node_tokens.mint_for(node, context.settings.auth, context.clock.now())
    return answer({**content, "token": made.token, "expires_at": rfc3339(made.expires)}, headers=headers)


def _view(request: Request, node: Node) -> object:
    return node_view(node, admission_of(request).nodes.last_seen(node))


def _ignored(body: Body) -> dict[str, str]:
    return warning(f"ignored unknown fields: {', '.join(body.unknown)}") if body.unknown else {}
