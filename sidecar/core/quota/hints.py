"""What answers say of a limit, at its owner. It corrects the ledger, and is never what is counted by: what is said can
only lower what is used, for a window at most. Raised is only a window that is declared to start anew at a moment told.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sidecar.core.quota.budget import Budget
from sidecar.core.quota.event import Say
from sidecar.core.quota.message import Hint
from sidecar.core.quota.turn import Turn
from sidecar.core.quota.window import Sliding

if TYPE_CHECKING:
    from sidecar.core.quota.owner import Owner

SPARE = 1.0  # seconds; the provider's clock tells whole ones
LEAST = 60.0  # seconds; so long at least a lower limit is believed
TOLERATED, TOLERATED_PART = 2, 50  # units, and the part of a limit, that may be missing


def correct(owner: Owner, hint: Hint, turn: Turn) -> None:
    """Take in what an answer said some `hint.age` seconds ago."""
    budget = owner.budgets.get(hint.key)
    if budget is None:
        return
    if budget.level is not None and hint.remaining is not None and not budget.windows:
        if hint.remaining < budget.level.left(turn.now) - TOLERATED:
            budget.level.lower(hint.remaining, turn.now)
        return
    at = _meant(budget, hint)
    if at is None:
        return
    window = budget.windows[at]
    if hint.limit is not None and 0 < hint.limit < window.units:
        _lower(budget, at, hint.limit, turn)
    if hint.remaining is not None:
        _occupy(budget, at, hint, turn)
        if hint.remaining < sum(lent.units[at] for lent in budget.lent.values()):
            owner.lending.recall_all(budget)
    if hint.fixed and hint.reset is not None:
        moment = turn.now - hint.age + hint.reset
        turn.later(max(turn.now, moment + SPARE), partial(_start_anew, owner, budget, window, moment), owner.life)


def _meant(budget: Budget, hint: Hint) -> int | None:
    """Which of its windows: the one of that size, else the one that the time to its start fits."""
    windows = budget.windows
    if not windows:
        return None
    sized = [at for at, window in enumerate(windows) if window.units == hint.limit]
    if sized:
        return sized[0]
    by_length = sorted(range(len(windows)), key=lambda at: windows[at].seconds)
    if hint.reset is None:
        return by_length[-1]
    return next((at for at in by_length if windows[at].seconds >= (hint.reset or 0.0)), by_length[-1])


def _lower(budget: Budget, at: int, limit: int, turn: Turn) -> None:
    """The provider allows less than the manifest says."""
    if budget.lowered_until <= turn.now:
        budget.lowered = tuple(window.units for window in budget.windows)
        said = f"an answer says that the limit is {limit}, not {budget.windows[at].units}: the smaller one is kept"
        turn.effects.append(Say(said, budget.limit.bucket))
    budget.lowered = tuple(limit if one == at else units for one, units in enumerate(budget.lowered))
    budget.lowered_until = turn.now + max(LEAST, budget.windows[at].seconds)


def _occupy(budget: Budget, at: int, hint: Hint, turn: Turn) -> None:
    """Less is left than all that was granted and lent explains: somebody else uses it, too."""
    window, now = budget.windows[at], turn.now
    free = budget.cap(at, now) - window.taken(now)
    foreign = free - max(0, hint.remaining or 0)
    if foreign <= max(TOLERATED, window.units // TOLERATED_PART):
        return
    seconds = window.seconds if hint.reset is None else min(window.seconds, max(0.0, hint.reset - hint.age) + SPARE)
    window.take(foreign, now + seconds)


def _start_anew(owner: Owner, budget: Budget, window: Sliding, moment: float, turn: Turn) -> None:
    """The provider counts from nothing since `moment`: what arrived before it is free."""
    window.forget(max(turn.now, moment + window.seconds))
    owner.serving.look_at(budget, turn.now, turn)
