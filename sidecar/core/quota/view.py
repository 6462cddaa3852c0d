"""How the budgets stand that a sidecar owns, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar.core.quota.budget import Budget
from sidecar.core.quota.part import Part
from sidecar.wire.quota_view import BudgetView, SlotsLeft, TokensLeft, WindowLeft


def budgets(parts: Iterable[Part], me: str, now: float) -> Iterator[BudgetView]:
    """Those in use of the partitions that this sidecar owns now."""
    for part in parts:
        owner = part.seat.owner
        if owner is not None and part.seat.owns(now):
            for budget in owner.budgets.values():
                yield _view(budget, me, now)


def _view(budget: Budget, me: str, now: float) -> BudgetView:
    limit, level = budget.limit, budget.level
    slots = None
    if limit.slots is not None:
        taken = sum(until > now for until in budget.slots.values())
        slots = SlotsLeft(limit.slots, max(0, limit.slots - taken))
    return BudgetView(
        key=limit.key,
        provider=limit.key.partition("|")[0],
        bucket=limit.bucket,
        owner=me,
        windows=tuple(
            WindowLeft(window.units, window.seconds, max(0, budget.cap(at, now) - window.taken(now)))
            for at, window in enumerate(budget.windows)
        ),
        tokens=None if level is None else TokensLeft(level.rate, level.burst, level.left(now)),
        slots=slots,
        closed_ms=round((budget.closed - now) * 1000) if budget.closed > now else None,
        lent=sum(max(lent.units, default=0) for lent in budget.lent.values()),
        waiting=budget.waiting,
    )
