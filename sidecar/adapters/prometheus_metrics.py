"""prometheus-client: calls, attempts and waits as bounded time series. No tenant, connection or call id is a label."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Info, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from sidecar.adapters.prometheus_counted import Counted, Figures, Level, Timed
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
        GCCollector(registry=registry)
        PlatformCollector(registry=registry)
        ProcessCollector(registry=registry)
        about = Info("sidecar", "Version and catalogue of this process.", registry=registry)
        about.info({"version": VERSION, "catalog": catalog_hash})
        self._calls = Counted(
            "sidecar_calls", "Calls by outcome: ok, or the failure's reason.", "provider", "operation", "outcome"
        )
        self._call_seconds = Timed("sidecar_call_seconds", "From the message to its reply.", BUCKETS)
        self._attempts = Counted(
            "sidecar_attempts", "HTTP exchanges by status, or by reason where none came.", "provider", "result"
        )
        self._attempt_seconds = Timed("sidecar_attempt_seconds", "One HTTP exchange.", BUCKETS)
        self._replayed = Counted(
            "sidecar_replayed",
            "Calls answered from the record of their idempotency key; nothing was sent.",
            "provider",
        )
        self._waits = Counted("sidecar_waits", "Waits before an exchange.", "provider", "why")
        self._waited = Counted("sidecar_wait_seconds", "Seconds waited before exchanges.", "provider", "why")
        self._in_flight = Level("sidecar_in_flight", "Messages being answered.")
        self._durable_in_flight = Level("sidecar_durable_in_flight", "Durable calls taken from the queue.")
        self._durable = Counted(
            "sidecar_durable_runs", "Runs of durable calls by what came of them: done, dead, later.", "how"
        )
        self._refused = Counted("sidecar_refused", "Messages refused before they became a call.", "why")
        self._replies_lost = Counted("sidecar_replies_lost", "Replies that could not be published.")
        self._trace_dropped = Counted(
            "sidecar_trace_dropped", "Trace events that were not published, or that JetStream may not have."
        )
        self._admin = Counted("sidecar_admin", "Admin requests by verb and outcome.", "verb", "outcome")
        self._refreshes = Counted(
            "sidecar_refreshes",
            "Renewals of tokens by what came of them: renewed, failed, unanswered, reauth_required, lost, late.",
            "provider",
            "outcome",
        )
        self._unpersisted = Level("sidecar_unpersisted_rotations", "New tokens that are not stored yet.")
        counted = (self._calls, self._call_seconds, self._attempts, self._attempt_seconds, self._replayed)
        waited = (self._waits, self._waited, self._in_flight, self._durable_in_flight, self._durable)
        others = (self._refused, self._replies_lost, self._trace_dropped, self._admin, self._refreshes)
        registry.register(Figures((*counted, *waited, *others, self._unpersisted)))

    def durable_in_flight(self, number: int) -> None:
        self._durable_in_flight.value = number

    def durable_ended(self, how: str) -> None:
        self._durable.add(how)

    def finished(self, provider: str, operation: str, outcome: str, seconds: float) -> None:
        self._calls.add(provider, self._operation(provider, operation), outcome)
        self._call_seconds.observe(provider, seconds)

    def replayed(self, provider: str) -> None:
        self._replayed.add(provider)

    def attempted(self, provider: str, result: str, seconds: float) -> None:
        self._attempts.add(provider, result)
        self._attempt_seconds.observe(provider, seconds)

    def waited(self, provider: str, why: str, seconds: float) -> None:
        self._waits.add(provider, why)
        self._waited.add(provider, why, by=max(0.0, seconds))

    def administered(self, verb: str, outcome: str) -> None:
        self._admin.add(verb, outcome)

    def refreshed(self, provider: str, outcome: str) -> None:
        self._refreshes.add(provider, outcome)

    def unpersisted(self, number: int) -> None:
        self._unpersisted.value = number

    def in_flight(self, number: int) -> None:
        self._in_flight.value = number

    def refused(self, why: str) -> None:
        self._refused.add(why)

    def reply_lost(self) -> None:
        self._replies_lost.add()

    def trace_dropped(self, number: int = 1) -> None:
        self._trace_dropped.add(by=number)

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

    def _operation(self, provider: str, operation: str) -> str:
        if (provider, operation) in self._operations:
            return operation
        if not self._known(provider, operation):
            return "unknown"
        if len(self._operations) >= MAX_OPERATIONS:
            return "other"
        self._operations.add((provider, operation))
        return operation
