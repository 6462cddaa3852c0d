"""The permits that an owner gave out, for as long as something may still be said of them, and the slots they hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from sidecar.core.quota.budget import NEVER, Budget
from sidecar.core.quota.line import Line, Name, Waiting, Wants
from sidecar.core.quota.message import Begun, Permit
from sidecar.core.quota.pace import MOMENT
from sidecar.core.quota.turn import Turn

if TYPE_CHECKING:
    from sidecar.core.quota.owner import Owner


class Granted(msgspec.Struct, eq=False):
    """A permit: from when to when its exchange may start, and what it took. `sure`: of each budget, when its units have
    arrived. `ends`: the exchange is over by then, and its slots are free.
    """

    budgets: tuple[Budget, ...]
    wants: Wants
    start: float
    late: float
    ends: float
    sure: list[float]
    slots: bool
    begun: bool = False  # it was used, and it is known when
    named: bool = False  # its sidecar said that it is under way
    repeated: bool = False  # it was said more than once


class Permits:
    """Of one owner."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._pace = owner.lending.pace
        self.granted: dict[Name, Granted] = {}
        self._remembered: deque[tuple[float, Name]] = deque()
        self._holding: dict[str, set[str]] = {}  # the calls of each sidecar that may hold slots
        self._named: dict[str, frozenset[str]] = {}  # the calls that each sidecar had under way in its last message

    def grant(self, line: Line, call: Waiting, start: float, turn: Turn) -> None:
        """Its permit from `start` on, and what that takes."""
        name = (line.sender, call.call)
        ends = call.deadline + self._pace.slot_spare
        sure, slots = [], False
        for budget, (_, cost) in zip(line.budgets, call.wants, strict=True):
            sure.append(budget.take(name, cost, start + call.late, ends, turn.now))
            slots |= budget.limit.slots is not None
            if budget.ahead < NEVER:
                self._owner.ahead.spent(budget)
        granted = Granted(line.budgets, call.wants, start, call.late, ends, sure, slots)
        self.granted[name] = granted
        if granted.slots:
            self._holding.setdefault(line.sender, set()).add(call.call)
        self._remembered.append((max(start, turn.now) + self._pace.remembered, name))
        self.forget(turn.now)
        self._owner.answers.to(line.sender).permits.append(Permit(call.call, start - turn.now, call.late))

    def again(self, name: Name, turn: Turn) -> None:
        """A request that came twice, perhaps because the answer was lost: the same permit again, never another."""
        granted = self.granted[name]
        granted.repeated = True
        sender, call = name
        self._owner.answers.to(sender).permits.append(Permit(call, granted.start - turn.now, granted.late))

    def begun(self, sender: str, calls: Begun, turn: Turn) -> None:
        """When these permits were used, at the latest: what they took is free again so much sooner. Only the time that
        a permit holds is charged to nobody that way, so that it may be long.
        """
        for call, age in calls:
            granted = self.granted.get((sender, call))
            if granted is None or granted.begun:
                continue
            granted.begun = True
            sooner = granted.start + granted.late - (turn.now - age)
            if sooner <= MOMENT:
                continue
            for at, (budget, (_, cost)) in enumerate(zip(granted.budgets, granted.wants, strict=True)):
                granted.sure[at] = budget.sooner(cost, granted.sure[at], sooner, turn.now)
                if sooner > turn.pace.horizon:  # else those who wait are looked at soon enough as it is
                    self._owner.serving.look_at(budget, turn.now, turn)

    def ended(self, sender: str, call: str, turn: Turn) -> None:
        """The exchange is over: its slots are free."""
        granted = self.granted.get((sender, call))
        if granted is None or not granted.slots:
            return
        del self.granted[sender, call]
        for budget in granted.budgets:
            if budget.slots.pop((sender, call), None) is not None:
                budget.hold_mean += 0.1 * (max(0.0, turn.now - granted.start) - budget.hold_mean)
                self._owner.serving.look_at(budget, turn.now, turn)

    def unused(self, sender: str, call: str, turn: Turn) -> None:
        """Its permit was not used: what it took goes back."""
        granted = self.granted.pop((sender, call), None)
        if granted is None:
            return
        for budget, (_, cost), sure in zip(granted.budgets, granted.wants, granted.sure, strict=True):
            budget.give_back((sender, call), cost, sure, turn.now)
            self._owner.serving.look_at(budget, turn.now, turn)

    def undelivered(self, sender: str, permits: Iterable[Permit], turn: Turn) -> None:
        """Nobody received these. That a permit did not reach its sidecar is proved for the only one that was said."""
        for permit in permits:
            granted = self.granted.get((sender, permit.call))
            if granted is not None and not granted.repeated:
                self.unused(sender, permit.call, turn)

    def under_way(self, sender: str, calls: frozenset[str], turn: Turn) -> None:
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

    def adopt(self, sender: str, call: str, keys: tuple[str, ...], turn: Turn, ends: float | None = None) -> None:
        """An exchange that the last owner let go: its slots stay taken."""
        if (sender, call) in self.granted:
            return
        budgets = tuple(self._owner.budgets[key] for key in keys if key in self._owner.budgets)
        ends = ends or max(self._owner.lending.slots_until, turn.now)
        wants, slots = tuple((b.limit.key, 0) for b in budgets), any(b.limit.slots is not None for b in budgets)
        granted = Granted(budgets, wants, turn.now, 0.0, ends, [turn.now] * len(budgets), slots, begun=True)
        self.granted[sender, call] = granted
        self._holding.setdefault(sender, set()).add(call)
        self._remembered.append((ends, (sender, call)))
        for budget in budgets:
            if budget.limit.slots is not None:
                budget.slots[sender, call] = ends
                budget.unknown_slots = (max(0, budget.unknown_slots[0] - 1), budget.unknown_slots[1])

    def forget(self, now: float) -> None:
        """Permits are known by name for some seconds, those with slots until the exchange is over."""
        while self._remembered and self._remembered[0][0] <= now:
            _, name = self._remembered.popleft()
            granted = self.granted.get(name)
            if granted is None:
                continue
            if granted.slots and granted.ends > now:
                self._remembered.append((now + self._pace.remembered, name))
            else:
                del self.granted[name]
