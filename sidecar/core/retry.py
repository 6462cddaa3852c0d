"""Whether one more attempt is safe and worth it. The only retry layer there is.

| where it failed | any method | idempotent method, or a read |
|---|---|---|
| nothing was sent; the provider refused before acting (429, 503 with Retry-After) | yes | yes |
| sent, and what happened is unknown (no answer, 5xx, 408, 425) | never | yes |
| the answer came, its body did not | never | reads only |
| any other failure | never | never |
"""

from __future__ import annotations

import msgspec

from sidecar.model import Access, Failure, Reason, SideEffect


class RetryPolicy(msgspec.Struct, frozen=True):
    """Bounds of the retries of one call; delays in seconds, before jitter."""

    attempts: int = 3
    first_delay: float = 0.05
    first_throttle_delay: float = 1.0
    max_delay: float = 20.0


class Decision(msgspec.Struct, frozen=True):
    """`delay` is the seconds to wait before the next attempt, None to stop; `why` says it in plain words."""

    delay: float | None
    why: str


THROTTLED = frozenset({Reason.PROVIDER_RATE_LIMITED, Reason.PROVIDER_UNAVAILABLE})
UNSENT = THROTTLED | {Reason.CONNECT_FAILED}
UNCERTAIN = frozenset({Reason.OUTCOME_UNKNOWN, Reason.PROVIDER_5XX})


def retry(
    policy: RetryPolicy, attempt: int, failure: Failure, *, access: Access, repeatable: bool, jitter: float, left: float
) -> Decision:
    """The decision after `attempt` (from 1) failed with `left` seconds until the deadline; `jitter` is in [0, 1)."""
    refusal = _never(failure, access, repeatable=repeatable)
    if refusal is not None:
        return Decision(None, refusal)
    if attempt >= policy.attempts:
        return Decision(None, f"no retry: this was attempt {attempt} of {policy.attempts}")
    delay = retry_delay(policy, attempt, failure, jitter)
    if delay >= left:
        return Decision(
            None, f"no retry: the next attempt would start in {delay:.2f} s, the deadline is in {max(left, 0):.2f} s"
        )
    told = " as the provider told" if failure.retry_after is not None and delay == failure.retry_after else ""
    return Decision(delay, f"retry in {delay:.3f} s{told}: {_safe(failure, access)}")


def retry_delay(policy: RetryPolicy, attempt: int, failure: Failure, jitter: float) -> float:
    """Full jitter over an exponential back-off, never less than what the provider told."""
    first = policy.first_throttle_delay if failure.reason in THROTTLED else policy.first_delay
    backoff = min(policy.max_delay, first * 2.0 ** min(attempt - 1, 60)) * jitter
    return max(failure.retry_after or 0.0, backoff)


def _never(failure: Failure, access: Access, *, repeatable: bool) -> str | None:
    """Why this failure is never followed by another attempt, or None when it may be."""
    reason = failure.reason
    if reason in UNSENT and failure.side_effect is SideEffect.NONE:
        return None
    if reason in UNCERTAIN:
        return None if repeatable else "no retry: the write may have been done, and sending it again could do it twice"
    if reason is Reason.RESPONSE_TRUNCATED:
        return None if access is Access.READ else "no retry: the write was done, only its answer was cut off"
    return f"no retry: {reason} does not go away by itself"


def _safe(failure: Failure, access: Access) -> str:
    if failure.reason in THROTTLED:
        return "the provider refused before acting"
    if failure.reason in UNSENT:
        return "nothing was sent"
    return "a read changes nothing" if access is Access.READ else "the method is idempotent"
