"""How long a token may be used, and when it is renewed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.auth.life import FOREVER, WINDOW_SECONDS, life_of
from sidecar.credential import Tokens
from sidecar.secret import Secret

NOW, WALL = 1_000.0, 1_900_000_000.0


def tokens(left: float | None, lifetime: float | None = None) -> Tokens:
    expires = None if left is None else WALL + left
    return Tokens(access=Secret("a"), expires=expires, lifetime=lifetime)


@pytest.mark.parametrize(
    ("left", "lifetime", "due", "over"),
    [
        (3600, 3600, NOW + 3300, NOW + 3595),
        (1000, 1000, NOW + 800, NOW + 995),
        (10, 10, NOW + 8, NOW + 9.5),
        (100, 3600, NOW - 200, NOW + 95),
        (-1, 3600, NOW - 301, NOW - 6),
    ],
)
def test_when_it_is_due_and_over(left: float, lifetime: float, due: float, over: float) -> None:
    """Due at most 300 s and a fifth of its life before its end, over shortly before it."""
    life = life_of(tokens(left, lifetime), NOW, WALL, 1.0)
    assert life.due == pytest.approx(due)
    assert life.over == pytest.approx(over)


def test_a_token_without_an_end() -> None:
    """It is used until its provider rejects it."""
    assert life_of(tokens(None), NOW, WALL, 0.5) == FOREVER


@given(left=st.floats(-1e9, 1e9), lifetime=st.none() | st.floats(0, 1e9), jitter=st.floats(0, 0.999))
def test_no_clock_makes_it_live_longer(left: float, lifetime: float | None, jitter: float) -> None:
    """However wrong the wall clock is, nobody believes a token to live longer than its provider said."""
    life = life_of(tokens(left, lifetime), NOW, WALL, jitter)
    assert life.due <= life.over <= NOW + (max(left, 0) if lifetime is None else lifetime) + 1e-3
    assert math.isfinite(life.due)


def test_many_that_end_at_one_moment_are_not_due_at_one() -> None:
    """10,000 of one age are renewed over two and a half minutes, none in a rush."""
    dice = random.Random(7)
    dues = [life_of(tokens(3600, 3600), NOW, WALL, dice.random()).due for _ in range(10_000)]
    assert max(dues) - min(dues) > 0.49 * WINDOW_SECONDS
    busiest = max(sum(1 for due in dues if second <= due < second + 1) for second in range(4200, 4500))
    assert busiest < 2 * 10_000 / (0.5 * WINDOW_SECONDS)
