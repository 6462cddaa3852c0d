"""What this process has seen of providers lately, and so what it does not try: breakers and retry budgets.

`core/breaker.py` and `core/retry_budget.py` decide; here is what they remember, in memory, of this process alone.
"""

from __future__ import annotations

import logging
from collections import Counter

from sidecar.core.breaker import Breaker, BreakerPolicy, Entry, closed_for, entered, left, shown
from sidecar.core.retry import Decision
from sidecar.core.retry_budget import RetryBudget
from sidecar.model import Failure, Outcome, Reason, Success
from sidecar.ports import Clock
from sidecar.run import Run

log = logging.getLogger("sidecar.guard")

MOST = 10_000  # breakers, and budgets; of more the oldest are forgotten
CLOSED = Breaker()
PASSED = Entry(CLOSED.opened, probe=False)  # of an exchange that passed a breaker which is closed and new

Origin = tuple[str, str]  # provider, and scheme with authority


class Guard:
    """Asked before each exchange whether it may be tried, told after it what came of it. `opened` counts, by provider,
    how often a breaker was opened.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        policy: BreakerPolicy | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._budget = budget or RetryBudget()
        self.opened: Counter[str] = Counter()
        self._breakers: dict[Origin, Breaker] = {}  # those that are more than closed and new
        self._tokens: dict[tuple[str, str], int] = {}  # by provider and tenant; those that are not full

    def refusal(self, run: Run) -> Failure | None:
        """Why an exchange would not be tried now."""
        if not self._breakers:  # as on most days
            return None
        origin = _origin(run)
        breaker = self._breakers.get(origin)
        if breaker is None:
            return None
        wait = closed_for(breaker, self._clock.now())
        return None if wait == 0.0 else _left_alone(run, origin, breaker, wait)

    def enter(self, run: Run) -> bool:
        """Whether the exchange may begin, at once; `leave` is then called at its end, however it ends."""
        if not self._breakers:
            run.entry = PASSED
            return True
        origin = _origin(run)
        breaker = self._breakers.get(origin, CLOSED)
        if closed_for(breaker, self._clock.now()) != 0.0:
            return False
        after, run.entry = entered(breaker)
        if after is not breaker:
            self._breakers[origin] = after
        return True

    def leave(self, run: Run, result: Outcome | None) -> None:
        """What the exchange ended in; None when it was cut off."""
        entry, run.entry = run.entry, None
        if entry is None or (not self._breakers and isinstance(result, Success)):
            return
        origin, now = _origin(run), self._clock.now()
        breaker = self._breakers.get(origin, CLOSED)
        works = None if result is None else shown(self._policy, result, now - (run.began or now))
        if works and breaker is CLOSED:  # the usual case
            return
        told = result.retry_after if isinstance(result, Failure) else None
        after = left(self._policy, breaker, entry, works=works, now=now, told=told)
        if after != breaker:
            self._keep(origin, breaker, after)

    def afford(self, run: Run, failure: Failure, decision: Decision) -> Decision:
        """The decision, unless the retry is not worth its price: the breaker is open, or the budget is used up."""
        refused = self.refusal(run)
        if refused is not None:
            return Decision(None, f"no retry: {refused.detail}")
        key = run.provider.name, run.call.tenant
        cost = self._budget.cost(failure.reason)
        tokens = self._tokens.get(key, self._budget.most)
        if tokens < cost:
            return Decision(None, f"no retry: too many calls of this tenant to {run.provider.name} failed lately")
        self._tokens[key] = tokens - cost
        run.retry_cost = cost
        if len(self._tokens) > MOST:
            self._tokens.pop(next(iter(self._tokens)))
        return decision

    def succeeded(self, run: Run) -> None:
        """The call succeeded: what its retry cost comes back, and a little by each call that needed none."""
        if not self._tokens:
            return
        key = run.provider.name, run.call.tenant
        tokens = self._tokens.get(key)
        if tokens is None:
            return
        tokens = self._budget.earned(tokens, run.retry_cost)
        if tokens >= self._budget.most:
            del self._tokens[key]
        else:
            self._tokens[key] = tokens

    def open_now(self) -> Counter[str]:
        """How many breakers are open, by provider."""
        return Counter(origin[0] for origin, breaker in self._breakers.items() if breaker.until is not None)

    def _keep(self, origin: Origin, before: Breaker, after: Breaker) -> None:
        if after == CLOSED:
            self._breakers.pop(origin, None)
        else:
            self._breakers[origin] = after
        if after.opened > before.opened and before.until is None:
            self.opened[origin[0]] += 1
            log.warning("%s at %s failed %d times in a row: it is left alone", *origin, after.failures)
        elif before.until is not None and after.until is None:
            log.info("%s at %s answers again", *origin)
        if len(self._breakers) > MOST:
            self._breakers.pop(next(iter(self._breakers)))


def _origin(run: Run) -> Origin:
    """Everything before the path; a rendered URL always has one."""
    scheme, _, host = run.request.url.split("/", 3)[:3]
    return run.provider.name, f"{scheme}//{host}"


def _left_alone(run: Run, origin: Origin, breaker: Breaker, wait: float) -> Failure:
    title = run.provider.manifest.title
    when = "another call tries it just now" if breaker.probing else f"it is tried again in {wait:.1f} s"
    return Failure(
        reason=Reason.CIRCUIT_OPEN,
        detail=f"{title} at {origin[1]} failed {breaker.failures} times in a row and is left alone: {when}",
        retry_after=wait,
    )
