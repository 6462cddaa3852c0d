"""Shared quotas keep their promises in simulated worlds; each promise is looked at where it can break."""

from __future__ import annotations

import importlib
from collections import Counter

import pytest
from msgspec.structs import replace

from sidecar.core.quota.event import Asked, Began, Effect, Event, Go, Wake
from sidecar.core.quota.node import Node
from sidecar.core.quota.pace import Pace
from tests.sim import crude, denials, judge, shares
from tests.sim.pacer import MakeNode
from tests.sim.planted import Edit, planted
from tests.sim.quota import KINDS, simulate
from tests.sim.quota_bugs import BUGS, Bug
from tests.sim.quota_figures import SCENES, Scene, alone, run, units
from tests.sim.shape import SHAPES, Draw, demand, limit
from tests.sim.world import Violated, World

SEEDS = range(80)
CATCHING = 400
QUICK = [scene for scene in SCENES if scene.bar is not None and scene.quick]


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
        shares.ONE_LEASE,
        shares.CLOSED,
        shares.ANSWERED,
        shares.SERVED,
        shares.SILENT,
        denials.JUST_TOLD,
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
        if isinstance(event, Began):
            event = Began(tuple((call, at + self._origin) for call, at in event.calls))
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


def caught(
    make: MakeNode,
    promises: tuple[str, ...],
    kinds: tuple[str, ...] = KINDS,
    shapes: tuple[Draw, ...] = SHAPES,
    first: int = 0,
) -> bool:
    """Whether one of these promises is broken in one of so many worlds."""
    for seed in range(first, first + CATCHING):
        try:
            simulate(seed, make, kinds=kinds, shapes=shapes)
        except Violated as violated:
            if violated.invariant in promises:
                return True
    return False


@pytest.mark.parametrize(
    ("make", "promise"),
    [
        (crude.Greedy, judge.IN_WINDOW),
        (crude.Greedy, judge.IN_BUCKET),
        (crude.Greedy, judge.IN_SLOTS),
        (crude.Twice, shares.LET_GO_ONCE),
        (crude.Mute, shares.ANSWERED),
        (crude.Tardy, shares.IN_TIME),
        (crude.Late, shares.NOT_PAST),
        (crude.Stubborn, shares.AFTER),
        (crude.Never, shares.SERVED),
        (crude.Usurper, shares.ONE_OWNER),
        (crude.Deaf, shares.CLOSED),
        (crude.Restless, shares.SILENT),
        (crude.Presumptuous, denials.JUST_TOLD),
    ],
)
def test_a_node_that_breaks_its_promise_is_caught(make: MakeNode, promise: str) -> None:
    """Each crude node breaks its promise in one of the first worlds."""
    assert caught(make, (promise,))


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    """Each breaks its promise in one of the first worlds of the kinds where it can show."""
    node = planted(*bug.edits).Node
    assert caught(node, bug.breaks, bug.kinds, bug.shapes, bug.first)


def test_a_plant_leaves_the_code_as_it_was() -> None:
    """The module with a bug is another one; and what does not stand there cannot be planted."""
    node = planted(BUGS[0].edits[0]).Node
    assert node is not Node
    assert importlib.import_module("sidecar.core.quota.node").Node is Node
    with pytest.raises(ValueError, match="0 times, not once"):
        planted(Edit("node", "no such text", ""))


@pytest.mark.parametrize(
    "scene", [one for one in SCENES if one.bar is not None and one.quick], ids=lambda one: one.name
)
def test_a_quota_is_used(scene: Scene) -> None:
    """As much of it as can be, under loads as in production, and never more than it."""
    assert scene.bar is not None
    assert run(scene).used >= scene.bar


def test_backlogged_sidecars_get_equal_shares() -> None:
    """All four want more than they get: they differ by no more than what is granted ahead."""
    counted = run(Scene("fair", units(100), 3.0, seconds=8.0)).shares
    assert max(counted) - min(counted) <= 1 + Pace().horizon * 100


def test_an_estimate_is_kept() -> None:
    """Who is told how long it waits, and nobody comes later, starts by then."""
    world = World(3)
    company = alone(world, demand(limit("few", (5, 1.0))))
    for _ in range(18):
        company.pacers[0].ask(company.shape.demands[0], 60.0)
    world.run(60.0)
    waited = [one for one in company.shares.kept if one.estimate is not None]
    assert len(waited) >= 12
    for one in waited:
        assert one.estimate is not None
        assert one.sent_at - one.began <= one.estimate.seconds + 0.05
