"""The owner of a partition: an exact ledger in memory (`permits.py`), and those who wait for it (`serving.py`).

Two sidecars never own a partition at once, so that whatever one call takes of several limits is taken in one step.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.core.quota.answers import Answers
from sidecar.core.quota.budget import Budget
from sidecar.core.quota.hints import correct
from sidecar.core.quota.keeping import Ahead, is_long
from sidecar.core.quota.lending import Lending
from sidecar.core.quota.limit import Limit
from sidecar.core.quota.message import Beat, Permit, Request
from sidecar.core.quota.permits import Permits
from sidecar.core.quota.record import State
from sidecar.core.quota.serving import Serving
from sidecar.core.quota.turn import Life, Turn


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
        self.permits = Permits(self)
        self.serving = Serving(self)

    def grants(self, now: float) -> bool:
        return self.opens <= now < self.until

    # What its seat asks and tells.

    def idle(self, turn: Turn) -> bool:
        """Nobody asked for a while, nothing is lent, no slot is held."""
        if turn.now - self.active < self.lending.pace.idle or self.serving.waiting:
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
            self.serving.look_at(budget, turn.now, turn)
        self.serving.serve(turn)

    def close(self, keys: Iterable[str], turn: Turn) -> None:
        """The provider said "not before": nothing of these is granted until then, and less for a while after."""
        for key in keys:
            budget = self.budgets.get(key)
            if budget is not None:
                budget.close(turn.closed[key], turn.now, self.lending.pace.strict)
                self.serving.look_at(budget, budget.closed, turn)

    def sweep(self, turn: Turn) -> None:
        """Forget the budgets that say no more than new ones would."""
        now, idle = turn.now, self.lending.pace.idle
        for key, budget in list(self.budgets.items()):
            longest = budget.longest
            if budget.strict <= now:
                budget.variation = budget.limit.variation
            if budget.used + idle + longest > now or budget.lines or budget.lent or budget.held(now):
                continue
            if now < max(self.cold + longest + idle, self.lending.missing_until, budget.closed):
                continue
            del self.budgets[key]
            self.ahead.forget(budget)
        self.serving.sweep()
        self.permits.forget(now)
        self.lending.sweep(now)

    # What the sidecars ask and tell.

    def request(self, sender: str, asked: Request, turn: Turn) -> None:
        self.answers.hear(sender, asked.sent, turn.now)
        self.active = turn.now
        if asked.begun:
            self.permits.begun(sender, asked.begun, turn)
        keys = []
        for limit in asked.limits:
            self.learn(limit, turn)
            keys.append(limit.key)
        for item in asked.items:
            self.serving.ask(sender, item, asked.late, turn)
        for item in asked.spare:
            self.serving.spare(sender, item, turn)
        self.lending.lend(sender, keys, turn)

    def beat(self, sender: str, beat: Beat, turn: Turn) -> None:
        """What came back to this sidecar, and what it still uses."""
        self.answers.hear(sender, beat.sent, turn.now)
        self.active = turn.now
        self.permits.begun(sender, beat.begun, turn)
        for call in beat.ended:
            self.permits.ended(sender, call, turn)
        for call in beat.unused:
            self.serving.drop((sender, call))
            self.permits.unused(sender, call, turn)
        for key, serial in beat.dropped:
            self.lending.dropped(sender, key, serial, turn)
        for hint in beat.hints:
            correct(self, hint, turn)
        self.permits.under_way(sender, frozenset(beat.under_way), turn)
        self.lending.lend(sender, beat.uses, turn)

    def gone(self, sender: str, undelivered: Iterable[Permit], turn: Turn) -> None:
        """Nobody listens there: it waits no more. What it holds it may be using."""
        self.permits.undelivered(sender, undelivered, turn)
        for name in [name for name in self.serving.waiting if name[0] == sender]:
            self.serving.drop(name)
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
        if turn.closed:
            budget.closed = max(budget.closed, turn.closed.get(limit.key, budget.closed))
        return budget

    def _untold(self, seconds: float, turn: Turn) -> bool:
        """Whether no record says what the last owner granted of such a window."""
        return not is_long(seconds, turn) or self.ahead.unknown(seconds, turn.now)
