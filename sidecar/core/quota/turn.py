"""One event's turn: its moment, its dice, and what comes of it. And what is to be looked at later."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from sidecar.core.quota.event import Away, Effect, Refused, Stored, Wake
from sidecar.core.quota.pace import Pace

if TYPE_CHECKING:
    from sidecar.core.quota.part import Part

SOON = 1e-6  # seconds; clocks round
Answer = Stored | Refused | Away
Later = Callable[["Turn"], None]


class Life:
    """Of somebody who looks at things later: when it is over, there is nothing to look at."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


class Settles(Protocol):
    def settle(self, turn: Turn) -> None:
        """Say what is to be said at the end of a turn."""


class Turn:
    """Handed down while one event is taken in. `part`: whose it is, at this moment. `closed`: until when the provider
    closed which key. `calls`: whose part knows a call that waits or is under way.
    """

    def __init__(self, me: str, scope: str, pace: Pace) -> None:
        self.me = me
        self.scope = scope
        self.pace = pace
        self.now = 0.0
        self.jitter = 0.0
        self.effects: list[Effect] = []
        self.closed: dict[str, float] = {}
        self.part: Settles | None = None
        self.calls: dict[str, Part] = {}
        self._touched: dict[Settles, None] = {}
        self._tickets: dict[int, tuple[Settles | None, Callable[[Turn, Answer], None]]] = {}
        self._agenda: list[tuple[float, int, Settles | None, Later, Life]] = []
        self._life = Life()
        self._numbers = count(1)
        self._woken: float | None = None

    def begin(self, now: float, jitter: float) -> None:
        self.now = now
        self.jitter = jitter
        self.effects = []
        if self._woken is not None and self._woken <= now + SOON:
            self._woken = None  # it has come, or was rounded

    def number(self) -> int:
        """One that rises."""
        return next(self._numbers)

    def of(self, part: Settles | None) -> None:
        """What follows is of that part."""
        self.part = part
        if part is not None:
            self._touched[part] = None

    def later(self, at: float, look: Later, life: Life | None = None) -> None:
        heapq.heappush(self._agenda, (at, next(self._numbers), self.part, look, life or self._life))

    def look(self) -> None:
        """Everything whose moment has come."""
        agenda, now = self._agenda, self.now
        while agenda and agenda[0][0] <= now:
            _, _, part, look, life = heapq.heappop(agenda)
            if not life.over:
                self.of(part)
                look(self)

    def ticket(self, answered: Callable[[Turn, Answer], None]) -> int:
        """A number for what the store is asked; its answer is told to `answered`."""
        ticket = next(self._numbers)
        self._tickets[ticket] = (self.part, answered)
        return ticket

    def answer(self, answer: Answer) -> None:
        part, answered = self._tickets.pop(answer.ticket, (None, None))
        if answered is not None:
            self.of(part)
            answered(self, answer)

    def done(self) -> list[Effect]:
        """Everything that came of it."""
        while self._touched:
            part, _ = self._touched.popitem()
            self.part = part
            part.settle(self)
        agenda, soon, at = self._agenda, self.now + SOON, None
        while agenda and agenda[0][4].over:
            heapq.heappop(agenda)
        if agenda:
            at = agenda[0][0]
            at = max(at, soon)
        if at != self._woken:
            self._woken = at
            self.effects.append(Wake(at))
        return self.effects
