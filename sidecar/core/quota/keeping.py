"""What of a ledger is written down, and a ledger made of it again.

Windows of some seconds are not: a new owner waits until nothing of before can be in them. For the long ones the owner
writes ahead: what it may grant until it writes again stands in the record before it is granted.

A record has room for some hundred budgets. Of those beyond, it says once that they are not all there: a next owner
takes what is not named for used, for as long as its window lasts, so that nothing of them has to be written at all.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from sidecar.core.quota.budget import NEVER, Budget, Lent
from sidecar.core.quota.level import Level
from sidecar.core.quota.pace import LATEST
from sidecar.core.quota.record import Log, State
from sidecar.core.quota.turn import Turn
from sidecar.core.quota.window import Sliding

if TYPE_CHECKING:
    from sidecar.core.quota.owner import Owner

SLICES = 12  # of a window, as it is written down
PART_AHEAD = 50  # at least this part of a limit may be granted before the next record
SECONDS_AHEAD = 2.0  # and as much as was granted in so many seconds lately
LONGEST = 4.0  # seconds; how long a slot may be held as long as nobody asks for more


class Ahead:
    """What may be granted of each long budget before the record is written again, and for how long a slot is held."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.longest = LONGEST
        self._longest_recorded = 0.0
        self._promised: dict[Budget, tuple[int, int]] = {}  # how much, and what was granted when it was written
        self._at: float | None = None
        self._last: dict[Budget, int] = {}
        self._room = owner.lending.pace.room
        self._named: dict[Budget, int] = {}  # the long ones that the record has room for, and what they take of it
        self._unnamed: dict[Budget, float] = {}  # the others, and their longest windows
        self._omitted_recorded = 0.0
        self._inherited = (0.0, float("-inf"))  # what the last owner omitted, and until when that counts
        self.dirty = False  # the record may have to be written

    def begin(self, budget: Budget, turn: Turn) -> None:
        longest = budget.longest
        if not is_long(longest, turn):
            return
        size = _largest(budget)
        if size <= self._room:
            self._room -= size
            self._named[budget] = size
            budget.ahead = 0
        else:
            self._unnamed[budget] = longest
            budget.ahead = NEVER if longest <= self._omitted_recorded else 0

    def inherit(self, omitted: float, until: float) -> None:
        """The last owner's record did not name everything; that counts until then."""
        self._inherited = (omitted, until)

    def unknown(self, seconds: float, now: float) -> bool:
        """Whether a window of which nothing is written down may have been used under the last owner."""
        omitted, until = self._inherited
        return seconds <= omitted and now < until

    def omitted(self, now: float) -> float:
        """The longest window of those that the record does not name."""
        omitted, until = self._inherited
        return max(omitted if now < until else 0.0, max(self._unnamed.values(), default=0.0))

    def named(self) -> tuple[Budget, ...]:
        return tuple(self._named)

    def spent(self, budget: Budget) -> None:
        """Some of it was granted."""
        if budget.ahead < self._promised.get(budget, (0, 0))[0] / 2:
            self.dirty = True

    def longest_for(self, seconds: float) -> bool:
        """Whether the record says that slots may be held for so long."""
        while self.longest < seconds:
            self.longest *= 2
            self.dirty = True
        return seconds <= self._longest_recorded

    def due(self) -> float | None:
        """How soon after the last record the next one has to be written; None: there is no need."""
        lending = self._owner.lending
        if lending.wanted - lending.roster or self.longest > self._longest_recorded:
            return 0.0
        budgets = [budget for budget in self._owner.budgets.values() if budget.ahead < NEVER]
        if any(budget.wants_ahead for budget in budgets):
            return 0.02
        low = any(budget.ahead < self._promised.get(budget, (1, 0))[0] / 2 for budget in budgets)
        return 1.0 if low else None

    def promise(self, turn: Turn) -> None:
        """A record is being written: so much may be granted once it is."""
        self.dirty = False
        past = max(turn.now - self._at, 0.1) if self._at is not None else 1.0
        self._at = turn.now
        self._omitted_recorded = min(self._omitted_recorded, self.omitted(turn.now))
        for budget in self._named:
            least = min(window.units for window in budget.windows)
            rate = (budget.granted - self._last.get(budget, budget.granted)) / past
            before = self._promised.get(budget, (0, 0))[0]
            much = max(ceil(least / PART_AHEAD), ceil(rate * SECONDS_AHEAD), 2 * before if budget.wants_ahead else 0)
            much = max(min(max(much, budget.waiting), least), int(budget.ahead), budget.wants_ahead)
            self._last[budget] = budget.granted
            self._promised[budget] = (much, budget.granted)

    def promised(self, budget: Budget) -> int:
        return self._promised.get(budget, (0, 0))[0]

    def recorded(self, longest: float, omitted: float = 0.0) -> None:
        """The record is written."""
        self._longest_recorded = longest
        self._omitted_recorded = omitted
        for budget, seconds in self._unnamed.items():
            if budget.ahead < NEVER and seconds <= omitted:
                budget.ahead, budget.wants_ahead = NEVER, 0
        for budget, (much, granted) in self._promised.items():
            budget.ahead = much - (budget.granted - granted)
            budget.wants_ahead = 0

    def forget(self, budget: Budget) -> None:
        self._room += self._named.pop(budget, 0)
        self._unnamed.pop(budget, None)
        self._promised.pop(budget, None)
        self._last.pop(budget, None)


