"""The world's order, the actors' lives and clocks, and what its network does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.actor import Actor, Running
from tests.sim.network import LATE_SECONDS, Network, Weather
from tests.sim.world import Violated, World


def test_things_happen_in_their_order() -> None:
    """By time, and of one moment as they were planned; what is later than the end does not happen."""
    world = World(1)
    seen: list[tuple[str, float]] = []
    for name, seconds in (("late", 5.0), ("b", 2.0), ("c", 2.0), ("a", 1.0)):
        world.after(seconds, lambda name=name: seen.append((name, world.now)))  # type: ignore[misc]  # bound per turn
    world.run(4.0)
    assert seen == [("a", 1.0), ("b", 2.0), ("c", 2.0)]
    assert world.now == 4.0


def test_a_moment_that_is_past_is_now() -> None:
    """The clock never moves back."""
    world = World(1)
    seen: list[float] = []
    world.after(3.0, lambda: world.at(1.0, lambda: seen.append(world.now)))
    world.run(10.0)
    assert seen == [3.0]


def test_a_broken_promise_names_its_seed() -> None:
    """The invariant, what was seen and the seed are in the words."""
    world = World(42)
    world.check("it holds", True)
    with pytest.raises(Violated, match=r"^it holds: seen \(seed 42\)$"):
        world.check("it holds", False, "seen")
    assert world.checks == {"it holds": 2}


def test_an_actor_that_stands_still_goes_on_where_it_was() -> None:
    """Its timers fire when it goes on, in their order; its clock went on meanwhile."""
    world = World(1)
    actor = Actor(world, "a", clock_offset=100.0)
    seen: list[tuple[str, float]] = []
    actor.after(1.0, lambda: seen.append(("first", actor.now)))
    actor.after(2.0, lambda: seen.append(("second", actor.now)))
    actor.pause(5.0)
    world.run(10.0)
    assert seen == [("first", 105.0), ("second", 105.0)]
    assert actor.stood_still == 5.0
    assert world.faults == {"pause": 1}


def test_pauses_that_overlap_are_counted_once() -> None:
    """Standing still twice at once is standing still."""
    world = World(1)
    actor = Actor(world, "a")
    actor.pause(5.0)
    actor.pause(3.0)
    assert actor.stood_still == 5.0


def test_an_actor_that_died_does_nothing_more() -> None:
    """Timers and answers of its former life are lost, those of its new life are not; its clock begins elsewhere."""
    world = World(1)
    actor = Actor(world, "a")
    seen: list[str] = []
    actor.after(1.0, lambda: seen.append("timer of before"))
    life = actor.life
    world.after(2.0, lambda: actor.hear(life, lambda: seen.append("answer of before")))
    actor.kill()
    actor.restart(clock_offset=-50.0)
    actor.after(1.0, lambda: seen.append("timer of now"))
    world.run(10.0)
    assert seen == ["timer of now"]
    assert actor.now == -40.0


def test_a_protocol_is_stepped_and_its_effects_performed() -> None:
    """The step gets state, event, the actor's clock and dice of the world; its effects come out in their order."""
    world = World(1)
    actor = Actor(world, "a", clock_offset=7.0)
    performed: list[str] = []

    def step(state: int, event: str, now: float, dice: float) -> tuple[int, list[str]]:
        assert now == 7.0
        assert 0 <= dice < 1
        return state + 1, [f"{event}{state}", "then"]

    running: Running[int, str, str] = Running(actor, step, 0, performed.append)
    running.give("x")
    running.give("y")
    assert performed == ["x0", "then", "y1", "then"]
    assert running.state == 2


@pytest.mark.parametrize(
    ("weather", "fault", "arrives"),
    [
        (Weather(), None, "soon"),
        (Weather(lost_request=1.0), "lost request", "never"),
        (Weather(late_request=1.0), "late request", "late"),
        (Weather(lost_answer=1.0, late_answer=1.0), None, "soon"),
    ],
)
def test_a_request_on_its_way(weather: Weather, fault: str | None, arrives: str) -> None:
    """It arrives at once, late or never; what happens to answers does not happen to it."""
    world, seen = World(1), list[Any]()
    Network(world, weather).request(lambda: seen.append(world.now))
    world.run(100.0)
    assert list(world.faults) == ([fault] if fault else [])
    match arrives:
        case "never":
            assert seen == []
        case "soon":
            assert 0 < seen[0] < LATE_SECONDS[0]
        case _:
            assert LATE_SECONDS[0] <= seen[0] <= LATE_SECONDS[1]
