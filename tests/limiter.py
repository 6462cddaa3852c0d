"""The limits that providers keep, as they keep them: by arrival, strictly. What a judge makes of a log of arrivals.

No clock: every moment is an argument, in seconds, and moments never go back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

PHASES = 8


class Taken(NamedTuple):
    """Units that were asked for at a moment."""

    at: float
    units: float = 1.0


class Limiter(Protocol):
    """The state of one limit."""

    def wait(self, now: float, units: float) -> float:
        """Seconds until so many units may be taken; 0 when they may be now."""

    def take(self, now: float, units: float) -> None:
        """They are taken, as `wait` said that they may be."""


class Sliding(msgspec.Struct, frozen=True, tag=True):
    """At most so many units in any half-open window of so many seconds."""

    units: float
    seconds: float

    def limiter(self) -> Limiter:
        return _Sliding(self)


class Fixed(msgspec.Struct, frozen=True, tag=True):
    """At most so many units in each window; windows follow each other, the first one begins at `phase`."""

    units: float
    seconds: float
    phase: float = 0.0

    def limiter(self) -> Limiter:
        return _Fixed(self)


class Bucket(msgspec.Struct, frozen=True, tag=True):
    """`rate` units a second flow in, at most `burst` are kept; it is full at first."""

    rate: float
    burst: float

    def limiter(self) -> Limiter:
        return _Bucket(self)


Limit = Sliding | Fixed | Bucket


class _Sliding:
    def __init__(self, limit: Sliding) -> None:
        self._limit = limit
        self._kept: deque[Taken] = deque()
        self._sum = 0.0

    def wait(self, now: float, units: float) -> float:
        while self._kept and self._kept[0].at + self._limit.seconds <= now:
            self._sum -= self._kept.popleft().units
        gone, at = self._sum, now
        for taken in self._kept:
            if gone + units <= self._limit.units:
                break
            gone -= taken.units
            at = taken.at + self._limit.seconds
        return at - now

    def take(self, now: float, units: float) -> None:
        self._kept.append(Taken(now, units))
        self._sum += units


class _Fixed:
    def __init__(self, limit: Fixed) -> None:
        self._limit = limit
        self._window: float | None = None
        self._sum = 0.0

    def wait(self, now: float, units: float) -> float:
        window = (now - self._limit.phase) // self._limit.seconds
        if window != self._window:
            self._window, self._sum = window, 0.0
        if self._sum + units <= self._limit.units:
            return 0.0
        return self._limit.phase + (window + 1) * self._limit.seconds - now

    def take(self, _now: float, units: float) -> None:
        self._sum += units


class _Bucket:
    def __init__(self, limit: Bucket) -> None:
        self._limit = limit
        self._level = limit.burst
        self._at: float | None = None

    def wait(self, now: float, units: float) -> float:
        if self._at is not None:
            self._level = min(self._limit.burst, self._level + (now - self._at) * self._limit.rate)
        self._at = now
        return max(0.0, (units - self._level) / self._limit.rate)

    def take(self, _now: float, units: float) -> None:
        self._level -= units


def refused(limit: Limit, arrivals: Iterable[Taken]) -> int:
    """How many of these arrivals the limit would have refused. They come in order."""
    limiter, number = limit.limiter(), 0
    for taken in arrivals:
        if limiter.wait(taken.at, taken.units) > 0:
            number += 1
        else:
            limiter.take(taken.at, taken.units)
    return number


def refused_in_any_phase(units: float, seconds: float, arrivals: Sequence[Taken]) -> int:
    """The same by fixed windows, which begin at the worst of eight moments."""
    phases = (Fixed(units, seconds, phase=number * seconds / PHASES) for number in range(PHASES))
    return max(refused(limit, arrivals) for limit in phases)


def most_within(seconds: float, arrivals: Iterable[Taken]) -> float:
    """The most units that came in any half-open window of so many seconds."""
    kept: deque[Taken] = deque()
    total = most = 0.0
    for taken in arrivals:
        kept.append(taken)
        total += taken.units
        while kept[0].at + seconds <= taken.at:
            total -= kept.popleft().units
        most = max(most, total)
    return most


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """The most of these spans (begin, end) that overlap; one that ends as another begins does not."""
    steps = sorted(step for begin, end in spans for step in ((begin, 1), (end, -1)))
    now = most = 0
    for _, change in steps:
        now += change
        most = max(most, now)
    return most


def units_a_second(arrivals: Iterable[Taken], since: float, until: float) -> list[float]:
    """Units in each whole second from `since` on."""
    seconds = [0.0] * max(0, int(until - since))
    for taken in arrivals:
        second = int((taken.at - since) // 1)
        if 0 <= second < len(seconds):
            seconds[second] += taken.units
    return seconds
