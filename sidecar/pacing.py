"""One call and its quotas: leave before each exchange, and what its answer says of limits."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any

import httpx

from sidecar.core.quota.event import Wait
from sidecar.core.quota.observe import Said, hints, limits_said, to_close
from sidecar.core.retry import THROTTLED, Decision
from sidecar.model import Call, Failure, Outcome, SideEffect
from sidecar.permit import Permit
from sidecar.ports import Clock
from sidecar.quota import Given, Quotas
from sidecar.run import Run
from sidecar.telling import Telling

KEPT_PART = 0.1  # of a call's time is kept for its exchange: leave at the last moment would cut it off under way
KEPT_SECONDS = 1.0  # at most
NOW = 0.05  # seconds; who has less than that part left may still go without a wait


class Pacing:
    """What an executor asks of the quotas. `first_delay`: seconds to close for where nobody says how long."""

    def __init__(self, quotas: Quotas, telling: Telling, clock: Clock, first_delay: float) -> None:
        self._quotas = quotas
        self._telling = telling
        self._clock = clock
        self._first_delay = first_delay

    def reserve(self, run: Run) -> Failure | Coroutine[Any, Any, Failure | None] | None:
        """Leave for the next exchange, as `run.permit`; what is left of the one before goes back. Where it has to wait,
        that wait, to be awaited at once. Each wait is told.
        """
        give_back(run)
        given: Given | Coroutine[Any, Any, Given] | None = self._quotas.free(run.demand)
        if given is None or self._clock.now() >= run.call.deadline:
            latest = self._latest(run.call)
            given = self._quotas.reserve(run.call.call_id, run.demand, latest, partial(self._tell, run))
        if isinstance(given, Failure):
            return given
        if isinstance(given, Permit):
            run.permit = given
            return None
        return self._waited(run, given)

    async def _waited(self, run: Run, wait: Coroutine[Any, Any, Given]) -> Failure | None:
        given = await wait
        if isinstance(given, Failure):
            return given
        run.permit = given
        return None

    def _tell(self, run: Run, wait: Wait) -> None:
        why = "the provider said to wait" if wait.closed else "the quota is used up"
        run.why.append(f"waited about {wait.seconds:.3f} s for bucket {wait.bucket}: {why}")
        self._telling.waits(run.call, wait.seconds, why, bucket=wait.bucket)

    def _latest(self, call: Call) -> float:
        """When a wait must be over at the latest, so that there is time for the exchange."""
        kept = min(KEPT_SECONDS, KEPT_PART * (call.deadline - call.accepted))
        return max(call.deadline - kept, min(call.deadline, self._clock.now() + NOW))

    def observe(self, run: Run, answer: httpx.Response | Failure, result: Outcome, decision: Decision) -> None:
        """What the provider said about its limits holds for every call of those budgets, not for this one alone."""
        said: tuple[Said, ...] = ()
        told = run.provider.manifest.limits_told
        if told and not isinstance(answer, Failure):
            said = limits_said(told, answer.headers, answer.content, self._clock.wall())
            if said and run.permit is not None:
                self._quotas.hinted(hints(said, run.demand, run.permit.call))
        if isinstance(result, Failure) and result.reason in THROTTLED:
            wait = result.retry_after or decision.delay or self._first_delay
            self._quotas.told(to_close(run.demand, said, result.bucket), wait, result.reason)
        self.over(run, sent=is_sent(answer))

    def over(self, run: Run, *, sent: bool) -> None:
        """The exchange has ended. Where not one byte was sent, its leave was not used."""
        if sent and run.permit is not None:
            run.permit.ended()
        else:
            give_back(run)


def give_back(run: Run) -> None:
    """Leave that was not used, if there is any."""
    if run.permit is not None:
        run.permit.unused()


def is_sent(answer: httpx.Response | Failure) -> bool:
    """Whether any byte of the request may have left, by what the sender says."""
    return not isinstance(answer, Failure) or answer.side_effect is not SideEffect.NONE
