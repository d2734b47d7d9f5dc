"""Handlers of `/api/v1/services`: what runs where, and how it is at this moment (contract D-1)."""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from api.errors import APIError
from api.messages import answer, context_of
from api.parameters import text
from api.v1.flat import service_view, time_view
from api.v1.listing import selector_of
from api.v1.views import ServiceView
from controller.duration import format_duration
from controller.resources.node import Node
from controller.resources.service import Service, ServiceStatus
from controller.services.board import ServiceBoard


async def list_services(request: Request) -> Response:
    """Services by node id; nodes without any are absent, `nodes` is the number of all nodes."""
    store = context_of(request).store
    found = {name: views for name, views in _chosen(request) if views}
    return answer({"services": found, "nodes": len(store.list("Node").items)})


async def get_service(request: Request) -> Response:
    """The services of that id or name, across nodes. Raises APIError (404) where there is none."""
    wanted = request.path_params["name"]
    found = {
        name: same
        for name, views in _chosen(request)
        if (same := [v for v in views if wanted in {v["id"], v["name"]}])
    }
    if not found:
        raise APIError(404, "NotFound", f'service "{wanted}" not found')
    return answer({"services": found, "count": sum(map(len, found.values()))})


def _chosen(request: Request) -> Iterator[tuple[str, list[ServiceView]]]:
    """Each node that was asked for, with those of its services that were."""
    context, only = context_of(request), text(request, "node")
    kind, status, source = text(request, "type"), text(request, "status"), text(request, "source")
    for node in context.store.list("Node", selector=selector_of(request)).items:
        if isinstance(node, Node) and only in {None, node.name}:
            yield (
                node.name,
                [
                    view
                    for view in views_of(context.services, node, kind)
                    if status in {None, view["status"]} and source in {None, view["source"]}
                ],
            )


def views_of(board: ServiceBoard, node: Node, kind: str | None) -> list[ServiceView]:
    """The node's services, sorted by id; of a node that is not active nobody knows how they are."""
    declared = {s.id: s for s in node.spec.services}
    views = (_view(declared.get(status.id), status) for status in board.look(node))
    return [view for view in views if kind in {None, view["type"]}]


def _view(declared: Service | None, status: ServiceStatus) -> ServiceView:
    """A declared service, or one that was found, as it is now."""
    service = declared or Service(id=status.id, name=status.name, type=status.type, port=status.port)
    view = service_view(service, status.status)
    view["source"] = status.source
    if status.stale:
        view["stale"] = True
    if status.message:
        view["message"] = status.message
    if (at := time_view(status.last_check)) is not None:
        view["last_check"] = at
    if status.latency is not None:
        view["latency"] = format_duration(status.latency)
    return view
