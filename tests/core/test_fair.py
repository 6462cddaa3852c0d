"""Whose turn it is: bounds that hold, turns that are shared, nobody who could go on and does not."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.fair import Bounds, Fair, Place, Verdict

WIDE = Bounds(at_once=1_000, alone=1_000)


class Crowd:
    """Messages at one gate: `under_way`, in `lines`, or sent away."""

    def __init__(self, bounds: Bounds, weights: dict[str, int] | None = None) -> None:
        self.bounds = bounds
        self.fair = Fair[Place](bounds, lambda tenant: (weights or {}).get(tenant, 1))
        self.under_way: list[Place] = []
        self.lines: list[Place] = []

    def come(self, tenant: str, provider: str = "p") -> Verdict:
        place = Place(tenant, provider)
        verdict = self.fair.ask(place)
        if verdict is Verdict.BEGIN:
            self.under_way.append(place)
        elif verdict is Verdict.WAIT:
            self.lines.append(place)
        return verdict

    def turn(self) -> list[str]:
        going = self.fair.turn()
        self.under_way += going
        for place in going:
            self.lines.remove(place)
        return [place.tenant for place in going]

    def end(self, place: Place) -> None:
        (self.under_way if place in self.under_way else self.lines).remove(place)
        self.fair.leave(place)

    def settle(self) -> None:
        while self.fair.wants_turn:
            self.turn()

    def fits(self, place: Place) -> bool:
        there = [other for other in self.under_way if other.provider == place.provider]
        return (
            sum(other.tenant == place.tenant for other in self.under_way) < self.bounds.tenant
            and _has_place(place.tenant, self.under_way, self.bounds.total)
            and _has_place(place.tenant, there, self.bounds.provider)
        )


def _has_place(tenant: str, under_way: list[Place], most: int) -> bool:
    """One that is not kept for those who have less."""
    has = Counter(place.tenant for place in under_way)
    others = [number for other, number in has.items() if other != tenant]
    is_behind = has[tenant] < max(others, default=0)
    kept = 0 if is_behind else min(len(others), math.ceil(most / 10))
    return most - len(under_way) > kept


def served(crowd: Crowd, number: int) -> list[str]:
    """Who goes on as one after the other ends."""
    order: list[str] = []
    for _ in range(number):
        crowd.end(crowd.under_way[0])
        order += crowd.turn()
    return order


def test_where_there_is_room_nobody_waits() -> None:
    """A call that comes alone begins at once."""
    crowd = Crowd(WIDE)
    assert [crowd.come(f"t{number}") for number in range(5)] == [Verdict.BEGIN] * 5


def test_no_more_than_so_many_in_all() -> None:
    """Whoever they are of, and wherever they go."""
    crowd = Crowd(Bounds(total=3, tenant=3, provider=3, line=0, lines=0))
    come = [crowd.come(f"t{number}", f"p{number}") for number in range(5)]
    assert come == [Verdict.BEGIN] * 3 + [Verdict.ALL_FULL] * 2


def test_lines_are_served_in_turn() -> None:
    """A hundred calls of one tenant do not hold up the one of another."""
    crowd = Crowd(Bounds(total=1))
    for tenant in ["noisy"] * 100 + ["a", "b"]:
        crowd.come(tenant)
    crowd.settle()
    assert served(crowd, 4) == ["noisy", "a", "b", "noisy"]


def test_a_weight_is_so_many_turns() -> None:
    """A tenant of weight 3 has three for one."""
    crowd = Crowd(Bounds(total=1), {"big": 3})
    for tenant in ["big"] * 20 + ["small"] * 20:
        crowd.come(tenant)
    assert Counter(served(crowd, 12)) == {"big": 9, "small": 3}


def test_a_provider_that_is_full_holds_up_no_other() -> None:
    """Not in another tenant's line, nor further back in the same one."""
    crowd = Crowd(Bounds(provider=1))
    for tenant, provider in [("a", "slow"), ("a", "slow"), ("a", "fast"), ("b", "other")]:
        crowd.come(tenant, provider)
    crowd.settle()
    assert [(place.tenant, place.provider) for place in crowd.lines] == [("a", "slow")]


