"""`GET /api/v1/sd/prometheus`: the services known, as Prometheus' HTTP service discovery takes them (contract D-5).

One target a service: its endpoint, or its port on the node's address. What there is to know of it are meta labels,
`__meta_vendetta_…`, from which `relabel_configs` choose; names of node labels and metadata are made fit as in
Prometheus' own discoveries. A service without a port is no target.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.messages import JSON, context_of, etag
from api.parameters import text
from api.v1.flat import status_of
from api.v1.listing import selector_of
from api.v1.services import views_of
from api.v1.views import ServiceView, TargetGroup
from controller.resources.node import Node
from controller.services.board import ServiceBoard

HEALTHY: Final = frozenset({"running", "degraded", "healthy", "passing", "up"})
"""What a service's status may say for it to count as healthy: a degraded one has not failed for long enough."""
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_]")
_META: Final = "__meta_vendetta_"


async def prometheus_targets(request: Request) -> Response:
    """A list of target groups, with an entity tag: an unchanged one is answered with 304."""
    store, board, selector = context_of(request).store, context_of(request).services, selector_of(request)
    kind, health = text(request, "type"), text(request, "healthy")
    wanted = None if health is None else health in {"true", "1"}
    source = text(request, "source") or "declared"
    groups = [
        group
        for node in store.list("Node", selector=selector).items
        if isinstance(node, Node)
        for group in _groups(board, node, kind, source, healthy=wanted)
    ]
    body = to_json(groups)
    tag = etag(hashlib.sha256(body).hexdigest()[:32])
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag, "Cache-Control": "no-cache"}, media_type=JSON)


def _groups(
    board: ServiceBoard, node: Node, kind: str | None, source: str, *, healthy: bool | None
) -> Iterator[TargetGroup]:
    for view in views_of(board, node, kind):
        if view["source"] != source:
            continue
        if healthy is not None and healthy != (view["status"] in HEALTHY and not view.get("stale", False)):
            continue
        if (target := _target(node, view)) is not None:
            yield {"targets": [target[0]], "labels": {**_labels(node, view), **target[1]}}


def _target(node: Node, view: ServiceView) -> tuple[str, dict[str, str]] | None:
    """Host and port, and what else a scrape has to know; None where there is nothing to scrape."""
    endpoint = view["endpoint"] or ""
    if "://" in endpoint:
        return _by_url(endpoint)
    if endpoint:
        return endpoint, {}
    if view["port"] is None or not node.spec.address:
        return None
    host = f"[{node.spec.address}]" if ":" in node.spec.address else node.spec.address
    return f"{host}:{view['port']}", {}


def _by_url(endpoint: str) -> tuple[str, dict[str, str]] | None:
    try:
        parts = urlsplit(endpoint)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}", _scrape(parts)


def _scrape(parts: SplitResult) -> dict[str, str]:
    """The scheme where it is one that can be scraped; the path where there is one."""
    found = {"__scheme__": parts.scheme} if parts.scheme in {"http", "https"} else {}
    return found | ({"__metrics_path__": parts.path} if parts.path.strip("/") else {})


def _labels(node: Node, view: ServiceView) -> dict[str, str]:
    labels = {
        f"{_META}node": node.name,
        f"{_META}node_uid": node.uid,
        f"{_META}node_status": status_of(node),
        f"{_META}provider": node.spec.provider,
        f"{_META}address": node.spec.address,
        f"{_META}service_id": view["id"],
        f"{_META}service": view["name"] or view["id"],
        f"{_META}service_type": view["type"],
        f"{_META}service_status": view["status"],
        f"{_META}service_stale": "true" if view.get("stale", False) else "false",
    }
    labels |= _named("node_label_", node.metadata.labels) | _named("node_labelpresent_", node.metadata.labels, _true)
    return labels | _named("service_metadata_", view.get("metadata", {}))


def _true(_value: str) -> str:
    return "true"


def _named(prefix: str, given: Mapping[str, str], value: Callable[[str], str] = str) -> dict[str, str]:
    return {f"{_META}{prefix}{_UNFIT.sub('_', key)}": value(held) for key, held in given.items()}
