"""How long to wait, in every form in which providers say it."""

from __future__ import annotations

import httpx
import pytest

from sidecar.core.wait import retry_after, usual_reset
from sidecar.manifest import RetryAfter, Unit

WALL = 1_790_000_000.0
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"  # that moment


def waits(headers: dict[str, str], *sources: RetryAfter, body: object = None) -> float | None:
    """The wait that an answer tells."""
    return retry_after(sources, httpx.Headers(headers), body, WALL)


@pytest.mark.parametrize(
    ("unit", "said", "wait"),
    [
        ("seconds", "7", 7.0),
        ("seconds", "0.25", 0.25),
        ("seconds", "7, 60;w=60", 7.0),
        ("milliseconds", "1500", 1.5),
        ("epoch_seconds", "1790000030", 30.0),
        ("epoch_seconds", "1790000030.5", 30.5),
        ("epoch_milliseconds", "1790000002500", 2.5),
        ("date", "Mon, 21 Sep 2026 14:13:50 GMT", 30.0),
        ("date", "2026-09-21T14:13:50Z", 30.0),
        ("date", "2026-09-21T16:13:50.5+02:00", 30.5),
        ("date", "2026-09-21T14:13:50", 30.0),
        ("seconds", "soon", None),
        ("date", "30", None),
        ("date", "", None),
        ("epoch_seconds", "Mon, 21 Sep 2026 14:13:50 GMT", None),
    ],
)
def test_units(unit: Unit, said: str, wait: float | None) -> None:
    """Seconds and moments, also with fractions; what is of another form tells nothing."""
    assert waits({"x-wait": said}, RetryAfter(unit=unit, header="x-wait")) == wait
    assert waits({}, RetryAfter(unit=unit, path="wait"), body={"wait": said}) == wait


@pytest.mark.parametrize("value", [30, 30.0])
def test_numbers_in_a_body(value: float) -> None:
    """JSON says them without quotes."""
    assert waits({}, RetryAfter(unit="seconds", path="error.wait"), body={"error": {"wait": value}}) == 30.0
    assert waits({}, RetryAfter(unit="date", path="error.wait"), body={"error": {"wait": value}}) is None


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0])
def test_the_provider_s_clock_counts(ahead: float) -> None:
    """A moment is compared with the Date of the same answer, so our clock may be wrong."""
    found = retry_after(
        (RetryAfter(unit="epoch_seconds", header="x-reset"),),
        httpx.Headers({"x-reset": "1790000030", "date": DATE}),
        None,
        WALL + ahead,
    )
    assert found == 30.0


def test_a_wait_of_nothing_beside_a_later_reset_means_the_reset() -> None:
    """Some send `Retry-After: 0` with every limited answer."""
    reset = RetryAfter(unit="epoch_seconds", header="x-reset")
    assert waits({"retry-after": "0", "x-reset": "1790000030"}, reset) == 30.0
    assert waits({"retry-after": "0", "x-reset": "1789999999"}, reset) == 0.0
    assert waits({"retry-after": "0"}) == 0.0


@pytest.mark.parametrize(
    ("headers", "reset"),
    [
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12.5"}, 12.5),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "1790000030"}, 30.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1790000030000"}, 30.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "Mon, 21 Sep 2026 14:13:50 GMT"}, 30.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-09-21T14:13:50Z"}, 30.0),
        ({"x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-remaining": "0, 0;w=60", "x-ratelimit-reset": "12, 12;w=60"}, 12.0),
        ({"ratelimit": '"burst";r=0;t=5, "daily";r=0;t=500'}, 500.0),
        ({"ratelimit": '"burst";r=0;t=5, "daily";r=90;t=500'}, 5.0),
        ({"ratelimit": "limit=100, remaining=0, reset=9"}, 9.0),
        ({"x-ratelimit-remaining": "17", "x-ratelimit-reset": "1790003600"}, None),  # another limit, not this one
        ({"ratelimit": "limit=100, remaining=3, reset=9"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1789999999"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "tomorrow"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
        ({}, None),
    ],
)
def test_the_usual_headers(headers: dict[str, str], reset: float | None) -> None:
    """Read where no manifest describes them, and only of a limit that is used up."""
    assert usual_reset(httpx.Headers(headers), WALL) == reset
