"""Tenants that share a sidecar have their turns in simulated worlds; each promise can be seen to break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from sidecar.core.fair import Bounds, Fair, Place
from tests.sim.turns import MakeFair, simulate
from tests.sim.world import Violated

SEEDS = range(60)
Weight = Callable[[str], int]


def test_every_promise_holds_in_every_world() -> None:
    """Every promise was looked at, none broken; messages were done, refused and given up."""
    checks, outcomes = Counter[str](), Counter[str]()
    for seed in SEEDS:
        world = simulate(seed)
        checks += world.checks
        outcomes += world.outcomes
    assert len(checks) == 12
    assert set(outcomes) == {"done", "refused", "given up"}


def test_a_seed_is_one_world() -> None:
    """The same seed gives the same bytes; another seed gives others."""
    trace = simulate(7).trace
    assert simulate(7).trace == trace
    assert simulate(8).trace != trace


class FirstCome(Fair[Place]):
    """Serves the line that was there first until it is empty."""

    def _next(self) -> Place | None:
        for tenant in list(self._round):
            place = self._first_with_room(tenant, self._lines[tenant])
            if place is not None:
                self._lines[tenant].waiting[place.provider].popleft()
                self._shorten(place)
                return place
        return None


class Deaf(Fair[Place]):
    """Does not notice that somebody ended."""

    def leave(self, place: Place) -> None:
        going = self._may_go
        super().leave(place)
        self._may_go = going


class Greedy(Fair[Place]):
    """Begins whatever comes at once."""

    def turn(self) -> list[Place]:
        return [*super().turn(), *super().turn()]


class Forgetful(Fair[Place]):
    """Counts nothing down of who gave up while it waited."""

    def leave(self, place: Place) -> None:
        if place.under_way:
            super().leave(place)


class Selfish(Fair[Place]):
    """Lets whoever comes have the last places."""

    def _room(self, tenant: str, provider: str) -> int:
        if super()._room(tenant, provider):
            return 1
        bounds, there = self._bounds, self._providers.get(provider)
        has_place = self.under_way < bounds.total and (there is None or there.under_way < bounds.provider)
        return int(has_place and self._all.of.get(tenant, 0) < bounds.tenant)


class Unweighted(Fair[Place]):
    """Compares what tenants have as if all were of one weight."""

    def __init__(self, bounds: Bounds, weight: Weight) -> None:
        super().__init__(bounds, lambda _tenant: 1)
        self._weight = weight


def with_bounds(**other: int) -> MakeFair:
    def make(bounds: Bounds, weight: Weight) -> Fair[Place]:
        known = {name: getattr(bounds, name) for name in Bounds.__struct_fields__}
        return Fair(Bounds(**(known | other)), weight)

    return make


PLANTED = [
    pytest.param(FirstCome, "tenants have turns one after the other", id="the first line first"),
    pytest.param(Deaf, "nobody waits who has room, when all is quiet", id="an end is not noticed"),
    pytest.param(Greedy, "few begin in one turn", id="two turns in one"),
    pytest.param(Forgetful, "who gave up goes on", id="who gave up still waits"),
    pytest.param(Selfish, "the last places are for those who have less", id="no place is kept"),
    pytest.param(Unweighted, "the last places are for those who have less", id="the largest without weights"),
    pytest.param(with_bounds(at_once=8), "few begin in one turn", id="everybody is taken for alone"),
    pytest.param(with_bounds(total=99), "no more under way than may be", id="no bound in all"),
    pytest.param(with_bounds(tenant=99), "no more of one tenant", id="no bound of a tenant"),
    pytest.param(with_bounds(provider=99), "no more at one provider", id="no bound at a provider"),
    pytest.param(with_bounds(line=0), "a line is for as many as it may hold", id="no lines"),
    pytest.param(with_bounds(line=500, lines=500), "lines are bounded", id="lines without bound"),
]


@pytest.mark.parametrize(("make", "promise"), PLANTED)
def test_a_planted_bug_is_caught(make: MakeFair, promise: str) -> None:
    """By the promise that it breaks, in one of the first worlds."""
    broken = set[str]()
    for seed in range(200):
        try:
            simulate(seed, make)
        except (Violated, StopIteration) as seen:
            broken.add(seen.invariant if isinstance(seen, Violated) else "who gave up goes on")
        if promise in broken:
            break
    assert promise in broken
