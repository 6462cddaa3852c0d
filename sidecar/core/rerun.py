"""How a durable call stands after a run: done, dead, or waiting to run again, and from when on. Pure."""

from __future__ import annotations

import msgspec

from sidecar.durable import DurableCall, Stage
from sidecar.kept import kept_outcome
from sidecar.model import Failure, Outcome, Reason, Success, retryable

MOST_TRIES = 20  # runs that failed: over about two hours
MOST_WAITS = 10_000  # runs that found no room in a quota
LONGEST_PAUSE = 600.0
SHORTEST_WAIT = 1.0
USUAL_WAIT = 5.0  # where a quota does not say when there is room
DAY = 24 * 3600
DONE_SECONDS, DEAD_SECONDS, WAITING_SECONDS = DAY, 7 * DAY, 7 * DAY

# No failure of the call: its turn has not come.
LIMITED = frozenset(
    {
        Reason.LOCAL_RATE_LIMITED,
        Reason.PROVIDER_RATE_LIMITED,
        Reason.TENANT_LIMIT,
        Reason.QUEUE_FULL,
        Reason.CIRCUIT_OPEN,
        Reason.IN_PROGRESS,
    }
)

WITHDRAWN = Failure(
    reason=Reason.CANCELLED_BY_CALLER,
    detail="a message on the call's cancel subject ended it while it waited; nothing was sent",
)

replace = msgspec.structs.replace


class Ran(msgspec.Struct, frozen=True, tag=True):
    """The call ended so, after so many attempts; `again`: its key allows to run it again whatever came of it."""

    outcome: Outcome
    attempts: int = 0
    again: bool = False


def after_run(call: DurableCall, ran: Ran, wall: float, jitter: float) -> DurableCall:
    """How the call stands after a run that ended so."""
    outcome = ran.outcome
    ended = replace(call, attempts=call.attempts + ran.attempts, due=None, why=None, ended=kept_outcome(outcome))
    if isinstance(outcome, Success) or outcome.reason is Reason.CANCELLED_BY_CALLER:
        return replace(ended, stage=Stage.DONE)
    limited = outcome.reason in LIMITED
    tries, waits = call.tries + (not limited), call.waits + limited
    if not repeatable(ran, call) or tries > MOST_TRIES or waits > MOST_WAITS:
        return replace(ended, stage=Stage.DEAD)
    delay = _wait(outcome, jitter) if limited else _backoff(outcome, tries, jitter)
    why = f"{outcome.reason}: {outcome.detail}"
    return replace(ended, ended=None, tries=tries, waits=waits, due=wall + delay, why=why)


def withdrawn(call: DurableCall) -> DurableCall:
    """How a call that waits stands after a cancel."""
    return replace(call, stage=Stage.DONE, due=None, why=None, ended=kept_outcome(WITHDRAWN))


def repeatable(ran: Ran, call: DurableCall) -> bool:
    """Whether the same call may run again."""
    return isinstance(ran.outcome, Failure) and retryable(ran.outcome, call.access, again=ran.again)


def kept_seconds(call: DurableCall, wall: float) -> int:
    """How long the record lasts from now, in whole seconds."""
    match call.stage:
        case Stage.DONE:
            return DONE_SECONDS
        case Stage.DEAD:
            return DEAD_SECONDS
        case Stage.WAITING:
            return WAITING_SECONDS + max(0, round((call.due or wall) - wall))


def _wait(failure: Failure, jitter: float) -> float:
    told = USUAL_WAIT if failure.retry_after is None else failure.retry_after
    return max(SHORTEST_WAIT, told) * (1 + 0.1 * jitter)


def _backoff(failure: Failure, tries: int, jitter: float) -> float:
    return max(failure.retry_after or 0.0, min(LONGEST_PAUSE, 2.0 ** min(tries - 1, 20)) * (0.5 + jitter))
