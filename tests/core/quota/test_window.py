"""The log of a window: never less than what is really taken, and no more than one slice longer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.quota.limit import Window
from sidecar.core.quota.window import SLICES, Sliding

SECONDS = 10.0
SLICE = SECONDS / SLICES
TAKES = st.lists(st.tuples(st.integers(1, 5), st.floats(0.0, 30.0)), max_size=30)


def taken(entries: list[tuple[int, float]], now: float) -> int:
    return sum(units for units, until in entries if until > now)


@given(entries=TAKES, now=st.floats(0.0, 35.0))
def test_it_tells_what_is_taken(entries: list[tuple[int, float]], now: float) -> None:
    """Units are taken until the moment that was told, in whatever order they came, and a slice longer at most."""
    window = Sliding(Window(1_000, SECONDS), 0.0)
    for units, until in entries:
        window.take(units, until)
    assert taken(entries, now) <= window.taken(now) <= taken(entries, now - SLICE - 1e-9)


@given(entries=TAKES, cost=st.integers(1, 20), cap=st.integers(20, 60))
def test_fit_is_the_first_moment_that_serves(entries: list[tuple[int, float]], cost: int, cap: int) -> None:
    """At that moment there is room, and a slice before there was none."""
    window = Sliding(Window(cap, SECONDS), 0.0)
    for units, until in entries:
        window.take(units, until)
    at = window.fit(cost, cap, 0.0)
    assert taken(entries, at) + cost <= cap
    assert at == 0.0 or taken(entries, at - SLICE - 1e-9) + cost > cap


@given(entries=TAKES, returned=st.integers(0, 29), now=st.floats(0.0, 35.0))
def test_what_comes_back_late_frees_nothing_of_others(
    entries: list[tuple[int, float]], returned: int, now: float
) -> None:
    """A return takes away no more than it took, and nothing once its own units are free again."""
    window = Sliding(Window(1_000, SECONDS), 0.0)
    for units, until in entries:
        window.take(units, until)
    window.forget(now)
    others = [entry for at, entry in enumerate(entries) if at != returned]
    if returned < len(entries):
        window.give_back(*entries[returned], now)
    assert window.taken(now) >= taken(others, now)


@given(entries=TAKES, moved=st.integers(0, 29), seconds=st.floats(0.0, 12.0), now=st.floats(0.0, 20.0))
def test_what_is_free_sooner_is_as_if_it_were_taken_for_less(
    entries: list[tuple[int, float]], moved: int, seconds: float, now: float
) -> None:
    """Until the sooner moment, or a slice longer; nothing of others is free with it."""
    if moved >= len(entries) or entries[moved][1] <= now or entries[moved][1] - seconds <= now:
        return
    window, other = Sliding(Window(1_000, SECONDS), 0.0), Sliding(Window(1_000, SECONDS), 0.0)
    units, until = entries[moved]
    for one in entries:
        window.take(*one)
    for at, one in enumerate(entries):
        other.take(*one if at != moved else (units, until - seconds))
    window.sooner(units, until, until - seconds, now)
    for step in range(40):
        assert window.taken(now + step) == other.taken(now + step)
    assert window.fit(5, 20, now + 40) == other.fit(5, 20, now + 40)


def test_what_never_fits_is_said_so() -> None:
    """More than there is fits at no time."""
    assert Sliding(Window(5, 1.0), 0.0).fit(6, 5, 0.0) == float("inf")


def test_it_stays_small() -> None:
    """A log holds a few slices of a window, however much is taken."""
    window = Sliding(Window(10**9, 1.0), 0.0)
    for at in range(20_000):
        window.forget(at / 5_000)
        window.take(1, at / 5_000 + 1.0)
    assert len(list(window.entries(4.0))) <= SLICES + 1
