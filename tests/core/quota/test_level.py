"""A token bucket: whatever the way there does within its variation, the provider always has the token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.quota.level import Level
from sidecar.core.quota.limit import Tokens

HOLDS = 0.03  # seconds between the first moment of a permit and its surest arrival


def conforms(arrivals: list[tuple[float, int]], tokens: Tokens) -> bool:
    level, at = float(tokens.burst), 0.0
    for moment, cost in sorted(arrivals):
        level = min(tokens.burst, level + (moment - at) * tokens.rate) - cost
        at = moment
        if level < -1e-6:
            return False
    return True


@given(
    st.tuples(st.sampled_from((1.0, 7.0, 50.0)), st.sampled_from((1, 3, 10))),
    st.lists(st.tuples(st.floats(0.0, 0.2), st.integers(1, 3), st.floats(0.0, HOLDS)), max_size=60),
)
def test_the_provider_always_has_the_token(figures: tuple[float, int], calls: list[tuple[float, int, float]]) -> None:
    """However requests are late within what is known of the way, none comes before its token."""
    tokens = Tokens(*figures)
    level, now, arrivals = Level(tokens, 0.0), 0.0, []
    for pause, wanted, late in calls:
        cost = min(wanted, tokens.burst)
        now += pause
        start = level.fit(cost, now)
        level.take(cost, start + HOLDS, now)
        arrivals.append((start + late, cost))
    assert conforms(arrivals, tokens)


@pytest.mark.parametrize(("rate", "burst", "least"), [(50.0, 10, 0.99), (1.0, 1, 0.96), (6.0, 3, 0.99)])
def test_it_is_used_up(rate: float, burst: int, least: float) -> None:
    """Where more is wanted than there is, the whole rate is used, but for what the way may vary at a burst of one."""
    level, now, granted = Level(Tokens(rate, burst), 0.0, 0.0), 0.0, 0
    while now < 100.0:
        now = max(now, level.fit(1, now))
        level.take(1, now + HOLDS, now)
        granted += 1
    assert granted >= least * rate * 100.0


def test_a_returned_token_is_there_again() -> None:
    """What was not used comes back at once, if its request cannot have arrived."""
    level = Level(Tokens(1.0, 1), 0.0)
    level.take(1, 0.5, 0.0)
    level.give_back(1, 0.5, 0.1)
    assert level.fit(1, 0.1) == 0.1


def test_a_token_returned_late_is_not() -> None:
    """Its time is over, and it may have been counted as refilled."""
    level = Level(Tokens(1.0, 1), 0.0)
    level.take(1, 0.5, 0.0)
    level.give_back(1, 0.5, 0.6)
    assert level.fit(1, 0.6) > 1.0
