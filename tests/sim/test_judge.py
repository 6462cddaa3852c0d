"""The strict provider catches what it is there to catch, and nothing else."""

from __future__ import annotations

import pytest

from sidecar.core.quota.event import Heard, Undelivered
from sidecar.core.quota.limit import Limit
from sidecar.core.quota.message import NotMine
from tests.sim.actor import Actor
from tests.sim.judge import IN_BUCKET, IN_SLOTS, IN_WINDOW, Judge, Strict
from tests.sim.mesh import Loss, Mesh
from tests.sim.shape import demand, limit
from tests.sim.world import Violated, World

Arrivals = list[tuple[float, int]]


def broken(kept: Limit, arrivals: Arrivals, *, phases: int = 0, slack: float = 0.0) -> str | None:
    """What does not hold of it when so many units arrive at these moments."""
    world = World(1)
    judge = Judge(kept, phases=phases, slack=slack)
    for moment, cost in arrivals:
        world.at(moment, lambda cost=cost: judge.take(world, cost, ""))  # type: ignore[misc]  # bound per turn
    try:
        world.run(1_000.0)
    except Violated as violated:
        return violated.invariant
    return None


@pytest.mark.parametrize(
    ("kept", "arrivals", "what"),
    [
        (limit("a", (2, 1.0)), [(0.0, 1), (0.999, 1), (1.0, 1), (1.999, 1)], None),
        (limit("a", (2, 1.0)), [(0.5, 1), (0.9, 1), (1.4, 1)], IN_WINDOW),
        (limit("a", (2, 1.0)), [(0.0, 3)], IN_WINDOW),
        (limit("a", (9, 1.0), (3, 5.0)), [(0.0, 1), (2.0, 1), (4.0, 1), (4.9, 1)], IN_WINDOW),
        (limit("a", tokens=(2.0, 3)), [(0.0, 3), (0.5, 1), (1.0, 1), (9.0, 3)], None),
        (limit("a", tokens=(2.0, 3)), [(0.0, 3), (0.4, 1)], IN_BUCKET),
        (limit("a", tokens=(2.0, 3)), [(9.0, 4)], IN_BUCKET),
    ],
)
def test_what_arrives_is_counted(kept: Limit, arrivals: Arrivals, what: str | None) -> None:
    """In every window of a limit and in its token bucket, at the moment of arrival."""
    assert broken(kept, arrivals) == what


def test_slots_are_counted_until_the_provider_is_done() -> None:
    """Two at once of one slot are one too many; one after the other are not."""
    one = demand(limit("a", slots=1))

    def run(second_at: float) -> None:
        world = World(1)
        strict = Strict(world, [one])
        for moment in (0.0, second_at):
            world.at(moment, lambda: strict.take(one, "", 0.5))
        world.run(9.0)

    run(0.5001)
    with pytest.raises(Violated, match=IN_SLOTS):
        run(0.4999)


def test_other_ways_of_counting_are_looked_at_too() -> None:
    """Fixed windows of every phase and a token bucket hold where the sliding window does; by themselves they are less
    strict, so each is told of here.
    """
    kept = limit("a", (2, 1.0))
    assert broken(kept, [(0.0, 1), (0.25, 1), (1.0, 1), (1.25, 1)], phases=8) is None
    counting = Judge(kept, phases=8)._windows
    assert len(counting) == 1 + 8 + 1
    assert [window.take(0.55, 3) for window in counting] == [False] * 10


def test_clocks_that_run_wrong_are_given_slack() -> None:
    """A window that is shorter by that share."""
    arrivals = [(0.0, 1), (0.1, 1), (0.98, 1)]
    assert broken(limit("a", (2, 1.0)), arrivals) == IN_WINDOW
    assert broken(limit("a", (2, 1.0)), arrivals, slack=0.03) is None


class Ear:
    """Somebody on the mesh who writes down what comes."""

    def __init__(self, world: World, me: str) -> None:
        self.me = me
        self.actor = Actor(world, me)
        self.heard: list[str] = []

    def on(self, event: Heard | Undelivered) -> None:
        assert isinstance(event.message, NotMine)
        self.heard.append(("" if isinstance(event, Heard) else "not ") + str(event.message.partition))


def meshed(loss: Loss, messages: int) -> tuple[World, Ear, Ear]:
    world = World(1)
    mesh = Mesh(world, loss)
    sender, receiver = Ear(world, "a"), Ear(world, "b")
    mesh.join(sender)
    mesh.join(receiver)
    for number in range(messages):
        mesh.send(sender, "b", NotMine(number), certain=False)
    mesh.send(sender, "c", NotMine(-1), certain=True)
    mesh.send(sender, "c", NotMine(-1), certain=False)
    world.run(99.0)
    return world, sender, receiver


def test_messages_keep_their_order() -> None:
    """However late some are; and who is sure to be told of a message to nobody is told."""
    world, sender, receiver = meshed(Loss(late=0.5), 50)
    assert receiver.heard == [f"{number}" for number in range(50)]
    assert sender.heard == ["not -1"]
    assert world.faults["late message"] > 10


def test_messages_are_lost_and_come_twice() -> None:
    """As often as it is said."""
    world, _, receiver = meshed(Loss(lost=0.3, twice=0.3), 200)
    assert world.faults["lost message"] > 30
    assert len(receiver.heard) > len(set(receiver.heard)) > 100
