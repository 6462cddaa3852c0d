"""Shared quotas keep their promises in simulated worlds; each promise is looked at where it can break."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from sidecar.core.quota.event import Asked, Effect, Event, Go, Wake
from sidecar.core.quota.node import Node
from tests.sim import crude, judge, shares
from tests.sim.pacer import MakeNode
from tests.sim.quota import simulate
from tests.sim.world import Violated

SEEDS = range(150)


def test_every_promise_holds_in_every_world() -> None:
    """Some hundred seeds: no promise is broken, every kind of trouble was made, every promise was looked at."""
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    for seed in SEEDS:
        world = simulate(seed)
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    made = {"kill", "pause", "snapshot", "cut off", "store away for one", "silence", "nobody", "late starter"}
    assert made | {"lost message", "late message"} <= set(faults)
    assert set(checks) == {
        judge.IN_WINDOW,
        judge.IN_BUCKET,
        judge.IN_SLOTS,
        shares.LET_GO_ONCE,
        shares.IN_TIME,
        shares.NOT_PAST,
        shares.AFTER,
        shares.ONE_OWNER,
        shares.CLOSED,
        shares.ANSWERED,
        shares.SERVED,
        shares.SILENT,
    }
    assert {"sent", "refused", "refused away", "left", "left in order", "permit void"} <= set(outcomes)


def test_a_seed_is_one_world() -> None:
    """The same seed gives the same bytes; another seed gives others."""
    trace = simulate(7).trace
    assert simulate(7).trace == trace
    assert simulate(8).trace != trace


class Shifted:
    """A node whose clock has another origin."""

    def __init__(self, node: Node, origin: float) -> None:
        self._node = node
        self._origin = origin

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        if isinstance(event, Asked):
            event = replace(event, deadline=event.deadline + self._origin)
        return [self._back(effect) for effect in self._node.on(event, now + self._origin, jitter)]

    def _back(self, effect: Effect) -> Effect:
        match effect:
            case Go(_, earliest, latest):
                return replace(effect, earliest=earliest - self._origin, latest=latest - self._origin)
            case Wake(at) if at is not None:
                return Wake(at - self._origin)
            case _:
                return effect


def test_no_clock_has_a_meaning_to_others() -> None:
    """Whatever the origin of a sidecar's clock, the same happens at the same moments."""

    def shifted(me: str, scope: str) -> Shifted:
        return Shifted(Node(me, scope), 4096.0 * (1 + len(me)))

    for seed in range(5):
        assert simulate(seed, shifted).trace == simulate(seed).trace


def broken(make: MakeNode, seeds: range = SEEDS) -> str | None:
    """The first promise that is broken with such a node, or None."""
    for seed in seeds:
        try:
            simulate(seed, make)
        except Violated as violated:
            return violated.invariant
    return None


@pytest.mark.parametrize(
    ("make", "promise"),
    [
        (crude.Greedy, judge.IN_WINDOW),
        (crude.Twice, shares.LET_GO_ONCE),
        (crude.Mute, shares.ANSWERED),
        (crude.Late, shares.NOT_PAST),
        (crude.Stubborn, shares.AFTER),
        (crude.Never, shares.SERVED),
        (crude.Usurper, shares.ONE_OWNER),
        (crude.Deaf, shares.CLOSED),
        (crude.Restless, shares.SILENT),
    ],
)
def test_a_node_that_breaks_its_promise_is_caught(make: MakeNode, promise: str) -> None:
    """Each crude node breaks its promise in one of the first worlds."""

    def breaks(seed: int) -> bool:
        try:
            simulate(seed, make)
        except Violated as violated:
            return violated.invariant == promise
        return False

    assert any(breaks(seed) for seed in SEEDS)
