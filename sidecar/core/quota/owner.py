"""The owner of a partition: an exact ledger in memory, and those who wait for it. It gives out dated permits.

Two sidecars never own a partition at once, so that whatever one call takes of several limits is taken in one step.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable

from sidecar.core.quota.answers import Answers
from sidecar.core.quota.budget import NEVER, Budget
from sidecar.core.quota.hints import correct
from sidecar.core.quota.keeping import Ahead, is_long
from sidecar.core.quota.lending import Lending
from sidecar.core.quota.limit import Limit
from sidecar.core.quota.line import Line, Waiting, Wants
from sidecar.core.quota.message import Beat, Begun, Delay, Denial, Item, Permit, Request
from sidecar.core.quota.pace import LATEST
from sidecar.core.quota.record import State
from sidecar.core.quota.turn import Life, Turn

SOON = 0.0005  # seconds; a look at a budget is not put off by less
Name = tuple[str, str]  # the sidecar, and its name for the call


class Granted:
    """A permit: from when to when its exchange may start, and what it took."""

    __slots__ = ("begun", "budgets", "ends", "late", "named", "repeated", "slots", "start", "sure", "wants")

    def __init__(self, budgets: tuple[Budget, ...], wants: Wants, start: float, late: float, ends: float) -> None:
        self.budgets = budgets
        self.wants = wants
        self.start = start
        self.late = late
        self.ends = ends  # the exchange is over by then, and its slots are free
        self.named = False  # its sidecar said that it is under way
        self.repeated = False  # it was said more than once
        self.slots = any(budget.limit.slots is not None for budget in budgets)
        self.begun = False  # it was used, and it is known when
        self.sure: list[float] = []  # of each budget: its units have arrived by then


class Owner:
    """Moments are this sidecar's. Nothing is granted at or after `until`, the end of the lease, nor before `opens`."""

    def __init__(self, partition: int, epoch: int, turn: Turn) -> None:
        self.partition = partition
        self.epoch = epoch
        self.life = Life()
        self.until = 0.0
        self.opens = 0.0
        self.cold = float("-inf")  # what the last owner granted may start until then; the log begins there
        self.active = turn.now  # when somebody last asked
        self.answers = Answers(partition, epoch)
        self.budgets: dict[str, Budget] = {}
        self.lending = Lending(self, turn.pace)
        self.ahead = Ahead(self)
        self.waiting: dict[Name, tuple[Line, Waiting]] = {}
        self.granted: dict[Name, Granted] = {}
        self._remembered: deque[tuple[float, Name]] = deque()
        self._lines: dict[tuple[str, tuple[str, ...]], Line] = {}
        self._due: list[tuple[float, int, Budget]] = []
        self._looks = NEVER
        self._holding: dict[str, set[str]] = {}  # the calls of each sidecar that may hold slots
        self._named: dict[str, frozenset[str]] = {}  # the calls that each sidecar had under way in its last message

    def grants(self, now: float) -> bool:
        return self.opens <= now < self.until

    # What its seat asks and tells.

    def idle(self, turn: Turn) -> bool:
        """Nobody asked for a while, nothing is lent, no slot is held."""
        if turn.now - self.active < self.lending.pace.idle or self.waiting:
            return False
        return not any(budget.lent or budget.held(turn.now) for budget in self.budgets.values())

    def recorded(self, written: State, turn: Turn) -> None:
        """The record says this now."""
        self.ahead.recorded(written.longest, written.omitted)
        self.lending.recorded(frozenset(written.roster), turn)
        self.resume(turn)

    def resume(self, turn: Turn) -> None:
        """Something changed for everybody who waits."""
        for budget in self.budgets.values():
            self.look_at(budget, turn.now, turn)
        self.service(turn)

    def close(self, keys: Iterable[str], turn: Turn) -> None:
        """The provider said "not before": nothing of these is granted until then, and less for a while after."""
        for key in keys:
            budget = self.budgets.get(key)
            if budget is not None:
                budget.close(turn.closed[key], turn.now, self.lending.pace.strict)
                self.look_at(budget, budget.closed, turn)

    def sweep(self, turn: Turn) -> None:
        """Forget the budgets that say no more than new ones would."""
        now, idle = turn.now, self.lending.pace.idle
        for key, budget in list(self.budgets.items()):
            longest = max((window.seconds for window in budget.windows), default=0.0)
            if budget.strict <= now:
                budget.variation = budget.limit.variation
            if budget.used + idle + longest > now or budget.lines or budget.lent or budget.held(now):
                continue
            if now < max(self.cold + longest + idle, self.lending.missing_until, budget.closed):
                continue
            del self.budgets[key]
            self.ahead.forget(budget)
        self._lines = {name: line for name, line in self._lines.items() if all(key in self.budgets for key in name[1])}
        self._forget(now)
        self.lending.sweep(now)

    # What the sidecars ask and tell.

    def request(self, sender: str, asked: Request, turn: Turn) -> None:
        self.answers.hear(sender, asked.sent, turn.now)
        self.active = turn.now
        self._begun(sender, asked.begun, turn)
        for limit in asked.limits:
            self.learn(limit, turn)
        for item in asked.items:
            self._ask(sender, item, asked.late, turn)
        self.lending.lend(sender, [limit.key for limit in asked.limits], turn)

    def ended(self, sender: str, call: str, turn: Turn) -> None:
        """The exchange is over: its slots are free."""
        granted = self.granted.get((sender, call))
        if granted is None or not granted.slots:
            return
        del self.granted[sender, call]
        for budget in granted.budgets:
            if budget.slots.pop((sender, call), None) is not None:
                budget.hold_mean += 0.1 * (max(0.0, turn.now - granted.start) - budget.hold_mean)
                self.look_at(budget, turn.now, turn)

    def unused(self, sender: str, call: str, turn: Turn) -> None:
        """Nobody waits for it any more, or its permit was not used."""
        waiting = self.waiting.pop((sender, call), None)
        if waiting is not None:
            waiting[0].drop(waiting[1])
        granted = self.granted.pop((sender, call), None)
        if granted is None:
            return
        for budget, (_, cost), sure in zip(granted.budgets, granted.wants, granted.sure, strict=True):
            budget.give_back((sender, call), cost, sure, turn.now)
            self.look_at(budget, turn.now, turn)

    def _begun(self, sender: str, calls: Begun, turn: Turn) -> None:
        """When these permits were used, at the latest: what they took is free again so much sooner. Only the time that
        a permit holds is charged to nobody that way, so that it may be long.
        """
        for call, age in calls:
            granted = self.granted.get((sender, call))
            if granted is None or granted.begun:
                continue
            granted.begun = True
            sooner = granted.start + granted.late - (turn.now - age)
            if sooner <= SOON:
                continue
            for at, (budget, (_, cost)) in enumerate(zip(granted.budgets, granted.wants, strict=True)):
                granted.sure[at] = budget.sooner(cost, granted.sure[at], sooner, turn.now)
                self.look_at(budget, turn.now, turn)

    def beat(self, sender: str, beat: Beat, turn: Turn) -> None:
        """What came back to this sidecar, and what it still uses."""
        self.answers.hear(sender, beat.sent, turn.now)
        self.active = turn.now
        self._begun(sender, beat.begun, turn)
        for call in beat.ended:
            self.ended(sender, call, turn)
        for call in beat.unused:
            self.unused(sender, call, turn)
        for key, serial in beat.dropped:
            self.lending.dropped(sender, key, serial, turn)
        for hint in beat.hints:
            correct(self, hint, turn)
        self._under_way(sender, frozenset(beat.under_way), turn)
        self.lending.lend(sender, beat.uses, turn)

    def _under_way(self, sender: str, calls: frozenset[str], turn: Turn) -> None:
        """Slots of calls that it named once, and neither now nor in its message before, are free. One that it never
        named may be of a permit that it had not received when it said this.
        """
        before = self._named.get(sender, frozenset())
        self._named[sender] = calls
        held = self._holding.get(sender, set())
        held.intersection_update([call for call in held if (sender, call) in self.granted])
        for call in [*held]:
            granted = self.granted[sender, call]
            granted.named |= call in calls
            if granted.named and call not in calls and call not in before:
                self.ended(sender, call, turn)

    def gone(self, sender: str, undelivered: Iterable[Permit], turn: Turn) -> None:
        """Nobody listens there: it waits no more. What it holds it may be using: that a permit did not reach it is
        proved for the only one that was said.
        """
        for permit in undelivered:
            granted = self.granted.get((sender, permit.call))
            if granted is not None and not granted.repeated:
                self.unused(sender, permit.call, turn)
        for name in [name for name in self.waiting if name[0] == sender]:
            self.unused(*name, turn)
        self.answers.forget(sender)

    def learn(self, limit: Limit, turn: Turn) -> Budget:
        """The budget of this limit, made when it is first needed."""
        budget = self.budgets.get(limit.key)
        if budget is None:
            budget = self.budgets[limit.key] = Budget(limit, turn.now)
            self.lending.begin(budget, turn)
            self.ahead.begin(budget, turn)
            budget.fill(
                [window for window in budget.windows if self._untold(window.seconds, turn)], self.cold, turn.now
            )
        elif budget.limit is not limit and budget.limit != limit:
            budget.become(limit, turn.now)
        closed = turn.closed.get(limit.key)
        if closed is not None:
            budget.closed = max(budget.closed, closed)
        return budget

    def _untold(self, seconds: float, turn: Turn) -> bool:
        """Whether no record says what the last owner granted of such a window."""
        return not is_long(seconds, turn) or self.ahead.unknown(seconds, turn.now)

    def adopt(self, sender: str, call: str, keys: tuple[str, ...], turn: Turn, ends: float | None = None) -> None:
        """An exchange that the last owner let go: its slots stay taken."""
        if (sender, call) in self.granted:
            return
        budgets = tuple(self.budgets[key] for key in keys if key in self.budgets)
        ends = ends or max(self.lending.slots_until, turn.now)
        granted = Granted(budgets, tuple((b.limit.key, 0) for b in budgets), turn.now, 0.0, ends)
        granted.sure, granted.begun = [turn.now] * len(budgets), True
        self.granted[sender, call] = granted
        self._holding.setdefault(sender, set()).add(call)
        self._remembered.append((ends, (sender, call)))
        for budget in budgets:
            if budget.limit.slots is not None:
                budget.slots[sender, call] = ends
                budget.unknown_slots = (max(0, budget.unknown_slots[0] - 1), budget.unknown_slots[1])

    # Lines and permits.

    def _ask(self, sender: str, item: Item, late: float, turn: Turn) -> None:
        name = (sender, item.call)
        if name in self.granted or name in self.waiting:
            self._answer_again(name, item.left, turn)
            return
        line = self._line(sender, item.wants)
        if line is None:
            return
        call = Waiting(item.call, item.wants, turn.now + item.left, min(max(late, line.late), LATEST))
        if not line.calls and not any(budget.parked for budget in line.budgets) and self.grants(turn.now):
            blocking, at = self._blocking(line, call, turn.now)
            if blocking is None and at <= call.deadline:
                self._grant(line, call, at, turn)
                return
        slowest, wait = self._wait(line, call, turn.now)
        call.bucket = slowest.limit.bucket
        if wait > item.left:
            self._deny(sender, call, slowest, wait, turn)
            return
        line.join(call)
        self.waiting[name] = (line, call)
        self.answers.to(sender).delays.append(_delay(call, slowest, wait, turn.now))
        if line.parked is None:
            self._park(line, next((budget for budget in line.budgets if budget.parked), slowest), turn)

    def _line(self, sender: str, wants: Wants) -> Line | None:
        keys = tuple(key for key, _ in wants)
        line = self._lines.get((sender, keys))
        if line is None:
            if not all(key in self.budgets for key in keys):
                return None
            line = self._lines[sender, keys] = Line(sender, tuple(self.budgets[key] for key in keys))
        return line

    def _answer_again(self, name: Name, left: float, turn: Turn) -> None:
        """A request that came twice, perhaps because the answer was lost: the same permit again, never another."""
        sender, call = name
        granted = self.granted.get(name)
        if granted is not None:
            granted.repeated = True
            self.answers.to(sender).permits.append(Permit(call, granted.start - turn.now, granted.late))
            return
        line, waiting = self.waiting[name]
        waiting.deadline = max(waiting.deadline, turn.now + left)  # its clock may have stood still
        slowest, wait = self._wait(line, waiting, turn.now)
        self.answers.to(sender).delays.append(_delay(waiting, slowest, wait, turn.now))

    def _wait(self, line: Line, call: Waiting, now: float) -> tuple[Budget, float]:
        """Which budget it waits for longest, and about how long."""
        waits = [
            (budget.wait(line, cost, call.late, now), at)
            for at, (budget, (_, cost)) in enumerate(zip(line.budgets, call.wants, strict=True))
        ]
        wait, at = max(waits)
        return line.budgets[at], max(wait, self.opens - now)

    def _blocking(self, line: Line, call: Waiting, now: float) -> tuple[Budget | None, float]:
        """The budget for which its permit cannot be dated yet, and when it can be; None: the date of the permit."""
        start, slowest = now, line.budgets[0]
        for budget, (_, cost) in zip(line.budgets, call.wants, strict=True):
            at = budget.fit(cost, now)
            if budget.limit.slots is not None and not self._may_hold(line.sender, call, now):
                at = NEVER
            if budget.wants_ahead:
                self.ahead.dirty = True
            if at > start:
                start, slowest = at, budget
        return (slowest if start > now + self.lending.pace.horizon else None), start

    def _may_hold(self, sender: str, call: Waiting, now: float) -> bool:
        """Slots are granted to whom the record names, and for no longer than it says."""
        listed = self.lending.listed(sender)
        return self.ahead.longest_for(call.deadline - now) and listed

    def _grant(self, line: Line, call: Waiting, start: float, turn: Turn) -> None:
        name = (line.sender, call.call)
        ends = call.deadline + self.lending.pace.slot_spare
        granted = Granted(line.budgets, call.wants, start, call.late, ends)
        for budget, (_, cost) in zip(line.budgets, call.wants, strict=True):
            granted.sure.append(budget.take(name, cost, start + call.late, ends, turn.now))
            if budget.ahead < NEVER:
                self.ahead.spent(budget)
        self.granted[name] = granted
        if granted.slots:
            self._holding.setdefault(line.sender, set()).add(call.call)
        self._remembered.append((max(start, turn.now) + self.lending.pace.remembered, name))
        self._forget(turn.now)
        self.answers.to(line.sender).permits.append(Permit(call.call, start - turn.now, call.late))

    def _forget(self, now: float) -> None:
        """Permits are known by name for some seconds, those with slots until the exchange is over."""
        while self._remembered and self._remembered[0][0] <= now:
            _, name = self._remembered.popleft()
            granted = self.granted.get(name)
            if granted is None:
                continue
            if granted.slots and granted.ends > now:
                self._remembered.append((now + self.lending.pace.remembered, name))
            else:
                del self.granted[name]

    def _deny(self, sender: str, call: Waiting, budget: Budget, wait: float, turn: Turn) -> None:
        self.waiting.pop((sender, call.call), None)
        closed = budget.closed > turn.now
        self.answers.to(sender).denials.append(Denial(call.call, wait, budget.limit.bucket, closed))

    # Service: who stands in front, in fair order, until nothing more can be dated.

    def look_at(self, budget: Budget, at: float, turn: Turn) -> None:
        """Serve those who wait for this budget, at that moment or earlier."""
        if budget.parked and at < budget.due:
            budget.due = at
            heapq.heappush(self._due, (at, turn.number(), budget))

    def service(self, turn: Turn) -> None:
        """Everything that is due; then the next look is put on the agenda."""
        while self._due and self._due[0][0] <= turn.now:
            at, _, budget = heapq.heappop(self._due)
            if at == budget.due:
                budget.due = NEVER
                self._serve(budget, turn)
        if self._due and self._due[0][0] < self._looks and turn.now < self.until:
            self._looks = self._due[0][0]
            turn.later(self._looks, self._look, self.life)

    def _look(self, turn: Turn) -> None:
        self._looks = NEVER
        self.service(turn)

    def _serve(self, budget: Budget, turn: Turn) -> None:
        now = turn.now
        if not self.grants(now):
            if now < self.opens:
                self.look_at(budget, self.opens, turn)
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
        self._grant(line, call, start, turn)
        for wanted, (_, cost) in zip(line.budgets, call.wants, strict=True):
            wanted.space(cost, start)
        budget.unpark(call.wants[line.budgets.index(budget)][1])
        line.parked = None
        if line.first() is not None:
            self._park(line, budget, turn)

    def _put_off(self, budget: Budget, at: float, turn: Turn) -> None:
        """The first one cannot be dated yet: look again when it can, or when something may have changed."""
        self.lending.recall(budget, turn)
        if at < NEVER:
            self.look_at(budget, max(at - self.lending.pace.horizon, turn.now + SOON), turn)
        else:
            again = turn.now + self.lending.pace.recall
            self.look_at(budget, min(again, max(budget.slot_due(turn.now), turn.now + SOON)), turn)
        if budget.lent:
            self.look_at(budget, turn.now + self.lending.pace.recall, turn)

    def _park(self, line: Line, budget: Budget, turn: Turn) -> None:
        line.parked = budget
        budget.park(line, turn.number())
        self.look_at(budget, turn.now, turn)


def _delay(call: Waiting, budget: Budget, wait: float, now: float) -> Delay:
    return Delay(call.call, wait, budget.limit.bucket, budget.closed > now)
