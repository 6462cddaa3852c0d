"""Credits: a small part of a limit that a sidecar may use without asking, in every window anew.

What may be used unseen is kept free of everybody else, so it is little, it ends by itself, and while others wait for
the same limit it is called back from those that do not. A serial tells each credit from the one before: without it a
recall that crosses a renewal would count a credit twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from sidecar.core.quota.budget import Budget, Lent
from sidecar.core.quota.message import Credit, Serial, Sync
from sidecar.core.quota.pace import LATEST, Pace
from sidecar.core.quota.record import State
from sidecar.core.quota.turn import Turn

if TYPE_CHECKING:
    from sidecar.core.quota.owner import Owner

RENEWED = 5.0  # seconds between two renewals of a credit
ASKED = 1.0  # seconds; who asked so recently uses its credit and more


class Lending:
    """The lending of one owner. `roster`: those that the record names, so that a next owner knows whom to hear.

    `missing`: those of the last owner's roster that have not told yet what they hold. Until they do, or for as long as
    a credit lives, their share of every limit is kept free, and all slots count as taken until `slots_until`.
    """

    def __init__(self, owner: Owner, pace: Pace | None = None) -> None:
        self.owner = owner
        self.pace = pace or Pace()
        self.roster: frozenset[str] = frozenset()
        self.wanted: set[str] = set()  # to be on the roster before they can hold anything
        self.missing: set[str] = set()
        self.missing_until = 0.0
        self.slots_until = 0.0
        self._put_off: dict[str, set[str]] = {}  # credits of those that the record does not name yet
        self._told: set[str] = set()
        self._heard: dict[str, float] = {}
        self._asked: dict[tuple[str, str], float] = {}

    def begin(self, budget: Budget, turn: Turn) -> None:
        """A budget that is new here: what is lent of it is unknown as long as somebody has not told."""
        self._reckon(budget)
        if budget.limit.slots is not None and self.missing and turn.now < self.slots_until:
            budget.unknown_slots = (budget.limit.slots, self.slots_until)

    def listed(self, sender: str) -> bool:
        """Whether it may hold a credit or a slot; if not, it is put on the roster."""
        if sender in self.roster:
            return True
        self.wanted.add(sender)
        self.owner.ahead.dirty = True
        return False

    def take_over(self, last: State, turn: Turn) -> None:
        """The last owner is gone: whoever it named may hold something."""
        self.missing = set(last.roster) - {turn.me}
        self.missing_until = turn.now + self.pace.credit_life + self.pace.credit_spare + self.pace.lendable
        self.slots_until = turn.now + last.longest + self.pace.slot_spare

    def recorded(self, roster: frozenset[str], turn: Turn) -> None:
        """These stand in the record now: what they were not lent for that, they are."""
        self.roster = roster
        self.wanted -= roster
        for sender in [sender for sender in self._put_off if sender in roster]:
            self.lend(sender, self._put_off.pop(sender), turn)

    def holders(self, turn: Turn) -> set[str]:
        """Who may hold something, or is to. Until that is written, nobody else is given anything."""
        holders = {turn.me, *self.wanted, *self.missing}
        for budget in self.owner.budgets.values():
            holders.update(budget.lent)
            holders.update(sender for sender, _ in budget.slots)
        lately = turn.now - self.pace.credit_life
        holders.update(sender for sender, heard in self._heard.items() if heard > lately and sender in self.roster)
        self.roster = self.roster & holders
        return holders

    def lend(self, sender: str, keys: Iterable[str], turn: Turn) -> None:
        """Give or renew what this sidecar may use of these limits unseen."""
        self._heard[sender] = turn.now
        grants = self.owner.grants(turn.now)
        for key in keys:
            self._asked[sender, key] = turn.now
            budget = self.owner.budgets.get(key)
            if budget is None or not grants:
                continue
            lent = budget.lent.get(sender)
            if lent is None:
                self._lend(budget, sender, turn)
            elif not lent.recalled:
                until = turn.now + self._life(budget)
                if until - lent.until >= RENEWED:
                    lent.until = until
                    self.owner.answers.to(sender).credits.append(Credit(key, lent.units, lent.serial))

    def _lend(self, budget: Budget, sender: str, turn: Turn) -> None:
        """Its share, where there is one for it now."""
        units = self._share(budget, sender, turn)
        if units is not None:
            lent = Lent(units, turn.now + self._life(budget), (self.owner.epoch, turn.number()))
            self.hold(budget, sender, lent, turn)
            self.owner.answers.to(sender).credits.append(Credit(budget.limit.key, units, lent.serial))

    def hold(self, budget: Budget, sender: str, lent: Lent, turn: Turn) -> None:
        """It holds that, until it gives it back or the time is over."""
        budget.lend(sender, lent)
        turn.later(lent.until, partial(self._end, budget, sender), self.owner.life)

    def recall(self, budget: Budget, turn: Turn) -> None:
        """Others wait for it: who has not asked for more than its credit lately gives it back."""
        if not budget.lent or turn.now - budget.recalled < self.pace.recall:
            return
        budget.recalled = turn.now
        key = budget.limit.key
        line = budget.parked[0][2] if budget.parked else None
        first = line.first() if line is not None else None
        costs = dict(first.wants) if first is not None else {}
        short = any(costs.get(key, 0) > budget.cap(at, turn.now) for at in range(len(budget.windows)))
        for holder, lent in budget.lent.items():
            if short or lent.recalled or turn.now - self._asked.get((holder, key), 0.0) > ASKED:
                self._recall(holder, key, lent)

    def recall_all(self, budget: Budget) -> None:
        """The provider has less left than is lent."""
        for holder, lent in budget.lent.items():
            self._recall(holder, budget.limit.key, lent)

    def _recall(self, holder: str, key: str, lent: Lent) -> None:
        lent.recalled = True
        self.owner.answers.to(holder).recalled.append((key, lent.serial))

    def dropped(self, sender: str, key: str, serial: Serial, turn: Turn) -> None:
        """It does not use that credit any more: what it used until now counts as used now."""
        budget = self.owner.budgets.get(key)
        lent = budget.lent.get(sender) if budget is not None else None
        if budget is None or lent is None or lent.serial != serial:
            return
        budget.regain(sender)
        for window, units in zip(budget.windows, lent.units, strict=True):
            window.take(units, turn.now + LATEST + budget.variation + window.seconds)
        self.owner.serving.look_at(budget, turn.now, turn)

    def told(self, sender: str, told: Sync, turn: Turn) -> None:
        """What a sidecar holds of the time before this owner; the first time it says so, for copies may come late."""
        if sender in self._told:
            return
        self._told.add(sender)
        for limit in told.limits:
            self.owner.learn(limit, turn)
        self._take_over(sender, told, turn)
        self.missing.discard(sender)
        for budget in self.owner.budgets.values():
            self._reckon(budget)
            if not self.missing:
                budget.unknown_slots = (0, 0.0)
            self.owner.serving.look_at(budget, turn.now, turn)

    def sweep(self, now: float) -> None:
        """Forget who has not asked for long."""
        lately = now - self.pace.credit_life
        self._heard = {sender: heard for sender, heard in self._heard.items() if heard > lately}
        self._asked = {name: asked for name, asked in self._asked.items() if asked > lately}

    def forgive(self, turn: Turn) -> None:
        """Credits of those who never told have ended by now."""
        if turn.now >= self.missing_until and self.missing:
            self.missing.clear()
            for budget in self.owner.budgets.values():
                self._reckon(budget)
                self.owner.serving.look_at(budget, turn.now, turn)

    def _take_over(self, sender: str, told: Sync, turn: Turn) -> None:
        budgets, now = self.owner.budgets, turn.now
        held = {credit.key: credit for credit in told.credits}
        for key, budget in budgets.items():
            lent = budget.lent.get(sender)
            if lent is not None and lent.serial[0] < self.owner.epoch and key not in held:
                self.dropped(sender, key, lent.serial, turn)
        for key, credit in held.items():
            of = budgets.get(key)
            if of is not None and len(credit.units) == len(of.windows) and sender not in of.lent:
                self.hold(of, sender, Lent(credit.units, now + self._life(of), credit.serial), turn)
        for use in told.uses:
            of = budgets.get(use.key)
            for window in of.windows if of is not None else ():
                window.take(
                    use.units, now - use.age + LATEST + (of.variation if of is not None else 0.0) + window.seconds
                )
        for call, keys in told.under_way:
            self.owner.permits.adopt(sender, call, keys, turn)

    def _share(self, budget: Budget, sender: str, turn: Turn) -> tuple[int, ...] | None:
        """What one sidecar is lent of it; None where that is nothing, or nothing is free of it now."""
        limit = budget.limit
        if limit.tokens is not None or limit.slots is not None or not limit.windows or budget.waiting:
            return None
        if max(window.seconds for window in limit.windows) > self.pace.lendable or budget.closed > turn.now:
            return None
        units = tuple(int(window.units * self.pace.share / self.pace.holders) for window in limit.windows)
        if not all(units):
            return None
        for at, (window, share) in enumerate(zip(budget.windows, units, strict=True)):
            out = sum(lent.units[at] for lent in budget.lent.values()) + budget.unknown[at] + share
            if out > window.units * self.pace.share or window.taken(turn.now) + share > budget.cap(at, turn.now):
                return None
        if self.listed(sender):
            return units
        self._put_off.setdefault(sender, set()).add(limit.key)
        return None

    def _life(self, budget: Budget) -> float:
        """Until nothing of a credit counts any more, from when its use was last allowed."""
        return self.pace.credit_life + self.pace.credit_spare + budget.longest

    def _reckon(self, budget: Budget) -> None:
        """What may be out of this limit with those that have not told."""
        most = [int(window.units * self.pace.share) for window in budget.windows]
        share = [int(window.units * self.pace.share / self.pace.holders) for window in budget.windows]
        lendable = all(share) and budget.level is None and budget.limit.slots is None
        budget.suppose(
            [
                min(all_of_it, len(self.missing) * one) if lendable else 0
                for all_of_it, one in zip(most, share, strict=True)
            ]
        )

    def _end(self, budget: Budget, sender: str, turn: Turn) -> None:
        lent = budget.lent.get(sender)
        if lent is None:
            return
        if lent.until > turn.now:
            turn.later(lent.until, partial(self._end, budget, sender), self.owner.life)
            return
        budget.regain(sender)
        self.owner.serving.look_at(budget, turn.now, turn)
        self.owner.serving.serve(turn)
