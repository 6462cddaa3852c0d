"""prometheus-client: figures that others keep as plain integers on the way of every call, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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


class BusFigures(Collector):
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


class BreakerFigures(Collector):
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


class QuotaFigures(Collector):
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
