"""The log of one sliding window: units that are taken, each until it has surely left the window."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from sidecar.core.quota.limit import Window

NEVER = float("inf")
SLICES = 500  # of a window: units are kept by the end of the slice that they leave the window in


class Sliding:
    """What is taken of one window. `origin` is any moment before which nothing is taken."""

    __slots__ = ("_ends", "_gone", "_head", "_next", "_origin", "_slice", "_sums", "seconds", "units")

    def __init__(self, window: Window, origin: float) -> None:
        self.units = window.units
        self.seconds = window.seconds
        self._slice = window.seconds / SLICES
        self._origin = origin
        self._ends: list[int] = []  # slices, rising
        self._sums: list[int] = []  # units ever taken, up to and with that slice
        self._head = 0  # those before it are free again
        self._gone = 0  # units ever taken that are free again
        self._next = NEVER  # when the next units are free again

    def take(self, units: int, until: float) -> None:
        """Units that are free again at `until`, or up to one slice later."""
        end = int((until - self._origin) / self._slice) + 1
        ends, sums = self._ends, self._sums
        if not ends:
            ends.append(end)
            sums.append(self._gone + units)
            self._next = self._moment(end)
            return
        if end > ends[-1]:
            ends.append(end)
            sums.append(sums[-1] + units)
            return
        at = bisect_left(ends, end, self._head)
        if ends[at] != end:
            ends.insert(at, end)
            sums.insert(at, sums[at - 1] if at else self._gone)
            self._next = min(self._next, self._moment(end))
        for later in range(at, len(sums)):
            sums[later] += units

    def give_back(self, units: int, until: float, now: float) -> None:
        """What `take` took with the same `until`. Nothing where it is free again: others may have it by now."""
        self.forget(now)
        end = self._slice_of(until)
        at = bisect_left(self._ends, end, self._head)
        if at >= len(self._ends) or self._ends[at] != end:
            return
        units = min(units, self._sums[at] - (self._sums[at - 1] if at > self._head else self._gone))
        for later in range(at, len(self._sums)):
            self._sums[later] -= units

    def sooner(self, units: int, until: float, earlier: float, now: float) -> None:
        """What `take` took with `until` is free again that much earlier. Nothing where it is free by now."""
        self.forget(now)
        ends, sums = self._ends, self._sums
        end, wanted = self._slice_of(until), self._slice_of(earlier)
        last = bisect_left(ends, end, self._head)
        if last >= len(ends) or ends[last] != end or wanted >= end:
            return
        units = min(units, sums[last] - (sums[last - 1] if last > self._head else self._gone))
        at = bisect_left(ends, wanted, self._head)
        if ends[at] != wanted:
            ends.insert(at, wanted)
            sums.insert(at, sums[at - 1] if at > self._head else self._gone)
            self._next = min(self._next, self._moment(wanted))
            last += 1
        for later in range(at, last):
            sums[later] += units

    def taken(self, now: float) -> int:
        if now >= self._next:
            self.forget(now)
        return self._sums[-1] - self._gone if self._sums else 0

    def fit(self, cost: int, cap: int, now: float) -> float:
        """The first moment from `now` on at which `cost` units are free of `cap`; infinite if they never are."""
        if cost > cap:
            return float("inf")
        if now >= self._next:
            self.forget(now)
        sums = self._sums
        if not sums:
            return now
        free = sums[-1] + cost - cap  # so many of all that were ever taken
        if free <= self._gone:
            return now
        return self._origin + self._ends[bisect_left(sums, free, self._head)] * self._slice

    def forget(self, now: float) -> None:
        """Drop what is free again."""
        if now < self._next:
            return
        head, ends = self._head, self._ends
        size = len(ends)
        while head < size and self._moment(ends[head]) <= now:
            head += 1
        if head:
            self._gone = self._sums[head - 1]
        if head == size:
            self._ends, self._sums, head, self._gone, self._next = [], [], 0, 0, NEVER
        else:
            self._next = self._moment(ends[head])
            if head > SLICES:
                del ends[:head], self._sums[:head]
                head = 0
        self._head = head

    def entries(self, now: float) -> Iterator[tuple[float, int]]:
        """What is taken now: until when, and how much."""
        self.forget(now)
        before = self._gone
        for at in range(self._head, len(self._ends)):
            if self._sums[at] > before:
                yield self._moment(self._ends[at]), self._sums[at] - before
            before = self._sums[at]

    def _slice_of(self, moment: float) -> int:
        return int((moment - self._origin) / self._slice) + 1

    def _moment(self, end: int) -> float:
        return self._origin + end * self._slice
