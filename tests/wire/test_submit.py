"""Decode what is submitted: when a durable call is due, and a refusal of every moment that has two readings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sidecar.model import Failure, Reason
from sidecar.wire.durable import MOST_AHEAD, Submitted, decode_submit
from sidecar.wire.request import Arrival

SUBJECT = "sidecar.submit.acme.alice.github.issues.create"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
ARRIVAL = Arrival(now=100.0, wall=NOW, dice=bytes(range(1, 35)), max_timeout_ms=300_000)


def submit(not_before: str) -> Submitted | Failure:
    return decode_submit("sidecar", SUBJECT, {"not-before": not_before}, b"{}", ARRIVAL)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T12:00:01Z", 1.0),
        ("2026-11-22t12:00:01z", 1.0),
        ("2026-11-22T13:00:01.5+01:00", 1.5),
        ("2026-11-22T11:30:00.123456789-00:30", 0.123456),
        ("2026-11-22T12:00:00Z", None),
        ("0001-01-01T00:00:00+23:00", None),
    ],
)
def test_a_moment_is_kept_to_the_microsecond(text: str, seconds: float | None) -> None:
    """Whatever its offset; what has passed is now."""
    submitted = submit(text)
    assert isinstance(submitted, Submitted), submitted
    assert submitted.due == (None if seconds is None else pytest.approx(NOW + seconds, abs=1e-6))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "1795348800",
        "2026-11-22",
        "2026-11-22T12:00:01",
        "2026-11-22T12:00Z",
        "2026-11-22T12Z",
        "2026-11-22T12:00:01+01",
        "2026-11-22T12:00:01+01:00:30",
        "20261122T120001Z",
        "2026-W47-7T12:00:01Z",
        "2026-12-22T00:00:00,5Z",
        "2026-11-22_12:00:01Z",
        "2026-11-31T12:00:01Z",
        "2026-11-22T25:00:01Z",
        "٢٠٢٦-11-22T12:00:01Z",
    ],
)
def test_what_is_no_moment_of_rfc_3339_is_refused(text: str) -> None:
    """Nothing is guessed of when a call may begin."""
    refused = submit(text)
    assert isinstance(refused, Failure), refused
    assert refused.reason is Reason.MALFORMED
    assert "RFC 3339" in refused.detail


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "2027-02-20T12:00:01Z"])
def test_nothing_waits_for_ever(text: str) -> None:
    """90 days ahead is the longest, also of a moment that is hardly one."""
    assert MOST_AHEAD == 90 * 24 * 3600
    refused = submit(text)
    assert isinstance(refused, Failure), refused
    assert "90 days" in refused.detail
