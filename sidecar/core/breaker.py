"""When a provider is left alone for a while: it failed so often in a row, and one exchange at a time shows when it is
back.

Closed, every exchange passes and failures in a row are counted. Open, none passes until a moment; then one does, the
probe, and what it ends in closes the breaker or opens it again. What began before it was opened says nothing after.
"""

from __future__ import annotations

import msgspec

from sidecar.model import Failure, Outcome, Reason, Success

PROBE_SECONDS = 1.0  # to come back while another call probes
FAILING = frozenset({Reason.PROVIDER_5XX, Reason.PROVIDER_UNAVAILABLE})
# No whole answer came. Of these, a time-out counts by how long it was waited for.
UNANSWERED = frozenset(
    {
        Reason.BEFORE_SEND,
        Reason.CONNECT_FAILED,
        Reason.OUTCOME_UNKNOWN,
        Reason.RESPONSE_TRUNCATED,
        Reason.BAD_PROVIDER_RESPONSE,
    }
)


class BreakerPolicy(msgspec.Struct, frozen=True):
    """`failures` in a row open it for `open_seconds`, or for as long as the provider told, if that is shorter. A
    time-out within less than `patience` seconds says more about the caller's deadline than about the provider.
    """

    failures: int = 5
    open_seconds: float = 30.0
    patience: float = 5.0


class Breaker(msgspec.Struct, frozen=True):
    """Of one origin. `until`: when it may be probed, None while it is closed. `opened`: how often it was opened."""

    failures: int = 0
    opened: int = 0
    until: float | None = None
    probing: bool = False


class Entry(msgspec.Struct, frozen=True):
    """What an exchange brings back at its end: since which opening it runs, and whether it is the probe."""

    opened: int
    probe: bool


def closed_for(breaker: Breaker, now: float) -> float:
    """Seconds until an exchange may pass; 0 when it may now."""
    if breaker.until is None:
        return 0.0
    return PROBE_SECONDS if breaker.probing else max(0.0, breaker.until - now)


def entered(breaker: Breaker) -> tuple[Breaker, Entry]:
    """The breaker after an exchange passed, which it may (`closed_for` is 0)."""
    if breaker.until is None:
        return breaker, Entry(breaker.opened, probe=False)
    probed = Breaker(breaker.failures, breaker.opened, breaker.until, probing=True)
    return probed, Entry(breaker.opened, probe=True)


def left(
    policy: BreakerPolicy, breaker: Breaker, entry: Entry, *, works: bool | None, now: float, told: float | None = None
) -> Breaker:
    """The breaker after that exchange ended; `works` is what it showed (`shown`), None for nothing. `told`: the seconds
    after which the provider wants to be asked again.
    """
    if entry.opened != breaker.opened:
        return breaker
    if works is None:
        return Breaker(breaker.failures, breaker.opened, breaker.until) if entry.probe else breaker
    if works:
        return Breaker(0, breaker.opened)
    failures = breaker.failures + 1
    if not entry.probe and failures < policy.failures:
        return Breaker(failures, breaker.opened)
    rest = policy.open_seconds if not told or told <= 0 else min(told, policy.open_seconds)
    return Breaker(failures, breaker.opened + 1, now + rest)


def shown(policy: BreakerPolicy, result: Outcome, lasted: float) -> bool | None:
    """Whether an exchange of so many seconds shows a provider that works; None when it shows nothing."""
    if isinstance(result, Success):
        return True
    if result.reason in FAILING:
        return False
    if result.provider_status is not None and result.reason is not Reason.RESPONSE_TRUNCATED:
        return True  # it answered: a 4xx, 401 and 429 too
    if result.reason in UNANSWERED:
        return None if _hurried(policy, result, lasted) else False
    return None


def _hurried(policy: BreakerPolicy, failure: Failure, lasted: float) -> bool:
    late = isinstance(failure.cause, TimeoutError) or failure.reason is Reason.BEFORE_SEND
    return late and lasted < policy.patience
