"""One limit at its owner: what is taken of it, what is lent, and who waits for it."""

from __future__ import annotations

import heapq
from math import ceil
from typing import TYPE_CHECKING

from sidecar.core.quota.level import Level
from sidecar.core.quota.limit import Limit
from sidecar.core.quota.message import Serial
from sidecar.core.quota.window import Sliding

if TYPE_CHECKING:
    from sidecar.core.quota.line import Line

NEVER = float("inf")
APART = 0.005  # seconds; permits of those who stood in line start no further apart than that
DENSER = 0.85  # than the limit allows in the long run: so a crowd thins out without using less
SPARED = 50  # one unit of so many is left free by permits for calls that are still to come
COUNTED = 64  # lines whose share in a wait is counted one by one


class Lent:
    """A credit that a sidecar holds: units of each window, until when it may use them, and by which serial."""

    __slots__ = ("recalled", "serial", "units", "until")

    def __init__(self, units: tuple[int, ...], until: float, serial: Serial) -> None:
        self.units = units
        self.until = until
        self.serial = serial
        self.recalled = False


class Budget:
    """The rule of every window: taken + lent + unknown is at most its units (`spare` is what is left of them)."""

    def __init__(self, limit: Limit, now: float) -> None:
        self.limit = limit
        self.windows = [Sliding(window, now) for window in limit.windows]
        self.level = Level(limit.tokens, now) if limit.tokens is not None else None
        self.slots: dict[tuple[str, str], float] = {}  # who holds one, until when at the latest
        self.unknown_slots = (0, 0.0)  # that nobody told of after a takeover, and until when
        self.lent: dict[str, Lent] = {}
        self.unknown: list[int] = [0] * len(self.windows)  # lent to sidecars that said nothing since a takeover
        self._out = [0] * len(self.windows)  # of each window: lent or unknown
        self.closed = 0.0  # until then: the provider said so
        self.variation = limit.variation
        self.strict = 0.0  # until then less is used
        self.lowered: tuple[int, ...] = ()  # of each window, what answers say it is
        self.lowered_until = 0.0
        self.resets = NEVER  # a declared fixed window starts anew
        self.ahead = NEVER  # units that may be granted before the record has to be written again
        self.wants_ahead = 0  # so many at least have to be, for who stands in front
        self.granted = 0  # units, ever
        self.hold_mean = 1.0  # seconds, of slots
        self.used = now
        self.spaced = 0.0  # who stood in line starts no sooner
        self.recalled = 0.0  # when credits were last recalled
        # Who waits: all lines that want it with their units, those that wait here with their fair turn, the next look.
        self.lines: dict[Line, int] = {}
        self.waiting = 0
        self.parked: list[tuple[float, int, Line]] = []
        self.turns: dict[Line, float] = {}
        self.virtual = 0.0
        self.due = NEVER
        self._measure()

    def cap(self, at: int, now: float) -> int:
        """What may be taken of this window: all that is not lent or unknown."""
        units = self.windows[at].units
        if self.strict > now:
            units = units * 95 // 100 if units >= 20 else units  # noqa: PLR2004 - of fewer a twentieth is not a unit
        if self.lowered and self.lowered_until > now:
            units = min(units, self.lowered[at])
        return units - self._out[at]

    def fit(self, cost: int, now: float) -> float:
        """The first moment from `now` on at which it can be granted; NEVER if only some event can bring that."""
        if cost > self.ahead:
            self.wants_ahead = cost
            return NEVER
        if not self.slot_free(now):
            return NEVER
        at = now
        at = max(at, self.closed)
        at = max(at, self.spaced)
        for index, window in enumerate(self.windows):
            free = window.fit(cost, self.cap(index, now), now)
            at = max(at, free)
        return max(at, self.level.fit(cost, now)) if self.level is not None else at

    def spares(self, cost: int, now: float) -> bool:
        """Whether nobody waits, and a part of every window is free besides so many units."""
        if self.waiting or self.level is not None or self.limit.slots is not None:
            return False
        for at, window in enumerate(self.windows):
            if window.taken(now) + cost + window.units // SPARED > self.cap(at, now):
                return False
        return True

    def space(self, cost: int, start: float) -> None:
        """The next one starts a little later. Units that were used together are free together: without this a crowd
        would start in one moment, window after window, and find no time to be sent in.
        """
        self.spaced = start + min(self._apart * cost, APART)

    def slot_free(self, now: float) -> bool:
        most = self.limit.slots
        if most is None or len(self.slots) + self._unknown_slots(now) < most:
            return True
        return self.held(now) + self._unknown_slots(now) < most

    def held(self, now: float) -> int:
        """Slots that somebody holds."""
        for holder in [holder for holder, until in self.slots.items() if until <= now]:
            del self.slots[holder]
        return len(self.slots)

    def slot_due(self, now: float) -> float:
        """When a slot is free at the latest; NEVER where none is taken."""
        unknown, until = self.unknown_slots
        times = [*self.slots.values(), *([until] if unknown and until > now else [])]
        return min(times, default=NEVER)

    def take(self, holder: tuple[str, str], cost: int, last: float, ends: float, now: float) -> float:
        """Units of a permit whose exchange starts at `last` at the latest, and is over at `ends` at the latest.

        Gives the moment by which they have surely arrived.
        """
        sure = last + self.variation
        for window in self.windows:
            window.take(cost, sure + window.seconds)
        if self.level is not None:
            self.level.take(cost, sure, now)
        if self.limit.slots is not None:
            self.slots[holder] = ends
        self.ahead -= cost
        self.granted += cost
        self.used = now
        return sure

    def sooner(self, cost: int, sure: float, seconds: float, now: float) -> float:
        """What `take` took had arrived by so much sooner; the moment that is sure now."""
        for window in self.windows:
            if sure - seconds + window.seconds > now:
                window.sooner(cost, sure + window.seconds, sure - seconds + window.seconds, now)
        return sure - seconds

    def give_back(self, holder: tuple[str, str], cost: int, sure: float, now: float) -> None:
        """What `take` took for a permit that nobody used; `sure` as it gave it."""
        for window in self.windows:
            window.give_back(cost, sure + window.seconds, now)
        if self.level is not None:
            self.level.give_back(cost, sure, now)
        self.slots.pop(holder, None)

    def fill(self, windows: list[Sliding], until: float, now: float) -> None:
        """All of these counts as used just before `until`: what the last owner granted is not known."""
        for window in windows:
            if until + self.variation + window.seconds > now:
                window.take(window.units, until + self.variation + window.seconds)
        if self.limit.tokens is not None and until > float("-inf"):
            self.level = Level(self.limit.tokens, until + self.variation, 0.0)

    def close(self, until: float, now: float, strict: float) -> None:
        """The provider said so. The way there varies more than was thought, perhaps: units stay taken for longer."""
        self.closed = max(self.closed, until)
        self.strict = now + strict
        self.variation = max(self.variation, min(2 * self.variation, 0.1))

    def become(self, limit: Limit, now: float) -> None:
        """The limit is another now (its connection says so, or a newer manifest). What was used stays used."""
        past = max(self.windows, key=lambda window: window.seconds) if self.windows else None
        kept = {window.seconds: window for window in self.windows}
        windows = []
        for window in limit.windows:
            log = kept.get(window.seconds)
            if log is None:
                log = Sliding(window, now)
                for until, units in past.entries(now) if past is not None else ():
                    free = until + window.seconds - (past.seconds if past is not None else 0.0)
                    if free > now:
                        log.take(units, free)
            log.units = window.units
            windows.append(log)
        if limit.tokens is None:
            self.level = None
        elif self.level is None or self.limit.tokens != limit.tokens:
            self.level = Level(limit.tokens, now, 0.0)
        if [log.seconds for log in windows] != [log.seconds for log in self.windows]:
            self._lent_in([log.seconds for log in windows])
        self.windows, self.limit, self.variation = windows, limit, limit.variation
        self._measure()
        self._count_out()

    # What may be used without asking.

    def lend(self, sender: str, lent: Lent) -> None:
        """It is this sidecar's from now on."""
        self.lent[sender] = lent
        self._count_out()

    def regain(self, sender: str) -> None:
        """It does not hold it any more."""
        del self.lent[sender]
        self._count_out()

    def suppose(self, unknown: list[int]) -> None:
        """So much of each window may be lent to sidecars that have said nothing yet."""
        self.unknown = unknown
        self._count_out()

    def _count_out(self) -> None:
        self._out = [
            sum(lent.units[at] for lent in self.lent.values()) + unknown for at, unknown in enumerate(self.unknown)
        ]

    def _measure(self) -> None:
        """What follows from the windows."""
        self.longest = max((window.seconds for window in self.windows), default=0.0)
        self._apart = DENSER * max((window.seconds / window.units for window in self.windows), default=0.0)

    def _lent_in(self, seconds: list[float]) -> None:
        """What is lent, in other windows than those it was lent in: as much as may be used in them."""
        before = [(log.seconds, at) for at, log in enumerate(self.windows)]
        for lent in self.lent.values():
            lent.units = tuple(
                sum(lent.units[at] * max(1, ceil(wanted / window)) for window, at in before[:1]) for wanted in seconds
            )
        self.unknown = [max(self.unknown, default=0)] * len(seconds)

    def wait(self, line: Line, cost: int, late: float, now: float) -> float:
        """About how many seconds until `cost` more units of this line can be granted, behind those before it."""
        own = self.lines.get(line, 0)
        share = own + cost
        if len(self.lines) <= COUNTED:
            ahead = own
            for other, units in self.lines.items():
                if other is not line:
                    ahead += min(share, units)
        else:
            ahead = min(self.waiting, len(self.lines) * share)
        longest = self.closed - now if self.closed > now else 0.0
        for index, window in enumerate(self.windows):
            wait = self._window_wait(window, self.cap(index, now), ahead, cost, late, now)
            longest = max(longest, wait)
        if self.level is not None:
            longest = max(longest, self.level.fit(cost, now) - now + ahead / self.level.rate)
        if self.limit.slots is not None and (ahead or not self.slot_free(now)):
            longest = max(longest, (ahead + 1) / max(self.limit.slots, 1) * self.hold_mean)
        return longest

    def _window_wait(self, window: Sliding, cap: int, ahead: int, cost: int, late: float, now: float) -> float:
        if cost > cap:
            return window.seconds  # credits have to come back first
        usable = cap - cap % cost
        rounds, rest = divmod(ahead + cost - 1, usable)
        again = window.seconds + self.variation + late
        return window.fit(min(rest + 1, cap), cap, now) - now + rounds * again

    def _unknown_slots(self, now: float) -> int:
        unknown, until = self.unknown_slots
        return unknown if until > now else 0

    # Fair turns: start-time fair queueing over the lines that wait here (Goyal, Vin, Cheng 1996).

    def park(self, line: Line, number: int) -> None:
        start = max(self.virtual, self.turns.get(line, 0.0))
        heapq.heappush(self.parked, (start, number, line))

    def unpark(self, cost: int) -> Line:
        """The first line leaves; `cost` is what it was granted."""
        start, _, line = heapq.heappop(self.parked)
        self.virtual = max(self.virtual, start)
        if self.parked:
            self.turns[line] = start + cost
        else:
            self.turns.clear()
        return line

    def expect(self, line: Line, units: int) -> None:
        """So many more units (or fewer) are waited for by this line."""
        self.waiting += units
        left = self.lines.get(line, 0) + units
        if left > 0:
            self.lines[line] = left
        else:
            self.lines.pop(line, None)
