"""Calls of one sidecar that want the same limits: they go in the order in which they came."""

from __future__ import annotations

from collections import deque

import msgspec

from sidecar.core.quota.budget import Budget
from sidecar.core.quota.limit import lateness

Name = tuple[str, str]  # the sidecar, and its name for the call
Wants = tuple[tuple[str, int], ...]


class Waiting(msgspec.Struct, eq=False):
    """One call in line, as its owner knows it. Moments are the owner's. `gone`: nobody waits for it any more."""

    call: str
    wants: Wants
    deadline: float
    late: float
    gone: bool = False


class Line:
    """`sender`: whose calls. `passed`: the budgets whose line the first call has already stood out."""

    __slots__ = ("budgets", "calls", "late", "parked", "passed", "sender")

    def __init__(self, sender: str, budgets: tuple[Budget, ...]) -> None:
        self.sender = sender
        self.budgets = budgets
        self.late = lateness(budget.limit for budget in budgets)  # how long permits hold at least
        self.calls: deque[Waiting] = deque()
        self.parked: Budget | None = None
        self.passed: set[Budget] = set()

    def join(self, call: Waiting) -> None:
        self.calls.append(call)
        self._count(call, 1)

    def leave(self) -> Waiting:
        """The first call, which waits no more."""
        call = self.calls.popleft()
        self.passed.clear()
        if not call.gone:
            self._count(call, -1)
        return call

    def drop(self, call: Waiting) -> None:
        """Nobody waits for it any more; it leaves when it is its turn."""
        if not call.gone:
            call.gone = True
            self._count(call, -1)

    def first(self) -> Waiting | None:
        """The first call somebody waits for."""
        while self.calls and self.calls[0].gone:
            self.leave()
        return self.calls[0] if self.calls else None

    def _count(self, call: Waiting, sign: int) -> None:
        for budget, (_, cost) in zip(self.budgets, call.wants, strict=True):
            budget.expect(self, sign * cost)
