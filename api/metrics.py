"""Metrics: the document's JSON, and Prometheus' formats for those who ask for them (contract D-4)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth.principal import Role
from api.census import Counted
from api.context import Context
from api.parameters import Parameter, text
from api.routing import Operation, Path
from controller.resources.types import rfc3339

_JSON: Final = "application/json"
_PROMETHEUS_TYPES: Final = frozenset({"text/plain", "application/openmetrics-text"})
_VERSION: Final = re.compile(r";\s*version=([^;,\s]*)")
_VERSIONS: Final = frozenset({"0.0.1", "0.0.4", "1.0.0", "2.0.0"})
_VARY: Final = {"Vary": "Accept"}
_COUNTS: Final[Mapping[str, Any]] = {"type": "object", "additionalProperties": {"type": "integer"}}
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["timestamp", "nodes", "services", "websocket"],
    "properties": {
        "timestamp": {"type": "string", "format": "date-time"},
        "nodes": {
            "type": "object",
            "required": ["total", "by_status", "by_provider"],
            "properties": {"total": {"type": "integer"}, "by_status": _COUNTS, "by_provider": _COUNTS},
        },
        "services": {"type": "object", "properties": {"total": {"type": "integer"}}},
        "websocket": {"type": "object", "properties": {"connected_clients": {"type": "integer"}}},
        "commands": {"type": "object", "properties": {"by_status": _COUNTS}},
    },
}


def paths(context: Context) -> tuple[Path, ...]:
    """Return the routes of this module."""
    meter, public = Meter(context), context.settings.metrics.public
    both = Parameter(
        name="format", description="Overrides Accept.", schema={"type": "string", "enum": ["json", "prometheus"]}
    )
    page = ("In Prometheus' text format or OpenMetrics.", None, "text/plain")
    return (
        Path(
            template="/metrics",
            tag="monitoring",
            operations={
                "GET": Operation(
                    handler=meter.negotiated,
                    summary="Metrics as JSON, or as Accept asks for them",
                    role=None if public else Role.VIEWER,
                    open=public,
                    parameters=(both,),
                    responses={200: (("The numbers.", _SCHEMA, _JSON), page)},
                )
            },
        ),
        Path(
            template="/metrics/prometheus",
            tag="monitoring",
            operations={
                "GET": Operation(
                    handler=meter.prometheus,
                    summary="Metrics for Prometheus",
                    role=None if public else Role.VIEWER,
                    open=public,
                    responses={200: page},
                )
            },
        ),
    )


class Meter:
    """Everything that is measured, in both formats."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._counted = Counted(context.store)
        own = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=own)
        self._collectors = (own, context.metrics.registry, context.traffic, context.store.meter)

    async def negotiated(self, request: Request) -> Response:
        """Answer in the format asked for: JSON, unless one of Prometheus' types is named."""
        wanted = text(request, "format")
        accept = request.headers.get("accept", "")
        if wanted == "prometheus" or (wanted is None and _names_prometheus(accept)):
            return self._page(accept if wanted is None else "")
        return JSONResponse(self._numbers(), headers=_VARY)

    async def prometheus(self, request: Request) -> Response:
        """Answer in one of Prometheus' formats."""
        return self._page(request.headers.get("accept", ""))

    def _page(self, accept: str) -> Response:
        encoder, content_type = choose_encoder(_known_versions(accept))
        response = Response(encoder(self), headers=_VARY)
        response.headers["content-type"] = content_type  # as it is: Prometheus fails a scrape over a wrong one
        return response

    def collect(self) -> Iterable[Metric]:
        """All metric families: the collector protocol that the encoders read."""
        for collector in self._collectors:
            yield from collector.collect()
        census = self._counted.census()
        nodes = GaugeMetricFamily(
            "vendetta_nodes", "Nodes in the store, by effective status and provider.", labels=["status", "provider"]
        )
        for pair, count in census.nodes_by_status_and_provider.items():
            nodes.add_metric(pair, count)
        yield nodes
        commands = GaugeMetricFamily("vendetta_commands", "Commands stored, by status.", labels=["status"])
        for status, count in census.commands_by_status.items():
            commands.add_metric([status], count)
        yield commands
        now = self._context.clock.now()
        waits = (now - (census.oldest_pending or now)).total_seconds()
        yield GaugeMetricFamily(
            "vendetta_commands_oldest_pending_seconds",
            "Age of the command in the store that waits longest.",
            value=max(0.0, waits),
        )
        yield GaugeMetricFamily("vendetta_services", "Services in the store.", value=census.services)
        services = GaugeMetricFamily(
            "vendetta_services_by_status", "Services declared or found, by status.", labels=["status"]
        )
        for status, count in census.services_by_status.items():
            services.add_metric([status], count)
        yield services
        stale = GaugeMetricFamily(
            "vendetta_services_stale",
            "Services of which nothing is known: not checked lately (check), or on a node that is not active (node).",
            labels=["reason"],
        )
        for reason, count in census.services_stale.items():
            stale.add_metric([reason], count)
        yield stale
        info = GaugeMetricFamily("vendetta_build_info", "Always 1; the version is the label.", labels=["version"])
        info.add_metric([self._context.version], 1)
        yield info

    def _numbers(self) -> dict[str, object]:
        census = self._counted.census()
        return {
            "timestamp": rfc3339(self._context.clock.now()),
            "nodes": {
                "total": census.nodes,
                "by_status": dict(census.by_status),
                "by_provider": dict(census.by_provider),
            },
            "services": {"total": census.services},
            "websocket": {"connected_clients": self._context.traffic.connected_clients},
            "commands": {"by_status": dict(census.commands_by_status)},
        }


def _names_prometheus(accept: str) -> bool:
    """Whether one of Prometheus' types is named, and JSON or a browser's HTML is not preferred."""
    for offer in accept.lower().split(","):
        name, _, parameters = offer.partition(";")
        if name.strip() in _PROMETHEUS_TYPES:
            return "q=0" not in parameters.replace(" ", "").split(";")
        if name.strip() in {_JSON, "text/html"}:
            return False
    return False


def _known_versions(accept: str) -> str:
    """Leave out versions that do not exist: the library would promise them, or fail at what is no number."""
    offers = accept.split(",")
    return ",".join(o for o in offers if not (found := _VERSION.search(o)) or found[1] in _VERSIONS)
