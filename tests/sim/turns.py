"""Tenants that share one sidecar: a noisy one, a provider that hangs, callers that give up; who has turns, and when."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from sidecar.core.fair import Bounds, Fair, Place, Verdict
from tests.sim.world import World

RUN_SECONDS = 8.0
TURN_SECONDS = 0.002  # of the loop
NOISY, QUIET = "noisy", ("a", "b", "c")
HANGS = "hangs"

MakeFair = Callable[[Bounds, Callable[[str], int]], Fair[Place]]


class Message(Place, eq=False):
    seconds: float = 0.0
    ended: bool = False


class Sidecar:
    """Turns of the loop around the gate, and the judge of who has them."""

    def __init__(self, world: World, fair: Fair[Place], bounds: Bounds, weights: dict[str, int]) -> None:
        self.world = world
        self.fair = fair
        self.bounds = bounds
        self.weights = weights
        self.under_way: list[Place] = []
        self.lines: list[Message] = []
        self.came = 0
        self.ends = 0
        self.scheduled = False
        self.passed: Counter[str] = Counter()  # by tenant that has room: how often others went first

    def come(self, message: Message) -> None:
        self.came += 1
        lines = len([other for other in self.lines if other.tenant == message.tenant])
        verdict = self.fair.ask(message)
        if verdict is Verdict.BEGIN:
            self._begin(message)
        elif verdict is Verdict.WAIT:
            self.lines.append(message)
            if self.world.chance(0.1):
                self.world.after(self.world.random.uniform(0, 2), lambda: self._give_up(message))
        else:
            full = lines >= self.bounds.line or len(self.lines) >= self.bounds.lines
            self.world.check("a line is for as many as it may hold", full, message.tenant)
            self._end(message, "refused")
        self.world.check("lines are bounded", lines <= self.bounds.line + self.bounds.total, message.tenant)
        self._schedule()

    def _give_up(self, message: Message) -> None:
        """Its caller cancels it while it waits."""
        if message in self.lines:
            self.lines.remove(message)
            self.fair.leave(message)
            self._end(message, "given up")
            self._schedule()

    def _schedule(self) -> None:
        if not self.scheduled and self.fair.wants_turn:
            self.scheduled = True
            self.world.after(TURN_SECONDS, self._turn)

    def _turn(self) -> None:
        self.scheduled = False
        alone = len({place.tenant for place in (*self.under_way, *self.lines)}) == 1
        going = self.fair.turn()
        most = self.bounds.alone if alone else self.bounds.at_once
        self.world.check("few begin in one turn", len(going) <= most, len(going))
        for place in going:
            message = next(other for other in self.lines if other is place)
            self.lines.remove(message)
            self._pass(message)
            self._begin(message)
        self._schedule()
        if not self.scheduled:
            waiting = [message.tenant for message in self.lines if self._room(message)]
            self.world.check("nobody waits who has room, when all is quiet", not waiting, waiting)

    def _pass(self, gone: Message) -> None:
        """Those who wait, have room, and see another tenant go first."""
        ready = {message.tenant for message in self.lines if self._room(message)} - {gone.tenant}
        self.passed = Counter({tenant: self.passed[tenant] + 1 for tenant in ready})
        for tenant, times in self.passed.items():
            # Two rounds: who had no room when its turn came stands at the end of the round.
            most = 2 * sum(self.weights.get(other, 1) for other in (NOISY, *QUIET) if other != tenant)
            self.world.check("tenants have turns one after the other", times <= most, (tenant, times, most))

    def _room(self, place: Place) -> bool:
        there = [other for other in self.under_way if other.provider == place.provider]
        return (
            sum(other.tenant == place.tenant for other in self.under_way) < self.bounds.tenant
            and self._has_place(place.tenant, self.under_way, self.bounds.total)
            and self._has_place(place.tenant, there, self.bounds.provider)
        )

    def _has_place(self, tenant: str, under_way: Sequence[Place], most: int) -> bool:
        """One that is not kept for tenants that have less under way than another."""
        has = Counter(other.tenant for other in under_way)
        by_weight = {other: number / self.weights.get(other, 1) for other, number in has.items()}
        others = [by_weight[other] for other in by_weight if other != tenant]
        is_behind = by_weight.get(tenant, 0) < max(others, default=0)
        kept = 0 if is_behind else min(len(others), math.ceil(most / 10))
        return most - len(under_way) > kept

    def _begin(self, message: Message) -> None:
        world, bounds = self.world, self.bounds
        has_room = self._room(message)
        self.under_way.append(message)
        tenants = Counter(place.tenant for place in self.under_way)
        providers = Counter(place.provider for place in self.under_way)
        world.check("no more under way than may be", len(self.under_way) <= bounds.total)
        world.check("no more of one tenant", max(tenants.values()) <= bounds.tenant, tenants)
        world.check("no more at one provider", max(providers.values()) <= bounds.provider, providers)
        world.check("the last places are for those who have less", has_room, message.tenant)
        world.after(message.seconds, lambda: self._done(message))

    def _done(self, message: Message) -> None:
        self.under_way.remove(message)
        self.fair.leave(message)
        self._end(message, "done")
        self._schedule()

    def _end(self, message: Message, how: str) -> None:
        self.world.check("every message has one end", not message.ended, message.tenant)
        message.ended = True
        self.ends += 1
        self.world.outcomes[how] += 1
        self.world.tell(f"{message.tenant} {message.provider} {how}")


def simulate(seed: int, make: MakeFair = Fair) -> World:
    """The world of this seed after its run. Raises Violated when a promise was not kept."""
    world = World(seed)
    dice = world.random
    times = dice.choice((1, 4))
    total = dice.randint(2, 12) * times
    bounds = Bounds(
        total=total,
        tenant=dice.randint(max(1, total // 2), total),
        provider=dice.randint(times, total),
        line=dice.randint(0, 10),
        lines=dice.randint(5, 40),
        at_once=dice.randint(1, 4),
        alone=dice.randint(4, 8),
    )
    weights = {dice.choice(QUIET): dice.randint(1, 4)}
    sidecar = Sidecar(world, make(bounds, lambda tenant: weights.get(tenant, 1)), bounds, weights)
    crowd = [(NOISY, dice.choice((20.0, 60.0))), *((tenant, dice.choice((0.5, 5.0))) for tenant in QUIET)]
    crowd = [(tenant, rate * times) for tenant, rate in crowd]
    for tenant, rate in crowd:
        moment = 0.0
        while (moment := moment + dice.expovariate(rate)) < RUN_SECONDS / times:
            provider = HANGS if dice.random() < 0.05 else dice.choice("pq")
            seconds = dice.uniform(1, 5) if provider == HANGS else dice.uniform(0.01, 0.3)
            message = Message(tenant, provider, seconds=seconds)
            world.at(moment, lambda message=message: sidecar.come(message))  # type: ignore[misc]  # as it is now
    world.run(RUN_SECONDS + 600)
    world.check("everybody is answered", sidecar.ends == sidecar.came, (sidecar.ends, sidecar.came))
    world.check("nothing is left behind", sidecar.fair.under_way == sidecar.fair.waiting == 0)
    return world
