"""A token bucket as its provider keeps it, seen from the safe side: never fuller here than there."""

from __future__ import annotations

from collections import deque

from sidecar.core.quota.limit import Tokens


class Level:
    """Tokens that may be granted. Those that were granted, and whose requests may not have arrived yet, are still in
    the provider's bucket and leave less room there for new ones.
    """

    __slots__ = ("_at", "_level", "_under_way", "_under_way_sum", "burst", "rate")

    def __init__(self, tokens: Tokens, now: float, level: float | None = None) -> None:
        self.rate = tokens.rate
        self.burst = tokens.burst
        self._level = float(tokens.burst) if level is None else level
        self._at = now
        self._under_way: deque[tuple[float, int]] = deque()  # until when they may still be, and how many
        self._under_way_sum = 0

    def take(self, units: int, sure: float, now: float) -> None:
        """Tokens of a request that has surely arrived at `sure`."""
        self.settle(now)
        self._level -= units
        self._under_way.append((sure, units))
        self._under_way_sum += units

    def give_back(self, units: int, sure: float, now: float) -> None:
        """What `take` took with the same `sure`, where that is still to come."""
        self.settle(now)
        if sure > now and (sure, units) in self._under_way:
            self._under_way.remove((sure, units))
            self._under_way_sum -= units
            self._level += units

    def fit(self, cost: int, now: float) -> float:
        """The first moment from `now` on at which so many tokens are there; infinite if they never are."""
        if cost > self.burst:
            return float("inf")
        self.settle(now)
        level, at, under_way = self._level, now, self._under_way_sum
        for sure, units in self._under_way:
            if cost <= self.burst - under_way:
                break
            level = max(level, min(self.burst - under_way, level + self.rate * (sure - at)))
            at, under_way = max(at, sure), under_way - units
        return at + max(0.0, (cost - level) / self.rate)

    def left(self, now: float) -> int:
        self.settle(now)
        return max(0, int(self._level))

    def sure(self, now: float) -> float:
        """What is there even if all that is under way arrives last."""
        self.settle(now)
        return self._level

    def settle(self, now: float) -> None:
        """What came back until now."""
        while self._under_way and self._under_way[0][0] <= now:
            sure, units = self._under_way.popleft()
            self._refill(sure)
            self._under_way_sum -= units
        self._refill(now)

    def lower(self, level: float, now: float) -> None:
        """No more than this is there."""
        self.settle(now)
        self._level = min(self._level, level)

    def _refill(self, now: float) -> None:
        if now > self._at:
            full = self.burst - self._under_way_sum
            self._level = max(self._level, min(full, self._level + self.rate * (now - self._at)))
            self._at = now
