"""What a store measures of itself: read through the collector protocol when somebody scrapes."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.histogram import Series

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class StoreMeter(Collector):
    """Counted by the event loop's thread only, so that counting needs no lock."""

    def __init__(self, revision: Callable[[], int], size: Callable[[], int | None] = lambda: None) -> None:
        """`size`: bytes on disk; None where nothing is."""
        self._revision, self._size = revision, size
        self.writes = Series(BOUNDS)
        """Seconds from a write's beginning until it is durable and can be seen."""
        self.failures = 0
        """Writes that could not be made durable."""

    def collect(self) -> Iterator[Metric]:
        """Metric families for a scrape."""
        name, text = "vendetta_store_write_duration_seconds", "Time until a write is durable."
        yield HistogramMetricFamily(name, text, buckets=self.writes.cumulative(), sum_value=self.writes.total)
        yield CounterMetricFamily(
            "vendetta_store_write_failures", "Writes that could not be made durable.", value=self.failures
        )
        yield GaugeMetricFamily("vendetta_store_revision", "The newest revision.", value=self._revision())
        size = self._size()
        if size is not None:
            yield GaugeMetricFamily("vendetta_store_size_bytes", "The store's files on disk.", value=size)
