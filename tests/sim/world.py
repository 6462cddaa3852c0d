"""A world of discrete events: one clock that only moves, one seeded random, one trace. Nothing in it waits."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable

Act = Callable[[], None]


class World:
    """What happens is a list of acts, each at its moment, in seconds; of one moment in the order they were planned.

    Everything random comes from `random`, everything that is worth knowing goes into `trace`: the same seed gives the
    same bytes. `faults` counts what was done to the actors, `checks` which invariants
    were looked at, `outcomes` how what was begun ended.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.random = random.Random(seed)
        self.trace: list[bytes] = []
        self.faults: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self._plan: list[tuple[float, int, Act]] = []
        self._planned = 0

    def after(self, seconds: float, act: Act) -> None:
        self.at(self.now + seconds, act)

    def at(self, moment: float, act: Act) -> None:
        """A moment that is past is now."""
        self._planned += 1
        heapq.heappush(self._plan, (max(moment, self.now), self._planned, act))

    def run(self, until: float) -> None:
        """Let everything happen that is planned up to this moment."""
        plan = self._plan
        while plan and plan[0][0] <= until:
            self.now, _, act = heapq.heappop(plan)
            act()
        self.now = until

    def tell(self, what: str) -> None:
        self.trace.append(f"{self.now:.6f} {what}".encode())

    def fault(self, name: str, what: str = "") -> None:
        """A fault that is being done now."""
        self.faults[name] += 1
        self.tell(f"fault {name} {what}")

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def check(self, invariant: str, holds: bool, what: object = "") -> None:
        """Raises Violated, with what was seen, when an invariant does not hold."""
        self.checks[invariant] += 1
        if not holds:
            raise Violated(self, invariant, str(what))


class Violated(AssertionError):
    """An invariant does not hold in this world."""

    def __init__(self, world: World, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what} (seed {world.seed})")
        self.world = world
        self.seed = world.seed
        self.invariant = invariant
