"""Retries: the whole table, and one law above it: what may have been done is never done again."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.retry import RetryPolicy, retry, retry_delay
from sidecar.model import Access, Failure, Reason, SideEffect

READ, WRITE = Access.READ, Access.WRITE
NONE, UNKNOWN, DONE = SideEffect.NONE, SideEffect.UNKNOWN, SideEffect.DONE
POLICY = RetryPolicy()

# (reason, side effect) -> retried as: read, write that is not repeatable, write that is (PUT, DELETE)
TABLE = {
    (Reason.CONNECT_FAILED, NONE): (True, True, True),
    (Reason.PROVIDER_RATE_LIMITED, NONE): (True, True, True),
    (Reason.PROVIDER_UNAVAILABLE, NONE): (True, True, True),
    (Reason.OUTCOME_UNKNOWN, UNKNOWN): (True, False, True),
    (Reason.PROVIDER_5XX, UNKNOWN): (True, False, True),
    (Reason.RESPONSE_TRUNCATED, DONE): (True, False, False),
    # What would be safe by its reason, but something may have left: only the side effect counts.
    (Reason.CONNECT_FAILED, UNKNOWN): (False, False, False),
    (Reason.PROVIDER_RATE_LIMITED, UNKNOWN): (False, False, False),
    (Reason.PROVIDER_UNAVAILABLE, UNKNOWN): (False, False, False),
}
RETRIED = {reason for reason, _ in TABLE}


def delay(
    reason: Reason, side_effect: SideEffect, access: Access, *, repeatable: bool, left: float = 1e9
) -> float | None:
    failure = Failure(reason=reason, detail="d", side_effect=side_effect)
    return retry(POLICY, 1, failure, access=access, repeatable=repeatable, jitter=0.5, left=left).delay


@pytest.mark.parametrize(("cell", "expected"), TABLE.items())
def test_the_table(cell: tuple[Reason, SideEffect], expected: tuple[bool, bool, bool]) -> None:
    """What is retried for which kind of call."""
    got = (
        delay(*cell, READ, repeatable=True),
        delay(*cell, WRITE, repeatable=False),
        delay(*cell, WRITE, repeatable=True),
    )
    assert tuple(wait is not None for wait in got) == expected


@pytest.mark.parametrize("reason", sorted(set(Reason) - RETRIED))
@pytest.mark.parametrize("side_effect", SideEffect)
@pytest.mark.parametrize("access", Access)
def test_everything_else_is_final(reason: Reason, side_effect: SideEffect, access: Access) -> None:
    """What does not go away by itself is not tried again, for nobody."""
    assert delay(reason, side_effect, access, repeatable=True) is None


FAILURES = st.builds(
    Failure,
    reason=st.sampled_from(Reason),
    detail=st.just("d"),
    side_effect=st.sampled_from(SideEffect),
    retry_after=st.none() | st.floats(0, 1e6),
)


@given(FAILURES, st.integers(1, 5), st.floats(0, 1, exclude_max=True), st.floats(0, 1e7))
def test_a_write_that_is_not_repeatable_is_never_sent_again_after_bytes_left(
    failure: Failure, attempt: int, jitter: float, left: float
) -> None:
    """Whatever the reason, the attempt and the time: only when nothing was done can it be sent again."""
    decision = retry(POLICY, attempt, failure, access=WRITE, repeatable=False, jitter=jitter, left=left)
    assert decision.delay is None or failure.side_effect is NONE


@given(
    FAILURES,
    st.sampled_from(Access),
    st.booleans(),
    st.integers(1, 5),
    st.floats(0, 1, exclude_max=True),
    st.floats(-1, 30) | st.floats(-1, 1e7),
)
@example(
    failure=Failure(reason=Reason.PROVIDER_RATE_LIMITED, detail="d", side_effect=NONE, retry_after=7.0),
    access=WRITE,
    repeatable=True,
    attempt=1,
    jitter=0.5,
    left=5.0,
)
def test_a_retry_keeps_every_bound(
    failure: Failure,
    access: Access,
    repeatable: bool,
    attempt: int,
    jitter: float,
    left: float,
) -> None:
    """Never after the last attempt, never at or past the deadline, never before what the provider told."""
    decision = retry(POLICY, attempt, failure, access=access, repeatable=repeatable, jitter=jitter, left=left)
    assert decision.why
    if decision.delay is not None:
        assert attempt < POLICY.attempts
        assert 0 <= decision.delay < left
        assert decision.delay >= (failure.retry_after or 0)


@pytest.mark.parametrize(
    ("attempt", "reason", "retry_after", "jitter", "expected"),
    [
        (1, Reason.CONNECT_FAILED, None, 1.0, 0.05),
        (2, Reason.CONNECT_FAILED, None, 1.0, 0.1),
        (2, Reason.CONNECT_FAILED, None, 0.0, 0.0),
        (1, Reason.PROVIDER_RATE_LIMITED, None, 1.0, 1.0),
        (2, Reason.PROVIDER_RATE_LIMITED, None, 0.5, 1.0),
        (1, Reason.PROVIDER_RATE_LIMITED, 7.0, 0.5, 7.0),
        (1, Reason.PROVIDER_RATE_LIMITED, 0.1, 1.0, 1.0),
        (1, Reason.PROVIDER_UNAVAILABLE, 3.0, 0.0, 3.0),
        (12, Reason.CONNECT_FAILED, None, 1.0, 20.0),
        (500, Reason.PROVIDER_RATE_LIMITED, None, 1.0, 20.0),
        (5_000, Reason.PROVIDER_RATE_LIMITED, None, 1.0, 20.0),
    ],
)
def test_a_delay_backs_off_with_jitter_up_to_its_cap(
    attempt: int, reason: Reason, retry_after: float | None, jitter: float, expected: float
) -> None:
    """50 ms doubling, a second where the provider throttles, 20 s at most; what the provider told is the least."""
    failure = Failure(reason=reason, detail="d", retry_after=retry_after)
    assert retry_delay(POLICY, attempt, failure, jitter) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("reason", "side_effect", "access", "repeatable", "words"),
    [
        (Reason.PROVIDER_RATE_LIMITED, NONE, WRITE, False, "as the provider told: the provider refused before acting"),
        (Reason.CONNECT_FAILED, NONE, WRITE, False, "nothing was sent"),
        (Reason.OUTCOME_UNKNOWN, UNKNOWN, READ, True, "a read changes nothing"),
        (Reason.OUTCOME_UNKNOWN, UNKNOWN, WRITE, True, "the method is idempotent"),
        (Reason.OUTCOME_UNKNOWN, UNKNOWN, WRITE, False, "could do it twice"),
        (Reason.RESPONSE_TRUNCATED, DONE, WRITE, True, "the write was done"),
        (Reason.PROVIDER_NOT_FOUND, NONE, READ, True, "PROVIDER_NOT_FOUND does not go away by itself"),
    ],
)
def test_a_decision_says_why(
    reason: Reason,
    side_effect: SideEffect,
    access: Access,
    repeatable: bool,
    words: str,
) -> None:
    """In words that a person at night understands."""
    failure = Failure(reason=reason, detail="d", side_effect=side_effect, retry_after=4.0)
    decision = retry(POLICY, 1, failure, access=access, repeatable=repeatable, jitter=0.5, left=60.0)
    assert words in decision.why


def test_a_wait_past_the_deadline_says_both_times() -> None:
    """The reader sees that it was not worth it."""
    failure = Failure(reason=Reason.PROVIDER_RATE_LIMITED, detail="d", retry_after=86_400.0)
    decision = retry(POLICY, 1, failure, access=READ, repeatable=True, jitter=0.5, left=12.0)
    assert decision.delay is None
    assert decision.why == "no retry: the next attempt would start in 86400.00 s, the deadline is in 12.00 s"


def test_the_last_attempt_says_so() -> None:
    """Three, and no more."""
    failure = Failure(reason=Reason.CONNECT_FAILED, detail="d")
    decision = retry(POLICY, 3, failure, access=READ, repeatable=True, jitter=0.5, left=60.0)
    assert decision.why == "no retry: this was attempt 3 of 3"