def test_a_tenant_at_its_bound_holds_up_no_other() -> None:
    """It waits; the others begin at once."""
    crowd = Crowd(Bounds(tenant=2, at_once=100, alone=100))
    assert [crowd.come("noisy") for _ in range(4)] == [Verdict.BEGIN] * 2 + [Verdict.WAIT] * 2
    assert crowd.come("quiet") is Verdict.BEGIN


def test_who_has_most_leaves_the_last_places_to_the_others() -> None:
    """One for each of the others that has anything under way: so they need not wait for somebody's end."""
    crowd = Crowd(Bounds(total=40, tenant=40, provider=40, at_once=100, alone=100))
    for tenant in ["a", "b"] + ["noisy"] * 40:
        crowd.come(tenant)
    crowd.settle()
    assert Counter(place.tenant for place in crowd.under_way) == {"a": 1, "b": 1, "noisy": 36}
    assert [crowd.come(tenant) for tenant in ("a", "b")] == [Verdict.BEGIN] * 2


def test_a_tenth_is_kept_at_most() -> None:
    """However many others there are."""
    crowd = Crowd(Bounds(total=40, tenant=40, provider=40, at_once=100, alone=100))
    for tenant in [f"t{number}" for number in range(10)] + ["noisy"] * 40:
        crowd.come(tenant)
    crowd.settle()
    assert len(crowd.under_way) == 36


def test_who_is_alone_has_every_place() -> None:
    """Nothing is kept for tenants that have nothing under way; nor once the others have gone."""
    crowd = Crowd(Bounds(total=10, tenant=10, provider=10, at_once=100, alone=100))
    for tenant in ["a"] + ["noisy"] * 20:
        crowd.come(tenant)
    crowd.settle()
    assert len(crowd.under_way) == 9
    crowd.end(crowd.under_way[0])
    crowd.settle()
    assert [place.tenant for place in crowd.under_way] == ["noisy"] * 10


def test_the_last_places_at_a_provider_are_kept_too() -> None:
    """Where the sidecar has room and the provider is what is full."""
    crowd = Crowd(Bounds(total=100, tenant=100, provider=10, at_once=100, alone=100))
    assert crowd.come("quiet", "slow") is Verdict.BEGIN
    assert [crowd.come("noisy", "slow") for _ in range(9)] == [Verdict.BEGIN] * 8 + [Verdict.WAIT]
    assert crowd.come("noisy", "other") is Verdict.BEGIN
    assert crowd.come("quiet", "slow") is Verdict.BEGIN


def test_a_weight_is_so_many_places() -> None:
    """Who has most is told by the weight: 6 of weight 3 are less than 3 of weight 1."""
    crowd = Crowd(Bounds(total=10, tenant=10, provider=10, at_once=100, alone=100), {"big": 3})
    for tenant in ["big"] * 6 + ["small"] * 3:
        crowd.come(tenant)
    assert crowd.come("small") is Verdict.WAIT
    assert crowd.come("big") is Verdict.BEGIN


def test_who_has_most_no_more_goes_on() -> None:
    """Nobody has ended: another has come to have more, and the last place is now for who waits."""
    crowd = Crowd(Bounds(total=20, tenant=20, provider=20, at_once=100, alone=100), {"big": 2})
    for tenant in ["big"] * 11 + ["b"] * 5 + ["c"] * 2:
        crowd.come(tenant)
    assert crowd.come("big") is Verdict.WAIT
    crowd.settle()
    assert crowd.come("b") is Verdict.BEGIN
    assert crowd.turn() == ["big"]


def test_few_begin_in_one_turn() -> None:
    """What comes together is spread; whoever comes next has its turn with the next few."""
    crowd = Crowd(Bounds(at_once=3, alone=5))
    for _ in range(20):
        crowd.come("noisy")
    assert len(crowd.under_way) == 5
    assert crowd.come("quiet") is Verdict.WAIT
    assert crowd.turn() == ["noisy", "quiet", "noisy"]


