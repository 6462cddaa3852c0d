"""Permits that are asked for before there is a call for them: one that comes steadily need not wait for an answer.

Where calls of one kind come one after the other, each asks for the permit of the next. The owner gives it only where
nobody waits and part of the limit is free. It is a permit like any other, but for how long it holds: who uses it says
when, so that this time is charged to nobody, and one that nobody used goes back.
"""

from __future__ import annotations

from collections import deque

from sidecar.core.quota.limit import Demand, Want
from sidecar.core.quota.pace import LATEST, MOMENT
from sidecar.core.quota.turn import Turn

STEADY = 0.1  # seconds; calls that come further apart than that, on the average, ask when they come
ANSWER = 0.02  # seconds that an owner takes to answer, at most: as many permits are kept as calls come meanwhile
MOST = 16  # kept for one kind of call
KINDS = 256  # of calls that are looked at
PAUSE = 0.25  # seconds; where somebody has to wait, all that there is goes to those who are here
WEIGHT = 0.25  # of the last time between two calls in its average
FORGOTTEN = 10.0  # seconds without a call
NEVER = float("inf")


class Kind:
    """Calls that need the same. `apart`: seconds between two of them, about; `held`: names of permits, and until when
    each holds; `asked`: names of those on their way, and since when; `paused`: none is asked for until then.
    """

    __slots__ = ("apart", "asked", "held", "last", "paused", "wants")

    def __init__(self, wants: tuple[Want, ...], now: float) -> None:
        self.wants = wants
        self.apart = 2 * STEADY
        self.last = now
        self.held: deque[tuple[str, float]] = deque()
        self.asked: dict[str, float] = {}
        self.paused = 0.0

    def came(self, now: float) -> None:
        """One more call."""
        self.apart += WEIGHT * (min(now - self.last, 2 * STEADY) - self.apart)
        self.last = now

    def lacking(self, now: float) -> int:
        """How many permits are to be asked for."""
        if self.apart > STEADY or now < self.paused:
            return 0
        wanted = 1 + int(min(ANSWER / max(self.apart, MOMENT), MOST - 1))
        return wanted - len(self.held) - len(self.asked)

    def ends(self, patience: float) -> float:
        """When the first of them is over, or was asked for in vain."""
        held = self.held[0][1] if self.held else NEVER
        return min(held, next(iter(self.asked.values()), NEVER) + patience)


class Spares:
    """Of one partition at one sidecar. Moments are this sidecar's. `over`: names of those that nobody will use."""

    def __init__(self) -> None:
        self.over: list[str] = []
        self._kinds: dict[tuple[tuple[str, int], ...], Kind] = {}
        self._asked: dict[str, Kind] = {}
        self._looks = False

    def take(self, demand: Demand, least: float, now: float) -> tuple[str, float] | None:
        """The name of a permit that holds for so many seconds at least, and until when it does; None: there is none."""
        kind = self._kinds.get(demand.costs)
        if kind is None or kind.wants != demand.wants:
            return None
        while kind.held:
            name, latest = kind.held.popleft()
            if latest - now >= least:
                return name, latest
            self.over.append(name)
        return None

    def wanted(self, demand: Demand, turn: Turn) -> list[str]:
        """A call of this kind has come that no credit served: the names of the permits to ask for besides."""
        now, kind = turn.now, self._kinds.get(demand.costs)
        if kind is None or kind.wants != demand.wants:
            self._meet(demand, now)
            return []
        kind.came(now)
        names = [str(turn.number()) for _ in range(kind.lacking(now))]
        for name in names:
            kind.asked[name] = now
            self._asked[name] = kind
        if names and not self._looks:
            self._looks = True
            turn.later(now + LATEST, self._look)
        return names

    def granted(self, name: str, latest: float) -> None:
        """It may be used until then, if it was asked for here."""
        kind = self._asked.pop(name, None)
        if kind is not None:
            del kind.asked[name]
            kind.held.append((name, latest))

    def denied(self, name: str, now: float) -> None:
        """There is none to spare."""
        kind = self._asked.pop(name, None)
        if kind is not None:
            del kind.asked[name]
            kind.paused = now + PAUSE

    def pause(self, demand: Demand, now: float) -> None:
        """A call of this kind has to wait."""
        kind = self._kinds.get(demand.costs)
        if kind is not None:
            kind.paused = now + PAUSE

    def give_up(self) -> None:
        """Nothing that is held or asked for counts any more."""
        for kind in self._kinds.values():
            self._let_go(kind)
        self._kinds.clear()

    def _meet(self, demand: Demand, now: float) -> None:
        """The first call of its kind; or its limit is another one now, and what was held of the last one is over."""
        known = self._kinds.pop(demand.costs, None)
        if known is not None:
            self._let_go(known)
        if not demand.windowed:
            return
        if len(self._kinds) >= KINDS:  # those for which nothing is kept: whoever of them comes steadily is met again
            self._kinds = {costs: kind for costs, kind in self._kinds.items() if kind.held or kind.asked}
        if len(self._kinds) < KINDS:
            self._kinds[demand.costs] = Kind(demand.wants, now)

    def _let_go(self, kind: Kind) -> None:
        self.over += [*(name for name, _ in kind.held), *kind.asked]
        for name in kind.asked:
            del self._asked[name]

    def _look(self, turn: Turn) -> None:
        """Let go of those that are over, and of kinds that come no more."""
        now, patience = turn.now, turn.pace.resend
        for costs, kind in list(self._kinds.items()):
            while kind.held and kind.held[0][1] <= now:
                self.over.append(kind.held.popleft()[0])
            for name in [name for name, asked in kind.asked.items() if asked + patience <= now]:
                del kind.asked[name], self._asked[name]
                self.over.append(name)
            if not kind.held and not kind.asked and kind.last + FORGOTTEN <= now:
                del self._kinds[costs]
        at = min((kind.ends(patience) for kind in self._kinds.values()), default=NEVER)
        self._looks = at < NEVER
        if self._looks:
            turn.later(max(at, now + MOMENT), self._look)