def is_long(seconds: float, turn: Turn) -> bool:
    return seconds >= turn.pace.long


def state(owner: Owner, turn: Turn, *, left: bool = False) -> State:
    """What the next owner has to know. `left`: everything, as this one grants nothing any more."""
    if left:
        whole = (_log(budget, turn, 0) for budget in owner.budgets.values())
        return State(left=True, ep=owner.epoch, logs=tuple(log for log in whole if log is not None))
    ahead = owner.ahead
    long = (_log(budget, turn, ahead.promised(budget)) for budget in ahead.named())
    roster = tuple(sorted(owner.lending.holders(turn)))
    return State(
        left=False,
        ep=owner.epoch,
        roster=roster,
        longest=ahead.longest,
        omitted=ahead.omitted(turn.now),
        logs=tuple(log for log in long if log),
    )


def restored(owner: Owner, last: State, age: float, turn: Turn) -> None:
    """The budgets that are written down, as of now. What may have been granted since then counts as granted at last."""
    for log in last.logs:
        if log.limit.key in owner.budgets:
            continue
        budget = owner.learn(log.limit, turn)
        for window, taken in zip(budget.windows, log.windows, strict=False):
            if last.left or is_long(window.seconds, turn):
                _refill(window, taken, age, turn)
                if log.ahead:
                    window.take(log.ahead, owner.cold + budget.variation + window.seconds)
        budget.closed = max(budget.closed, turn.now + log.closed - age)
        if last.left:
            _whole(budget, owner, log, age, turn)
    if last.omitted:
        owner.ahead.inherit(last.omitted, owner.cold + LATEST + last.omitted)


def _whole(budget: Budget, owner: Owner, log: Log, age: float, turn: Turn) -> None:
    now = turn.now
    if log.level is not None and budget.limit.tokens is not None:
        budget.level = Level(budget.limit.tokens, now, min(log.level, budget.limit.tokens.burst))
    for sender, call, left in log.slots:
        if left > age:
            owner.permits.adopt(sender, call, (log.limit.key,), turn, ends=now + left - age)
    for sender, units, serial, left in log.lent:
        if left > age and len(units) == len(budget.windows):
            owner.lending.hold(budget, sender, Lent(units, now + left - age, serial), turn)


def _log(budget: Budget, turn: Turn, ahead: int) -> Log | None:
    now = turn.now
    closed = max(0.0, budget.closed - now)
    slots = tuple((*holder, ends - now) for holder, ends in budget.slots.items() if ends > now)
    lent = tuple((holder, held.units, held.serial, held.until - now) for holder, held in budget.lent.items())
    windows = tuple(_coarse(window, now) for window in budget.windows)
    level = None if budget.level is None else budget.level.sure(now)
    full = level is None or budget.limit.tokens is None or level >= budget.limit.tokens.burst
    if not (any(windows) or ahead or closed or slots or lent) and full:
        return None
    return Log(budget.limit, windows, ahead, level, closed, slots, lent)


def _largest(budget: Budget) -> int:
    """Bytes that its log takes at most."""
    limit = budget.limit
    names = 2 * len(limit.key.encode()) + 2 * len(limit.bucket.encode())
    return 300 + names + 40 * (SLICES + 2) * len(limit.windows) + 100 * (limit.slots or 0)


def _coarse(window: Sliding, now: float) -> tuple[tuple[float, int], ...]:
    """Each slice counts as used at its end."""
    taken: dict[int, tuple[float, int]] = {}
    for until, units in window.entries(now):
        at = int((until - now) / window.seconds * SLICES)
        taken[at] = (until - now, units + (taken[at][1] if at in taken else 0))
    return tuple(taken.values())


def _refill(window: Sliding, taken: tuple[tuple[float, int], ...], age: float, turn: Turn) -> None:
    for left, units in taken:
        if left > age:
            window.take(units, turn.now + left - age)
