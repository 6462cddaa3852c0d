"""prometheus-client: what the sidecar counts itself, as plain numbers; families are made of them when somebody asks.

The library's own counters lock and check at every step, 1 us each, several times a call. Here one thread counts, the
loop's. A scrape, in another thread, copies what it shows: it may see a call counted and its seconds not yet.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

# As with the library's own. https://prometheus.github.io/client_python/instrumenting/#disabling-_created-metrics
CREATED = os.environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "False").lower() not in ("true", "1", "t")


class Counted:
    """A counter: for each combination of label values that was seen how much, and since when."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self._about = name, text, labels
        self._values: dict[tuple[str, ...], float] = {}
        self._since: dict[tuple[str, ...], float] = {}
        if not labels:
            self.add(by=0.0)

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count this many more; `by` is never negative."""
        if labels in self._values:
            self._values[labels] += by
        else:
            self._since[labels] = time.time()
            self._values[labels] = by

    def family(self) -> Metric:
        name, text, names = self._about
        family = CounterMetricFamily(name, text, labels=names)
        for labels, value in self._values.copy().items():
            family.add_metric(labels, value, self._since[labels] if CREATED else None)
        return family


class Timed:
    """A histogram of seconds, by provider."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._about = name, text
        self._bounds = bounds
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._seen: dict[str, _Seconds] = {}

    def observe(self, provider: str, seconds: float) -> None:
        seen = self._seen.get(provider)
        if seen is None:
            seen = self._seen[provider] = _Seconds(len(self._names))
        seen.total += seconds
        seen.numbers[bisect_left(self._bounds, seconds)] += 1

    def family(self) -> Metric:
        name, text = self._about
        family = HistogramMetricFamily(name, text, labels=["provider"])
        for provider, seen in self._seen.copy().items():
            buckets = zip(self._names, map(float, accumulate(seen.numbers.copy())), strict=True)
            family.add_metric([provider], [*buckets], seen.total)
            if CREATED:
                family.add_sample(f"{name}_created", {"provider": provider}, seen.since)
        return family


class _Seconds:
    """Of one provider: how many fell between two bounds, and all together."""

    __slots__ = ("numbers", "since", "total")

    def __init__(self, buckets: int) -> None:
        self.numbers = [0] * buckets
        self.total = 0.0
        self.since = time.time()


class Level:
    """A gauge: what is now."""

    def __init__(self, name: str, text: str) -> None:
        self._about = name, text
        self.value = 0.0

    def family(self) -> Metric:
        return GaugeMetricFamily(*self._about, value=self.value)


class Figures(Collector):
    """All of these, in order."""

    def __init__(self, figures: Iterable[Counted | Timed | Level]) -> None:
        self._families: list[Callable[[], Metric]] = [figure.family for figure in figures]

    def collect(self) -> Iterable[Metric]:
        return [family() for family in self._families]
