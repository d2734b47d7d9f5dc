"""Histograms that the event loop's own thread counts, so that counting needs no lock and costs next to nothing.

`prometheus_client` reads them through the collector protocol when somebody scrapes.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Series:
    """One histogram: how many values were up to each bound, and their sum."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Buckets as Prometheus wants them: each holds everything up to its bound."""
        result, seen = [], 0
        for bound, count in zip((*self.bounds, None), self.buckets, strict=True):
            seen += count
            result.append(("+Inf" if bound is None else str(bound), float(seen)))
        return result


class Phases(Collector):
    """Seconds that commands spent in each phase. The phases are known from the start, so the label is bounded."""

    def __init__(self, name: str, help_text: str, phases: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._help = name, help_text
        self._series = {phase: Series(bounds) for phase in phases}

    def add(self, spent: Mapping[str, float]) -> None:
        """Count one command."""
        for phase, seconds in spent.items():
            self._series[phase].add(seconds)

    def collect(self) -> Iterator[Metric]:
        """The metric family for a scrape."""
        family = HistogramMetricFamily(self._name, self._help, labels=["phase"])
        for phase, series in self._series.items():
            family.add_metric([phase], series.cumulative(), series.total)
        yield family
