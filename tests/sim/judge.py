"""A provider that is strict where requests arrive: it counts what came in any of its windows, and what is under way.

It knows nothing of sidecars. What it saw is the only truth about a quota.
"""

from __future__ import annotations

from collections import deque

from sidecar.core.quota.limit import Demand, Limit
from tests.sim.world import World

ROUNDING = 1e-6
IN_WINDOW = "never more than a limit's units arrive in any of its windows"
IN_BUCKET = "never more than a token bucket holds"
IN_SLOTS = "never more exchanges under way than a limit has slots"


class Sliding:
    """At most `units` in any half-open window of so many seconds, by the moment of arrival."""

    def __init__(self, units: int, seconds: float) -> None:
        self.units = units
        self.seconds = seconds
        self.inside = 0
        self._arrived: deque[tuple[float, int]] = deque()

    def take(self, now: float, cost: int) -> bool:
        """Whether it still holds with this arrival, which counts in any case."""
        arrived = self._arrived
        while arrived and arrived[0][0] <= now - self.seconds:
            self.inside -= arrived.popleft()[1]
        arrived.append((now, cost))
        self.inside += cost
        return self.inside <= self.units


class Fixed:
    """At most `units` in each window of so many seconds, the first of which begins at `phase`."""

    def __init__(self, units: int, seconds: float, phase: float) -> None:
        self.units = units
        self.inside = 0
        self._seconds = seconds
        self._phase = phase
        self._window = -1

    def take(self, now: float, cost: int) -> bool:
        window = int((now - self._phase) // self._seconds)
        if window != self._window:
            self._window, self.inside = window, 0
        self.inside += cost
        return self.inside <= self.units


class Refilled:
    """A token bucket: `rate` units come back each second, up to `burst`. It starts full."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = 0.0

    def take(self, now: float, cost: int) -> bool:
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - cost
        self._at = now
        return self._level >= -ROUNDING


class Judge:
    """One limit at the provider. `slack`: by what share its windows are shorter, for clocks that run wrong.

    With `phases` it is also looked at as a provider with fixed windows of so many phases would, and as one with a token
    bucket of the same figures: what keeps a sliding window keeps these.
    """

    def __init__(self, limit: Limit, *, slack: float = 0.0, phases: int = 0) -> None:
        self.limit = limit
        self.arrived = 0
        self.under_way = 0
        self.log: list[tuple[float, int]] = []
        self._windows: list[Sliding | Fixed | Refilled] = []
        self._tokens: Refilled | None = None
        for window in limit.windows:
            seconds = window.seconds * (1 - slack)
            self._windows.append(Sliding(window.units, seconds))
            fixed = (Fixed(window.units, seconds, seconds * phase / phases) for phase in range(phases))
            self._windows.extend(fixed)
            if phases:
                self._windows.append(Refilled(window.units / seconds, window.units))
        if limit.tokens is not None:
            self._tokens = Refilled(limit.tokens.rate / (1 - slack), limit.tokens.burst)

    def take(self, world: World, cost: int, what: str) -> None:
        """An exchange arrives."""
        now, name = world.now, self.limit.key
        self.arrived += cost
        self.log.append((now, cost))
        for window in self._windows:
            world.check(IN_WINDOW, window.take(now, cost), (name, what))
        if self._tokens is not None:
            world.check(IN_BUCKET, self._tokens.take(now, cost), (name, what))
        if self.limit.slots is not None:
            self.under_way += 1
            world.check(IN_SLOTS, self.under_way <= self.limit.slots, (name, self.under_way, what))

    def end(self) -> None:
        """The provider is done with an exchange."""
        self.under_way -= 1

    def units(self, since: float, until: float) -> int:
        return sum(cost for at, cost in self.log if since <= at < until)

    @property
    def rate(self) -> float:
        """What it allows in the long run, in units a second."""
        rates = [window.units / window.seconds for window in self.limit.windows]
        if self.limit.tokens is not None:
            rates.append(self.limit.tokens.rate)
        return min(rates, default=float("inf"))


class Strict:
    """All limits of all providers of a world."""

    def __init__(self, world: World, demands: list[Demand], *, slack: float = 0.0, phases: int = 0) -> None:
        self._world = world
        limits = {want.limit.key: want.limit for demand in demands for want in demand.wants}
        self.judges = {key: Judge(limit, slack=slack, phases=phases) for key, limit in limits.items()}

    def take(self, demand: Demand, what: str, seconds: float) -> None:
        """A request arrives, and is worked on for so long."""
        judges = [self.judges[want.limit.key] for want in demand.wants]
        for want, judge in zip(demand.wants, judges, strict=True):
            judge.take(self._world, want.cost, what)

        def end() -> None:
            for judge in judges:
                judge.end()

        self._world.after(seconds, end)