def test_who_is_alone_holds_up_nobody() -> None:
    """More of one tenant begin in a turn while no other has anything under way or in a line."""
    crowd = Crowd(Bounds(at_once=3, alone=5))
    for _ in range(12):
        crowd.come("noisy")
    assert len(crowd.turn()) == 5
    assert crowd.come("quiet") is Verdict.WAIT
    assert len(crowd.turn()) == 3


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        pytest.param(
            Bounds(total=10, tenant=2, line=3, at_once=100, alone=100), Verdict.TENANT_FULL, id="the tenant's own bound"
        ),
        pytest.param(
            Bounds(total=2, tenant=2, line=3, at_once=100, alone=100), Verdict.ALL_FULL, id="everything is full"
        ),
        pytest.param(Bounds(total=2, lines=3, at_once=100, alone=100), Verdict.ALL_FULL, id="all lines together"),
        pytest.param(Bounds(provider=2, line=3, at_once=100, alone=100), Verdict.ALL_FULL, id="the provider is full"),
    ],
)
def test_lines_are_bounded(bounds: Bounds, verdict: Verdict) -> None:
    """Two are under way and three wait; the next one is sent away, for the bound that it met."""
    crowd = Crowd(bounds)
    assert [crowd.come("a") for _ in range(6)] == [Verdict.BEGIN] * 2 + [Verdict.WAIT] * 3 + [verdict]


def test_a_long_line_leaves_room_for_the_others() -> None:
    """All lines together are full of one tenant's calls: another has its share of them all the same, and no more."""
    crowd = Crowd(Bounds(total=1, line=8, lines=8))
    for _ in range(20):
        crowd.come("noisy")
    assert [crowd.come("quiet") for _ in range(6)] == [Verdict.WAIT] * 4 + [Verdict.ALL_FULL] * 2
    assert crowd.come("noisy") is Verdict.ALL_FULL


def test_a_burst_that_has_room_is_taken_whole() -> None:
    """A line is for what has no room: what only waits for a turn of the loop is not sent away."""
    crowd = Crowd(Bounds(total=1_000, tenant=1_000, provider=1_000, line=0))
    assert [crowd.come("a") for _ in range(1_000)].count(Verdict.WAIT) == 936
    assert crowd.come("a") is Verdict.ALL_FULL
    crowd.settle()
    assert len(crowd.under_way) == 1_000


CALLER = st.tuples(st.sampled_from("abc"), st.sampled_from("pqr"))
STEP = st.one_of(CALLER, st.integers(0, 30), st.just("turn"))


@given(
    st.builds(
        Bounds,
        total=st.one_of(st.integers(1, 6), st.integers(11, 30)),
        tenant=st.one_of(st.integers(1, 4), st.integers(5, 20)),
        provider=st.one_of(st.integers(1, 4), st.integers(11, 30)),
        line=st.integers(0, 5),
        lines=st.integers(0, 9),
        at_once=st.integers(1, 3),
        alone=st.integers(1, 5),
    ),
    st.lists(STEP, max_size=60),
)
def test_the_bounds_hold_and_nobody_is_forgotten(bounds: Bounds, steps: list[object]) -> None:
    """Whatever comes and goes in whatever order: never more under way than may be, and when all is quiet nobody waits
    who could be under way.
    """
    crowd = Crowd(bounds)
    for step in steps:
        everybody = crowd.under_way + crowd.lines
        if isinstance(step, tuple):
            crowd.come(*step)
        elif isinstance(step, int) and everybody:
            crowd.end(everybody[step % len(everybody)])
        elif step == "turn":
            is_alone = len({place.tenant for place in everybody}) == 1
            assert len(crowd.turn()) <= (bounds.alone if is_alone else bounds.at_once)
        tenants = Counter(place.tenant for place in crowd.under_way)
        providers = Counter(place.provider for place in crowd.under_way)
        assert len(crowd.under_way) <= bounds.total
        assert max(tenants.values(), default=0) <= bounds.tenant
        assert max(providers.values(), default=0) <= bounds.provider
        assert (crowd.fair.under_way, crowd.fair.waiting) == (len(crowd.under_way), len(crowd.lines))
    crowd.settle()
    assert not [place for place in crowd.lines if crowd.fits(place)]
