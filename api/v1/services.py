"""Handler of `/api/v1/services`: what runs where (contract D-1)."""

from starlette.requests import Request
from starlette.responses import Response

from api.messages import answer, context_of
from api.parameters import text
from api.v1.flat import service_view, status_of
from api.v1.listing import selector_of
from api.v1.views import ServiceView
from controller.resources.node import Node


async def list_services(request: Request) -> Response:
    """Services by node id; nodes without any are absent, `nodes` is the number of all nodes."""
    store = context_of(request).store
    only, kind, selector = text(request, "node"), text(request, "type"), selector_of(request)
    everything = [n for n in store.list("Node").items if isinstance(n, Node)]
    chosen = [
        node
        for node in everything
        if (only is None or node.name == only) and (selector is None or selector.matches(node.metadata.labels))
    ]
    services = {node.name: views for node in chosen if (views := views_of(node, kind))}
    return answer({"services": services, "nodes": len(everything)})


def views_of(node: Node, kind: str | None) -> list[ServiceView]:
    """The node's services, sorted by id; of a node that is not active nobody knows how they are."""
    views = [service_view(s) for s in sorted(node.spec.services, key=lambda s: s.id) if kind in {None, s.type}]
    if status_of(node) != "active":
        for view in views:
            view["status"], view["stale"] = "unknown", True
    return views
