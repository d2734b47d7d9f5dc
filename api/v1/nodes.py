"""Handlers of `/api/v1/nodes` (contract B)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.encoding import Latest
from api.errors import APIError, bad_request
from api.messages import (
    JSON,
    MERGE_PATCH,
    admission_of,
    answer,
    caller_of,
    check_type,
    context_of,
    etag,
    merge_patch,
    object_of,
    read_body,
    validated,
    warning,
)
from api.parameters import text
from api.v1.bodies import Body, Heartbeat, NodeChange, NodeRegistration, TrustRequest
from api.v1.flat import (
    capabilities_of,
    declared_services,
    node_change,
    node_status_view,
    node_view,
    services_of,
    status_of,
)
from api.v1.listing import collect, listed, listing
from controller.admission import Stale
from controller.resources.node import Node

_READ_ONLY: Final = frozenset({"created_at", "updated_at", "last_seen", "conditions", "uid", "host_keys"})
"""What a client may send back as it was read, and what means nothing then."""


async def register(request: Request) -> Response:
    """Create the node or bring it up to date; 200 with the whole node either way (B-1)."""
    body = await read_body(request, NodeRegistration)
    node = await admission_of(request).nodes.register(body.id, node_change(body), caller_of(request))
    return _whole(request, node, _ignored(body))


async def list_nodes(request: Request) -> Response:
    """`{"nodes": […], "count": n}`, sorted by id (B-4)."""
    if request.scope["query_string"]:
        return listing(_selected(request))
    context = context_of(request)
    key = (context.store.uid, context.store.revision(), context.contacts.version)
    return listing(_WHOLE.get(key) or _WHOLE.keep(key, _selected(request)))


def _selected(request: Request) -> bytes:
    status, provider = text(request, "status"), text(request, "provider")

    def wanted(node: Node) -> bool:
        return (status is None or status_of(node) == status) and (provider is None or node.spec.provider == provider)

    found = collect(request, Node, None if status is provider is None else wanted)
    nodes = admission_of(request).nodes
    return listed("nodes", [_LINES.line(n, nodes.last_seen(n)) for n in found.items], found)


async def get_node(request: Request) -> Response:
    """The bare node, with its version as entity tag."""
    node = admission_of(request).nodes.get(request.path_params["id"])
    if request.headers.get("if-none-match") == etag(node.metadata.resource_version):
        return Response(status_code=304, headers={"ETag": etag(node.metadata.resource_version)})
    return _whole(request, node, {})


async def get_status(request: Request) -> Response:
    """The node's status, when it was last seen, and how long it has been active (B-5)."""
    nodes = admission_of(request).nodes
    node = nodes.get(request.path_params["id"])
    return answer(node_status_view(node, nodes.last_seen(node), context_of(request).clock.now()))


async def put_node(request: Request) -> Response:
    """Replace the fields given, clear those that are null, leave the rest (B-6)."""
    body = await read_body(request, NodeChange)
    change = node_change(body)

    def checked(node: Node) -> Node:
        _check_immutable(node, body)
        return change(node)

    return await _change(request, checked, body.resource_version, _ignored(body))


async def patch_node(request: Request) -> Response:
    """JSON merge patch (RFC 7396) of the node as GET shows it."""
    check_type(request, (MERGE_PATCH, JSON))
    patch = object_of(await request.body())
    body = validated(NodeChange, to_json({k: v for k, v in patch.items() if not isinstance(v, dict)}))

    def merged(node: Node) -> Node:
        whole: dict[str, Any] = {**node_view(node, None), "services": declared_services(node)}
        fields = {key: None if value is None else merge_patch(whole.get(key), value) for key, value in patch.items()}
        asked = validated(NodeChange, to_json(fields))
        _check_immutable(node, asked)
        return node_change(asked)(node)

    return await _change(request, merged, body.resource_version, _ignored(body))


async def delete_node(request: Request) -> Response:
    """204; the node need not answer, commands under way become unknown (B-7). 202 while finalizers hold it back."""
    gone = await admission_of(request).nodes.delete(request.path_params["id"], caller_of(request))
    return Response(status_code=202 if gone.metadata.finalizers else 204)


async def heartbeat(request: Request) -> Response:
    """204; the server's clock wins, and nothing that was decided changes (B-8)."""
    body = await read_body(request, Heartbeat) if await request.body() else Heartbeat()
    await admission_of(request).nodes.heartbeat(
        request.path_params["id"],
        caller_of(request),
        services=None if body.services is None else services_of(body.services),
        capabilities=None if body.capabilities is None else capabilities_of(body.capabilities),
    )
    return Response(status_code=204, headers=_ignored(body))


async def trust(request: Request) -> Response:
    """Accept a host key that the node presented (E-7), or another place for its credential (B-2)."""
    body = await read_body(request, TrustRequest)
    node = await admission_of(request).nodes.trust(
        request.path_params["id"], caller_of(request), fingerprint=body.fingerprint, credential=body.credential
    )
    return _whole(request, node, _ignored(body))


def _whole(request: Request, node: Node, headers: dict[str, str]) -> Response:
    view = node_view(node, admission_of(request).nodes.last_seen(node))
    return answer(view, headers={"ETag": etag(node.metadata.resource_version), **headers})


class _Lines:
    """Nodes as JSON, encoded again only when a node or its last contact has changed. One entry a node."""

    def __init__(self, limit: int = 50_000) -> None:
        self._limit = limit
        self._known: dict[str, tuple[Node, datetime | None, bytes]] = {}

    def line(self, node: Node, last_seen: datetime | None) -> bytes:
        """The node's JSON."""
        uid = node.metadata.uid
        known = self._known.get(uid)
        if known is not None and known[0] is node and known[1] == last_seen:
            return known[2]
        body = to_json(node_view(node, last_seen))
        self._known[uid] = (node, last_seen, body)
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]
        return body


_LINES: Final = _Lines()
_WHOLE: Final = Latest()


def _ignored(body: Body) -> dict[str, str]:
    """The warning about fields that mean nothing here."""
    names = [name for name in body.unknown if name not in _READ_ONLY]
    return warning(f"ignored unknown fields: {', '.join(names)}") if names else {}


def _check_immutable(node: Node, body: NodeChange) -> None:
    if body.id not in {None, node.name}:
        raise bad_request("id cannot change: register the node anew under another id")
    created = node_view(node, None)["created_at"]
    if body.created_at not in {None, created}:
        raise bad_request("created_at cannot change")


async def _change(
    request: Request, change: Callable[[Node], Node], version: str | None, headers: dict[str, str]
) -> Response:
    """Change the node under the version that the client named, in If-Match (412) or in the body (409)."""
    nodes, name = admission_of(request).nodes, request.path_params["id"]
    match = request.headers.get("if-match", "*").strip()
    wanted = version or ""
    if match != "*":
        wanted = match.removeprefix("W/").strip('"')
    try:
        node = await nodes.update(name, change, caller_of(request), version=wanted)
    except Stale as stale:
        if match != "*":
            raise APIError(412, "PreconditionFailed", str(stale)) from None
        raise
    return _whole(request, node, headers)
