"""prometheus-client: calls, attempts and waits as bounded time series. No tenant, connection or call id is a label."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from sidecar.adapters.prometheus_watched import (
    BreakerFigures,
    BusFigures,
    QuotaFigures,
    WatchedBreakers,
    WatchedBus,
    WatchedQuotas,
)
from sidecar.model import VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_OPERATIONS = 200  # series per operation; the rest is counted as `other`
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

KnownOperation = Callable[[str, str], bool]


class Metrics:
    """Every figure of the process, in a registry of its own."""

    def __init__(self, known: KnownOperation, catalog_hash: str) -> None:
        """`known` says whether a provider has an operation: what callers make up is never a label."""
        self.registry = registry = CollectorRegistry()
        self._known = known
        self._operations: set[tuple[str, str]] = set()
        # Children are kept: finding one by its labels costs more than counting.
        self._children: dict[tuple[str, str, str], Counter] = {}
        self._results: dict[tuple[str, str], Counter] = {}
        self._timers: dict[tuple[Histogram, str], Histogram] = {}
        GCCollector(registry=registry)
        PlatformCollector(registry=registry)
        ProcessCollector(registry=registry)
        about = Info("sidecar", "Version and catalogue of this process.", registry=registry)
        about.info({"version": VERSION, "catalog": catalog_hash})
        self._calls = self._counter(
            "calls", "Calls by outcome: ok, or the failure's reason.", "provider", "operation", "outcome"
        )
        self._call_seconds = self._histogram("call_seconds", "From the message to its reply.")
        self._attempts = self._counter(
            "attempts", "HTTP exchanges by status, or by reason where none came.", "provider", "result"
        )
        self._attempt_seconds = self._histogram("attempt_seconds", "One HTTP exchange.")
        self._replayed = self._counter(
            "replayed", "Calls answered from the record of their idempotency key; nothing was sent.", "provider"
        )
        self._waits = self._counter("waits", "Waits before an exchange.", "provider", "why")
        self._waited = self._counter("wait_seconds", "Seconds waited before exchanges.", "provider", "why")
        self._in_flight = self._gauge("in_flight", "Messages being answered.")
        self._durable_in_flight = self._gauge("durable_in_flight", "Durable calls taken from the queue.")
        self._durable = self._counter(
            "durable_runs", "Runs of durable calls by what came of them: done, dead, later.", "how"
        )
        self._refused = self._counter("refused", "Messages refused before they became a call.", "why")
        self._replies_lost = self._counter("replies_lost", "Replies that could not be published.")
        self._trace_dropped = self._counter("trace_dropped", "Trace events that could not be published.")
        self._admin = self._counter("admin", "Admin requests by verb and outcome.", "verb", "outcome")
        self._refreshes = self._counter(
            "refreshes",
            "Renewals of tokens by what came of them: renewed, failed, unanswered, reauth_required, lost, late.",
            "provider",
            "outcome",
        )
        self._unpersisted = self._gauge("unpersisted_rotations", "New tokens that are not stored yet.")

    def durable_in_flight(self, number: int) -> None:
        self._durable_in_flight.set(number)

    def durable_ended(self, how: str) -> None:
        self._durable.labels(how).inc()

    def finished(self, provider: str, operation: str, outcome: str, seconds: float) -> None:
        key = (provider, self._operation(provider, operation), outcome)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._calls.labels(*key)
        child.inc()
        self._seconds(self._call_seconds, provider).observe(seconds)

    def replayed(self, provider: str) -> None:
        self._replayed.labels(provider).inc()

    def attempted(self, provider: str, result: str, seconds: float) -> None:
        key = (provider, result)
        child = self._results.get(key)
        if child is None:
            child = self._results[key] = self._attempts.labels(*key)
        child.inc()
        self._seconds(self._attempt_seconds, provider).observe(seconds)

    def waited(self, provider: str, why: str, seconds: float) -> None:
        self._waits.labels(provider, why).inc()
        self._waited.labels(provider, why).inc(seconds)

    def administered(self, verb: str, outcome: str) -> None:
        self._admin.labels(verb, outcome).inc()

    def refreshed(self, provider: str, outcome: str) -> None:
        self._refreshes.labels(provider, outcome).inc()

    def unpersisted(self, number: int) -> None:
        self._unpersisted.set(number)

    def in_flight(self, number: int) -> None:
        self._in_flight.set(number)

    def refused(self, why: str) -> None:
        self._refused.labels(why).inc()

    def reply_lost(self) -> None:
        self._replies_lost.inc()

    def trace_dropped(self) -> None:
        self._trace_dropped.inc()

    def watch(self, bus: WatchedBus) -> None:
        """Show the figures of this bus from now on."""
        self.registry.register(BusFigures(bus))

    def watch_breakers(self, breakers: WatchedBreakers) -> None:
        """Show the figures of these breakers from now on."""
        self.registry.register(BreakerFigures(breakers))

    def watch_quotas(self, quotas: WatchedQuotas, traffic: object) -> None:
        """Show the figures of the quotas. `traffic` has an attribute for each of QUOTA_TRAFFIC."""
        self.registry.register(QuotaFigures(quotas, traffic))

    def exposition(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"sidecar_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"sidecar_{name}", text, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"sidecar_{name}", text, ["provider"], buckets=BUCKETS, registry=self.registry)

    def _seconds(self, histogram: Histogram, provider: str) -> Histogram:
        child = self._timers.get((histogram, provider))
        if child is None:
            child = self._timers[histogram, provider] = histogram.labels(provider)
        return child

    def _operation(self, provider: str, operation: str) -> str:
        if (provider, operation) in self._operations:
            return operation
        if not self._known(provider, operation):
            return "unknown"
        if len(self._operations) >= MAX_OPERATIONS:
            return "other"
        self._operations.add((provider, operation))
        return operation
