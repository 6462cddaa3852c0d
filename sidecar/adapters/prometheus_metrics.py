"""prometheus-client: calls, attempts and waits as bounded time series. No tenant, connection or call id is a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sidecar.model import VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_OPERATIONS = 200  # series per operation; the rest is counted as `other`
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

BUS_COUNTS = {
    "reconnects": "Connections to NATS made after the first.",
    "heals": "Connections to NATS left because they looked well and answered nothing.",
    "lost": "Messages given to a connection that broke before NATS was known to have them: at most so many are lost.",
    "refused": "Messages not published: no room, or nobody to take them.",
    "callback_errors": "Defects of our own in taking a message.",
    "malformed": "Messages that could not be taken apart.",
    "slow_consumer_drops": "Messages dropped because too many waited to be read.",
    "permission_violations": "Subjects that NATS refused us.",
}

QUOTA_COUNTS = {
    "at_once": "Exchanges that had leave at once.",
    "waited": "Exchanges that waited for leave.",
    "refused": "Exchanges that could not have had leave in time.",
    "closed": "Of those refused: the provider had said to wait.",
    "away": "Of those refused: no owner of the quota could be asked, nor the store.",
    "void": "Leave that ended before its exchange began, and was asked for again.",
    "jumps": "Jumps of the wall clock, after which nothing held counts.",
}
QUOTA_TRAFFIC = {
    "sent": "Messages to other sidecars.",
    "heard": "Messages of other sidecars.",
    "undelivered": "Messages that nobody received: the other sidecar is gone.",
    "malformed": "Messages that made no sense.",
    "written": "Records written.",
    "refused": "Writes of records that came too late.",
    "unanswered": "Questions to the store without an answer.",
}

KnownOperation = Callable[[str, str], bool]


class WatchedBus(Protocol):
    """What is shown of the bus. `counts` has an attribute for each of BUS_COUNTS."""

    @property
    def connected(self) -> bool: ...

    @property
    def check_seconds(self) -> float: ...

    @property
    def counts(self) -> object: ...


class WatchedBreakers(Protocol):
    """What is shown of the breakers, by provider: how often one was opened, and how many are open."""

    @property
    def opened(self) -> Mapping[str, int]: ...

    def open_now(self) -> Mapping[str, int]: ...


class WatchedQuotas(Protocol):
    """What is shown of the quotas. `counts` has an attribute for each of QUOTA_COUNTS."""

    @property
    def counts(self) -> object: ...

    @property
    def waiting(self) -> Sized: ...


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
        self._calls = Counter(
            "sidecar_calls",
            "Calls by outcome: ok, or the failure's reason.",
            ["provider", "operation", "outcome"],
            registry=registry,
        )
        self._call_seconds = Histogram(
            "sidecar_call_seconds", "From the message to its reply.", ["provider"], buckets=BUCKETS, registry=registry
        )
        self._attempts = Counter(
            "sidecar_attempts",
            "HTTP exchanges by status, or by reason where none came.",
            ["provider", "result"],
            registry=registry,
        )
        self._attempt_seconds = Histogram(
            "sidecar_attempt_seconds", "One HTTP exchange.", ["provider"], buckets=BUCKETS, registry=registry
        )
        self._replayed = Counter(
            "sidecar_replayed",
            "Calls answered from the record of their idempotency key; nothing was sent.",
            ["provider"],
            registry=registry,
        )
        self._waits = Counter("sidecar_waits", "Waits before an exchange.", ["provider", "why"], registry=registry)
        self._waited = Counter(
            "sidecar_wait_seconds", "Seconds waited before exchanges.", ["provider", "why"], registry=registry
        )
        self._in_flight = Gauge("sidecar_in_flight", "Messages being answered.", registry=registry)
        self._durable_in_flight = Gauge(
            "sidecar_durable_in_flight", "Durable calls taken from the queue.", registry=registry
        )
        self._durable = Counter(
            "sidecar_durable_runs",
            "Runs of durable calls by what came of them: done, dead, later.",
            ["how"],
            registry=registry,
        )
        self._refused = Counter(
            "sidecar_refused", "Messages refused before they became a call.", ["why"], registry=registry
        )
        self._replies_lost = Counter("sidecar_replies_lost", "Replies that could not be published.", registry=registry)
        self._trace_dropped = Counter(
            "sidecar_trace_dropped", "Trace events that could not be published.", registry=registry
        )
        self._admin = Counter(
            "sidecar_admin", "Admin requests by verb and outcome.", ["verb", "outcome"], registry=registry
        )

        self._refreshes = Counter(
            "sidecar_refreshes",
            "Renewals of tokens by what came of them: renewed, failed, unanswered, reauth_required, lost, late.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._unpersisted = Gauge(
            "sidecar_unpersisted_rotations", "New tokens that are not stored yet.", registry=registry
        )

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
        self.registry.register(_BusFigures(bus))

    def watch_breakers(self, breakers: WatchedBreakers) -> None:
        """Show the figures of these breakers from now on."""
        self.registry.register(_BreakerFigures(breakers))

    def watch_quotas(self, quotas: WatchedQuotas, traffic: object) -> None:
        """Show the figures of the quotas. `traffic` has an attribute for each of QUOTA_TRAFFIC."""
        self.registry.register(_QuotaFigures(quotas, traffic))

    def exposition(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)

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


class _BusFigures(Collector):
    """The bus's own figures, read when somebody asks: the bus counts integers and knows no metrics."""

    def __init__(self, bus: WatchedBus) -> None:
        self._bus = bus

    def collect(self) -> Iterable[Metric]:
        bus = self._bus
        yield GaugeMetricFamily("sidecar_nats_up", "Whether NATS can be given messages.", value=float(bus.connected))
        yield GaugeMetricFamily(
            "sidecar_nats_check_seconds", "What the last message to ourselves took.", value=bus.check_seconds
        )
        for name, text in BUS_COUNTS.items():
            yield CounterMetricFamily(f"sidecar_nats_{name}", text, value=getattr(bus.counts, name))


class _BreakerFigures(Collector):
    """Of a provider that never failed nothing is shown: most have no series."""

    def __init__(self, breakers: WatchedBreakers) -> None:
        self._breakers = breakers

    def collect(self) -> Iterable[Metric]:
        opened = CounterMetricFamily(
            "sidecar_breaker_opened", "Providers left alone after failures in a row.", labels=["provider"]
        )
        now = GaugeMetricFamily("sidecar_breakers_open", "Origins of a provider left alone now.", labels=["provider"])
        still = self._breakers.open_now()
        for provider, number in self._breakers.opened.items():
            opened.add_metric([provider], number)
            now.add_metric([provider], still.get(provider, 0))
        yield from (opened, now)


class _QuotaFigures(Collector):
    """The figures of the quotas, which count integers on the way of every call."""

    def __init__(self, quotas: WatchedQuotas, traffic: object) -> None:
        self._quotas = quotas
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        waiting = float(len(self._quotas.waiting))
        yield GaugeMetricFamily("sidecar_quota_waiting", "Exchanges that wait for leave.", value=waiting)
        for name, text in QUOTA_COUNTS.items():
            yield CounterMetricFamily(f"sidecar_quota_{name}", text, value=getattr(self._quotas.counts, name))
        for name, text in QUOTA_TRAFFIC.items():
            yield CounterMetricFamily(f"sidecar_quota_traffic_{name}", text, value=getattr(self._traffic, name))
