"""What is shared in a simulated world: which limits, what exchanges cost, how many there are, how long they wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.core.quota.limit import Demand, Limit, Tokens, Want, Window
from tests.sim.pacer import Habit
from tests.sim.world import World

LONGEST_DEADLINE = 6.0
LOADS = (0.3, 0.9, 1.5, 3.0)  # of what the limits allow
CROWDED = (1.5, 3.0)
MOST_A_SECOND = 14.0  # more exchanges make worlds slow and find nothing else
STEADY_A_SECOND = 36.0  # but where it is about calls that come one right after the other


Draw = Callable[[float], tuple[Demand, ...]]


@dataclass(frozen=True)
class Shape:
    """`rate`: exchanges a second of all sidecars together; `deadline`: the longest they wait, in seconds."""

    name: str
    demands: tuple[Demand, ...]
    rate: float
    deadline: float
    habit: Habit

    @property
    def slots(self) -> bool:
        return any(want.limit.slots for demand in self.demands for want in demand.wants)

    @property
    def longest_window(self) -> float:
        windows = (window.seconds for demand in self.demands for want in demand.wants for window in want.limit.windows)
        return max(windows, default=1.0)


def limit(
    key: str,
    *windows: tuple[int, float],
    tokens: tuple[float, int] | None = None,
    slots: int | None = None,
    variation: float = 0.02,
) -> Limit:
    kept = tuple(Window(units, seconds) for units, seconds in windows)
    return Limit(f"p|{key}", key, kept, None if tokens is None else Tokens(*tokens), slots, variation)


def demand(*limits: Limit, cost: int = 1, family: str = "p") -> Demand:
    """What costs so much of each of these limits."""
    return Demand(family, f"{family}|told", tuple(Want(one, cost) for one in limits))


def second(variation: float) -> tuple[Demand, ...]:
    return (demand(limit("second", (5, 1.0), variation=variation)),)


def one(variation: float) -> tuple[Demand, ...]:
    return (demand(limit("one", (1, 1.0), variation=variation)),)


def costs(variation: float) -> tuple[Demand, ...]:
    units = limit("units", (20, 2.0), variation=variation)
    return tuple(demand(units, cost=cost) for cost in (1, 3, 8))


def credits_(variation: float) -> tuple[Demand, ...]:
    units = limit("credits", (40, 4.0), variation=variation)
    return (demand(units),)


def credits_of_some(variation: float) -> tuple[Demand, ...]:
    units = limit("more", (120, 8.0), variation=variation)
    return tuple(demand(units, cost=cost) for cost in (1, 2, 3))


def steady(variation: float) -> tuple[Demand, ...]:
    """Of so few units nothing is lent: who does not wait for an answer has asked before."""
    return (demand(limit("steady", (36, 1.0), variation=variation)),)


def two_windows(variation: float) -> tuple[Demand, ...]:
    return (demand(limit("two", (8, 1.0), (20, 5.0), variation=variation)),)


def long(variation: float) -> tuple[Demand, ...]:
    return (demand(limit("long", (60, 12.0), variation=variation)),)


def tokens(variation: float) -> tuple[Demand, ...]:
    return (demand(limit("tokens", tokens=(6.0, 3), variation=variation)),)


def tokens_and_window(variation: float) -> tuple[Demand, ...]:
    both = limit("both", (30, 6.0), tokens=(8.0, 4), variation=variation)
    return tuple(demand(both, cost=cost) for cost in (1, 2))


def slots(variation: float) -> tuple[Demand, ...]:
    return (demand(limit("slots", slots=3, variation=variation)),)


def slots_and_window(variation: float) -> tuple[Demand, ...]:
    return (demand(limit("few", (16, 2.0), slots=2, variation=variation)),)


def users(variation: float) -> tuple[Demand, ...]:
    project = limit("project", (9, 1.0), variation=variation)
    return tuple(demand(project, limit(f"user{number}", (6, 2.0), variation=variation)) for number in range(3))


def families(variation: float) -> tuple[Demand, ...]:
    first = demand(limit("first", (5, 1.0), variation=variation))
    other = demand(limit("other", (12, 3.0), variation=variation), family="q")
    return (first, other, Demand("r", "r|told"))


SHAPES: tuple[Draw, ...] = (
    second,
    one,
    costs,
    credits_,
    credits_of_some,
    steady,
    two_windows,
    long,
    tokens,
    tokens_and_window,
    slots,
    slots_and_window,
    users,
    families,
)


def draw(world: World, shapes: tuple[Draw, ...] = SHAPES, loads: tuple[float, ...] = LOADS) -> Shape:
    """The shape of this world, one of these, with one of these loads."""
    dice = world.random
    make = dice.choice(shapes)
    variation = dice.choice((0.02, 0.02, 0.05))
    demands = make(variation)
    seconds = dice.choice(((0.1, 1.5), (2.0, 6.0))) if "slots" in make.__name__ else (0.01, 0.1)
    habit = Habit(seconds, variation, late=dice.choice((0.0, 0.05)), leaves=dice.choice((0.0, 0.0, 0.1)))
    rate = min(STEADY_A_SECOND if make is steady else MOST_A_SECOND, dice.choice(loads) * allowed(demands))
    return Shape(make.__name__, demands, rate, dice.choice((0.4, 2.0, LONGEST_DEADLINE)), habit)


def allowed(demands: tuple[Demand, ...]) -> float:
    """About how many exchanges a second these limits allow."""
    each = [_allowed(demand) for demand in demands if demand.wants]
    return sum(each) / len(each)


def _allowed(demand: Demand) -> float:
    rates = [2.0 for want in demand.wants if want.limit.slots]
    for want in demand.wants:
        rates += [window.units / window.seconds / want.cost for window in want.limit.windows]
        if want.limit.tokens is not None:
            rates.append(want.limit.tokens.rate / want.cost)
    return min(rates)
