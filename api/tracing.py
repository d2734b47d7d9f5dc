"""Traces for OpenTelemetry: of each request, and of each command from it through the controller to the node and back.

A command's trace is made of its timeline when it has ended, so it costs nothing on the way, survives a restart of the
server, and has the times that were really measured. Where it belongs stands in an annotation, put there by the
request that made it; the id of its span follows from its uid, so that the node could be told of it before.

On where `OTEL_EXPORTER_OTLP_ENDPOINT` (or its form for traces) is set; the other variables of OpenTelemetry's SDK
count as well. Needs the extra `otel`.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.routing import TEMPLATE
from controller.resources.command import Command
from controller.store.base import Expired, Store, Unavailable
from controller.timeline import timeline
from controller.tracecontext import TRACEPARENT, span_id_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

    from api.spanids import SpanIds

log = structlog.get_logger(__name__)

HERE: Final = "vendetta.traceparent"
"""Where the scope holds the request's place in its trace, as W3C's `traceparent`."""
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_QUIET: Final = frozenset({"/health", "/livez", "/readyz", "/metrics", "/metrics/prometheus"})
"""Asked all the time by machines: no traces of these."""
_ENDED: Final = "command_result"
_CLOSE_LIMIT: Final = 2.0
"""Seconds that the last traces may take on shutdown."""


class ExtraMissing(Exception):
    """Traces are wanted, and the packages for them are not installed."""


def open_tracing(environ: Mapping[str, str], version: str) -> "Tracing | None":
    """Tracing as the environment wants it; None where it wants none. Raises ExtraMissing."""
    if not any(environ.get(name) for name in _ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - likewise
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - likewise
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - likewise

        from api.spanids import SpanIds  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ExtraMissing(
            f"traces are wanted ({_ENDPOINTS[0]}), and {error.name} is not installed: pip install 'vendetta[otel]'"
        ) from error
    named = {"service.version": version} | ({} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "vendetta"})
    ids = SpanIds()
    provider = TracerProvider(resource=Resource.create(named), id_generator=ids)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, ids)


class Tracing:
    """Makes spans of requests and of commands that have ended."""

    def __init__(self, provider: "TracerProvider", ids: "SpanIds") -> None:
        self._provider, self._ids = provider, ids
        self._tracer = provider.get_tracer("vendetta")

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application, with a span for each HTTP request that is no probe."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in _QUIET:
                await app(scope, receive, send)
            else:
                await self._request(app, scope, receive, send)

        return traced

    async def follow(self, store: Store) -> None:
        """Tell of commands as they end, until cancelled or the store closes."""
        while True:
            with contextlib.suppress(Expired):  # too slow for the history: what was missed has no trace
                try:
                    await self._follow(store)
                except Unavailable:
                    return

    async def aclose(self) -> None:
        """Send what is not sent yet, within a limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT):
                await asyncio.to_thread(self._provider.shutdown)

    async def _follow(self, store: Store) -> None:
        async with store.watch(frozenset({"Command"})) as watch:
            async for change in watch:
                if change.announce == _ENDED and isinstance(change.obj, Command) and not change.obj.status.late:
                    self.command(change.obj)

    async def _request(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415 - an extra

        caller = _context_of(dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1"))
        method = scope["method"]
        span = self._tracer.start_span(method, context=caller, kind=SpanKind.SERVER)
        scope[HERE] = _traceparent_of(span)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
                if message["status"] >= 500:
                    span.set_status(StatusCode.ERROR)
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            route = scope.get(TEMPLATE, "")
            span.update_name(f"{method} {route}".rstrip())
            span.set_attributes({"http.request.method": method, "http.route": route})
            span.end()

    def command(self, command: Command) -> None:
        """The spans of a command that has ended: one of the whole, and one for each phase that it went through."""
        from opentelemetry.trace import StatusCode, set_span_in_context  # noqa: PLC0415 - an extra

        status, moments = command.status, timeline(command)
        with self._ids.known(span_id_of(command.uid)):
            whole = self._tracer.start_span(
                "command",
                context=_context_of(command.metadata.annotations.get(TRACEPARENT, "")),
                start_time=_nanoseconds(moments[0].at),
                attributes={
                    "vendetta.command.id": command.name,
                    "vendetta.command.uid": command.uid,
                    "vendetta.node": command.spec.node,
                    "vendetta.status": status.phase,
                    "vendetta.reason": status.reason,
                },
            )
        if status.exit_code is not None:
            whole.set_attribute("process.exit.code", status.exit_code)
        if status.phase != "success":
            whole.set_status(StatusCode.ERROR, status.reason)
        inside = set_span_in_context(whole)
        for moment, after in pairwise(moments):
            attributes = {"vendetta.reason": moment.reason}
            start = _nanoseconds(moment.at)
            part = self._tracer.start_span(moment.phase, context=inside, start_time=start, attributes=attributes)
            part.end(_nanoseconds(after.at))
        whole.end(_nanoseconds(moments[-1].at))


def _context_of(traceparent: str) -> "Context":
    """The place that a `traceparent` names; a new trace where it makes no sense."""
    from opentelemetry.context import Context  # noqa: PLC0415 - an extra
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - likewise

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, context=Context())


def _traceparent_of(span: object) -> str:
    from opentelemetry.trace import Span, set_span_in_context  # noqa: PLC0415 - an extra
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - likewise

    assert isinstance(span, Span)
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context=set_span_in_context(span))
    return carrier.get("traceparent", "")


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
