"""What goes over the wire, counted by the event loop's own thread, so that counting needs no lock.

`prometheus_client` reads it through the collector protocol when somebody scrapes. Labels are bounded: the route's
template and never the path, the method only if it is a known one, the class of the status and not the status.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from controller.histogram import Series

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MAX_ROUTES: Final = 500

Key = tuple[str, str, str]


class Traffic:
    """Requests, refusals and open streams. A collector for a Prometheus registry, too."""

    def __init__(self) -> None:
        self._requests: dict[Key, int] = {}
        self._durations: dict[Key, Series] = {}
        self._refused = {401: 0, 403: 0}
        self._streams = {"sse": 0, "websocket": 0}
        self.dropped_streams = 0
        """Event clients that were too slow."""

    def request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count a response. `seconds` is None where the time says nothing: streams."""
        key = (route, method if method in _METHODS else "other", f"{status // 100}xx")
        if key not in self._requests and len(self._requests) >= _MAX_ROUTES:
            key = ("other", "other", key[2])
        self._requests[key] = self._requests.get(key, 0) + 1
        if seconds is not None:
            series = self._durations.get(key)
            if series is None:
                series = self._durations[key] = Series(BOUNDS)
            series.add(seconds)

    def refused(self, status: int) -> None:
        """Count a caller who was not let in."""
        self._refused[status] = self._refused.get(status, 0) + 1

    def stream_opened(self, kind: str) -> None:
        """Count an event client in; `kind` is `sse` or `websocket`."""
        self._streams[kind] += 1

    def stream_closed(self, kind: str) -> None:
        """Count an event client out."""
        self._streams[kind] -= 1

    @property
    def connected_clients(self) -> int:
        """Event clients, SSE and WebSocket together."""
        return sum(self._streams.values())

    def collect(self) -> Iterable[Metric]:
        """Metric families for a scrape."""
        labels = ["route", "method", "code"]
        requests = CounterMetricFamily("vendetta_http_requests", "HTTP responses by route and class.", labels=labels)
        for key, count in self._requests.items():
            requests.add_metric(key, count)
        yield requests
        durations = HistogramMetricFamily(
            "vendetta_http_request_duration_seconds", "Time from request to end of response.", labels=labels
        )
        for key, series in self._durations.items():
            durations.add_metric(key, series.cumulative(), series.total)
        yield durations
        yield from self._small()

    def _small(self) -> Iterable[Metric]:
        refused = CounterMetricFamily("vendetta_auth_failures", "Requests refused at the door.", labels=["code"])
        for status, count in self._refused.items():
            refused.add_metric([str(status)], count)
        yield refused
        streams = GaugeMetricFamily("vendetta_stream_clients", "Event clients connected.", labels=["kind"])
        for kind, count in self._streams.items():
            streams.add_metric([kind], count)
        yield streams
        yield CounterMetricFamily(
            "vendetta_stream_clients_dropped", "Event clients that were too slow.", value=self.dropped_streams
        )
