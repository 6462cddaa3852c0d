"""The judges of arrivals: each finds what its provider would refuse, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.limiter import (
    Bucket,
    Fixed,
    Limit,
    Sliding,
    Taken,
    most_at_once,
    most_within,
    refused,
    refused_in_any_phase,
    units_a_second,
)

ARRIVALS = st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from([1.0, 2.0])), max_size=40).map(
    lambda gaps: [Taken(sum(gap for gap, _ in gaps[: index + 1]), units) for index, (_, units) in enumerate(gaps)]
)


def at(*moments: float) -> list[Taken]:
    return [Taken(moment) for moment in moments]


@pytest.mark.parametrize(
    ("limit", "arrivals", "expected"),
    [
        (Sliding(2, 1), at(0, 0.5, 1.0, 1.5), 0),  # half-open: what came a second ago is out
        (Sliding(2, 1), at(0, 0.5, 0.999), 1),
        (Sliding(2, 1), at(0.9, 0.9, 1.1, 1.1), 2),  # the border of a fixed window is none of its own
        (Sliding(3, 1), [Taken(0, 2), Taken(0.1, 2), Taken(0.2, 1)], 1),
        (Fixed(2, 1), at(0.9, 0.9, 1.1, 1.1), 0),
        (Fixed(2, 1, phase=0.5), at(0.9, 0.9, 1.1, 1.1), 2),
        (Fixed(2, 1), at(0, 0.1, 0.2, 1.0), 1),
        (Bucket(2, 3), at(0, 0, 0, 0.5, 0.5), 1),
        (Bucket(2, 3), at(0, 0, 0, 0.5, 1.0), 0),
        (Bucket(1, 2), at(100, 100, 100), 1),  # it never holds more than its burst
    ],
)
def test_a_limit_refuses_what_is_beyond_it(limit: Limit, arrivals: list[Taken], expected: int) -> None:
    """Units over the limit are refused, and count for nothing."""
    assert refused(limit, arrivals) == expected


@pytest.mark.parametrize("limit", [Sliding(2, 1), Fixed(2, 1), Bucket(2, 2)])
def test_it_says_when_to_come_again(limit: Limit) -> None:
    """After the seconds that a refusal tells the units are there, and a moment before they are not."""
    limiter = limit.limiter()
    assert limiter.wait(0.25, 2) == 0
    limiter.take(0.25, 2)
    wait = limiter.wait(0.5, 1)
    assert wait > 0
    assert limiter.wait(0.5 + wait - 0.01, 1) == pytest.approx(0.01)
    assert limiter.wait(0.5 + wait, 1) == pytest.approx(0, abs=1e-9)


@given(ARRIVALS)
def test_what_a_sliding_window_takes_every_other_limit_of_its_size_takes(arrivals: list[Taken]) -> None:
    """It is the strictest of the three: so a schedule may be made for it alone."""
    limiter, taken = Sliding(5, 1).limiter(), []
    for one in arrivals:
        if limiter.wait(one.at, one.units) <= 0:
            limiter.take(one.at, one.units)
            taken.append(one)
    assert len(arrivals) - len(taken) == refused(Sliding(5, 1), arrivals)
    assert most_within(1, taken) <= 5
    assert refused_in_any_phase(5, 1, taken) == 0
    assert refused(Bucket(5, 5.001), taken) == 0  # a thousandth for the sums of its floats


@given(ARRIVALS)
def test_the_busiest_window_says_whether_anything_is_refused(arrivals: list[Taken]) -> None:
    """Two ways to count come to one end."""
    assert (refused(Sliding(4, 1), arrivals) > 0) == (most_within(1, arrivals) > 4)


def test_the_worst_phase_is_looked_for() -> None:
    """A burst at a border hides from most phases, not from all."""
    burst = at(0.9, 0.9, 1.1, 1.1)
    assert refused(Fixed(2, 1), burst) == 0
    assert refused_in_any_phase(2, 1, burst) == 2


def test_exchanges_at_once_are_counted_while_they_last() -> None:
    """Three overlap; the one that begins as another ends takes its place."""
    assert most_at_once([(0, 2), (1, 3), (1.5, 1.6), (2, 4), (5, 6)]) == 3
    assert most_at_once([]) == 0


def test_seconds_are_counted_from_the_moment_that_is_named() -> None:
    """What is before and after is left out."""
    assert units_a_second([Taken(9.9), Taken(10.0), Taken(10.5, 2), Taken(11.2), Taken(12.1)], 10, 12) == [3, 1]
