"""What we count by ourselves reads as prometheus-client's own counters would tell it, to the letter."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sidecar.adapters.prometheus_counted import Counted, Figures, Level, Timed
from sidecar.model import Reason

BOUNDS = (0.005, 0.25, 1.0, 60.0)
SECONDS = st.floats(0, 100) | st.sampled_from(BOUNDS)
NAMES = st.sampled_from(["github", 'a"b\\c\n', "", "ü"])
OUTCOMES = st.sampled_from(["ok", Reason.MALFORMED, "MALFORMED"])


def text(registry: CollectorRegistry) -> str:
    """As it is read, but for the moments at which counting began."""
    return re.sub(r"(_created(?:\{.*\})?) [\d.e+]+", r"\1 then", generate_latest(registry).decode())


@given(st.lists(st.tuples(NAMES, OUTCOMES, SECONDS)))
def test_reads_as_the_librarys_own(seen: list[tuple[str, str, float]]) -> None:
    """Names, labels, help, buckets, sums, when each was first seen, and their order."""
    registry, theirs = CollectorRegistry(), CollectorRegistry()
    calls, times = Counted("x_calls", "Calls.", "provider", "outcome"), Timed("x_seconds", "How long.", BOUNDS)
    waited, lost, now = Counted("x_waited", "Waited.", "provider"), Counted("x_lost", "Lost."), Level("x_now", "Now.")
    registry.register(Figures((calls, times, waited, lost, now)))
    their_calls = Counter("x_calls", "Calls.", ["provider", "outcome"], registry=theirs)
    their_times = Histogram("x_seconds", "How long.", ["provider"], buckets=BOUNDS, registry=theirs)
    their_waited = Counter("x_waited", "Waited.", ["provider"], registry=theirs)
    their_lost = Counter("x_lost", "Lost.", registry=theirs)
    their_now = Gauge("x_now", "Now.", registry=theirs)
    assert text(registry) == text(theirs)
    for number, (provider, outcome, seconds) in enumerate(seen):
        calls.add(provider, outcome)
        times.observe(provider, seconds)
        waited.add(provider, by=seconds)
        lost.add()
        now.value = number
        their_calls.labels(provider, outcome).inc()
        their_times.labels(provider).observe(seconds)
        their_waited.labels(provider).inc(seconds)
        their_lost.inc()
        their_now.set(number)
    assert text(registry) == text(theirs)


def test_may_be_read_while_it_is_counted() -> None:
    """A scrape is another thread's: it meets new series, and breaks on none."""
    registry = CollectorRegistry()
    calls, times = Counted("x_calls", "Calls.", "provider"), Timed("x_seconds", "How long.", BOUNDS)
    registry.register(Figures((calls, times)))
    with ThreadPoolExecutor(1) as scrapes:
        reading = scrapes.submit(lambda: [generate_latest(registry) for _ in range(40)])
        number = 0
        while not reading.done():
            number += 1
            calls.add(f"p{number % 500}")
            times.observe(f"p{number % 500}", 0.1)
        assert len(reading.result()) == 40
