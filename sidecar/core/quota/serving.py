"""Those who wait for an owner, in lines: who stands in front is served, in fair order, while something can be dated."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sidecar.core.quota.budget import NEVER, Budget
from sidecar.core.quota.line import Line, Name, Waiting, Wants
from sidecar.core.quota.message import Delay, Denial, Item
from sidecar.core.quota.pace import LATEST, MOMENT
from sidecar.core.quota.turn import Turn

if TYPE_CHECKING:
    from sidecar.core.quota.owner import Owner


class Serving:
    """Of one owner."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._pace = owner.lending.pace
        self.waiting: dict[Name, tuple[Line, Waiting]] = {}
        self._lines: dict[tuple[str, tuple[str, ...]], Line] = {}
        self._due: list[tuple[float, int, Budget]] = []
        self._looks = NEVER

    def ask(self, sender: str, item: Item, late: float, turn: Turn) -> None:
        """Its permit, or how long it waits, or why it does not."""
        name, permits = (sender, item.call), self._owner.permits
        if name in permits.granted:
            permits.again(name, turn)
            return
        if name in self.waiting:
            self._answer_again(name, item.left, turn)
            return
        line = self._line(sender, item.wants)
        if line is None:
            return
        call = Waiting(item.call, item.wants, turn.now + item.left, min(max(late, line.late), LATEST))
        if not line.calls and not any(budget.parked for budget in line.budgets) and self._owner.grants(turn.now):
            blocking, at = self._blocking(line, call, turn.now)
            if blocking is None and at <= call.deadline:
                permits.grant(line, call, at, turn)
                return
        slowest, wait = self._wait(line, call, turn.now)
        if wait > item.left:
            self._deny(sender, call, slowest, wait, turn)
            return
        line.join(call)
        self.waiting[name] = (line, call)
        self._owner.answers.to(sender).delays.append(_delay(call, slowest, wait, turn.now))
        if line.parked is None:
            self._park(line, next((budget for budget in line.budgets if budget.parked), slowest), turn)

    def spare(self, sender: str, item: Item, turn: Turn) -> None:
        """A permit for a call that is still to come, where there is plenty; it holds for `item.left`."""
        line = self._line(sender, item.wants)
        if line is None:
            return
        now, name, permits = turn.now, (sender, item.call), self._owner.permits
        if name in permits.granted:
            permits.again(name, turn)
            return
        plenty = all(budget.spares(cost, now) for budget, (_, cost) in zip(line.budgets, item.wants, strict=True))
        if plenty and self._owner.grants(now):
            call = Waiting(item.call, item.wants, now, min(item.left, LATEST))
            if self._blocking(line, call, now)[1] <= now:
                permits.grant(line, call, now, turn)
                return
        self._owner.answers.to(sender).denials.append(Denial(item.call, 0.0, line.budgets[0].limit.bucket))

    def drop(self, name: Name) -> None:
        """Nobody waits for it any more."""
        waiting = self.waiting.pop(name, None)
        if waiting is not None:
            waiting[0].drop(waiting[1])

    def sweep(self) -> None:
        """Forget the lines for budgets that are forgotten."""
        budgets = self._owner.budgets
        self._lines = {name: line for name, line in self._lines.items() if all(key in budgets for key in name[1])}

    def look_at(self, budget: Budget, at: float, turn: Turn) -> None:
        """Serve those who wait for this budget, at that moment or earlier."""
        if budget.parked and at < budget.due:
            budget.due = at
            heapq.heappush(self._due, (at, turn.number(), budget))

    def serve(self, turn: Turn) -> None:
        """Everything that is due; then the next look is put on the agenda."""
        while self._due and self._due[0][0] <= turn.now:
            at, _, budget = heapq.heappop(self._due)
            if at == budget.due:
                budget.due = NEVER
                self._serve(budget, turn)
        if self._due and self._due[0][0] < self._looks and turn.now < self._owner.until:
            self._looks = self._due[0][0]
            turn.later(self._looks, self._look, self._owner.life)

    def _line(self, sender: str, wants: Wants) -> Line | None:
        keys = tuple(key for key, _ in wants)
        line = self._lines.get((sender, keys))
        if line is None:
            if not all(key in self._owner.budgets for key in keys):
                return None
            line = self._lines[sender, keys] = Line(sender, tuple(self._owner.budgets[key] for key in keys))
        return line

    def _answer_again(self, name: Name, left: float, turn: Turn) -> None:
        """A request that came twice: it waits on."""
        line, waiting = self.waiting[name]
        waiting.deadline = max(waiting.deadline, turn.now + left)  # its clock may have stood still
        slowest, wait = self._wait(line, waiting, turn.now)
        self._owner.answers.to(line.sender).delays.append(_delay(waiting, slowest, wait, turn.now))

    def _wait(self, line: Line, call: Waiting, now: float) -> tuple[Budget, float]:
        """Which budget it waits for longest, and about how long."""
        slowest, longest = line.budgets[0], -1.0
        for budget, (_, cost) in zip(line.budgets, call.wants, strict=True):
            wait = budget.wait(line, cost, call.late, now)
            if wait >= longest:
                slowest, longest = budget, wait
        return slowest, max(longest, self._owner.opens - now)

    def _blocking(self, line: Line, call: Waiting, now: float) -> tuple[Budget | None, float]:
        """The budget for which its permit cannot be dated yet, and when it can be; None: the date of the permit."""
        start, slowest = now, line.budgets[0]
        for budget, (_, cost) in zip(line.budgets, call.wants, strict=True):
            at = budget.fit(cost, now)
            if budget.limit.slots is not None and not self._may_hold(line.sender, call, now):
                at = NEVER
            if budget.wants_ahead:
                self._owner.ahead.dirty = True
            if at > start:
                start, slowest = at, budget
        return (slowest if start > now + self._pace.horizon else None), start

    def _may_hold(self, sender: str, call: Waiting, now: float) -> bool:
        """Slots are granted to whom the record names, and for no longer than it says."""
        listed = self._owner.lending.listed(sender)
        return self._owner.ahead.longest_for(call.deadline - now) and listed

    def _deny(self, sender: str, call: Waiting, budget: Budget, wait: float, turn: Turn) -> None:
        self.waiting.pop((sender, call.call), None)
        closed = budget.closed > turn.now
        self._owner.answers.to(sender).denials.append(Denial(call.call, wait, budget.limit.bucket, closed))

    def _look(self, _turn: Turn) -> None:
        """Whoever is due is served at the end of the turn, as after everything that happens here."""
        self._looks = NEVER

    def _serve(self, budget: Budget, turn: Turn) -> None:
        now = turn.now
        if not self._owner.grants(now):
            if now < self._owner.opens:
                self.look_at(budget, self._owner.opens, turn)
            return
        while budget.parked:
            line = budget.parked[0][2]
            call = line.first()
            if call is None:
                budget.unpark(0)
                line.parked = None
                continue
            line.passed.add(budget)
            blocking, at = self._blocking(line, call, now)
            if call.deadline <= now or NEVER > at > call.deadline:
                self._deny(line.sender, line.leave(), blocking or budget, at - now if at < NEVER else 1.0, turn)
                continue
            if blocking is None:
                blocking = next((other for other in line.budgets if other.parked and other not in line.passed), None)
            if blocking is None:
                self._serve_first(budget, line, at, turn)
            elif blocking is budget:
                self._put_off(budget, at, turn)
                return
            else:
                budget.unpark(0)
                self._park(line, blocking, turn)

    def _serve_first(self, budget: Budget, line: Line, start: float, turn: Turn) -> None:
        """Its first call gets its permit; the line stands behind those who wait here, with what it has left."""
        call = line.leave()
        self.waiting.pop((line.sender, call.call), None)
        self._owner.permits.grant(line, call, start, turn)
        for wanted, (_, cost) in zip(line.budgets, call.wants, strict=True):
            wanted.space(cost, start)
        budget.unpark(call.wants[line.budgets.index(budget)][1])
        line.parked = None
        if line.first() is not None:  # those who stand here are being served: no look is needed
            line.parked = budget
            budget.park(line, turn.number())

    def _put_off(self, budget: Budget, at: float, turn: Turn) -> None:
        """The first one cannot be dated yet: look again when it can, or when something may have changed."""
        self._owner.lending.recall(budget, turn)
        if at < NEVER:
            self.look_at(budget, max(at - self._pace.horizon, turn.now + MOMENT), turn)
        else:
            again = turn.now + self._pace.recall
            self.look_at(budget, min(again, max(budget.slot_due(turn.now), turn.now + MOMENT)), turn)
        if budget.lent:
            self.look_at(budget, turn.now + self._pace.recall, turn)

    def _park(self, line: Line, budget: Budget, turn: Turn) -> None:
        line.parked = budget
        budget.park(line, turn.number())
        self.look_at(budget, turn.now, turn)


def _delay(call: Waiting, budget: Budget, wait: float, now: float) -> Delay:
    return Delay(call.call, wait, budget.limit.bucket, budget.closed > now)
