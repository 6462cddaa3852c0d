"""The breaker: what opens it, who may probe, what closes it, and what it takes no notice of."""

from __future__ import annotations

import pytest

from sidecar.core.breaker import PROBE_SECONDS, Breaker, BreakerPolicy, Entry, closed_for, entered, left, shown
from sidecar.model import Failure, Outcome, Reason, SideEffect, Success

POLICY = BreakerPolicy()
OPEN = Breaker(failures=5, opened=1, until=130.0)
LATE = TimeoutError()


def after(breaker: Breaker, *works: bool | None, now: float = 100.0) -> Breaker:
    """The breaker after exchanges one after the other."""
    for one in works:
        breaker, entry = entered(breaker)
        breaker = left(POLICY, breaker, entry, works=one, now=now)
    return breaker


def test_five_failures_in_a_row_open_it() -> None:
    """Not four; and from then on nothing passes for 30 seconds."""
    four = after(Breaker(), *[False] * 4)
    assert closed_for(four, 100.0) == 0.0
    five = after(four, False)
    assert (closed_for(five, 100.0), closed_for(five, 129.0), closed_for(five, 130.0)) == (30.0, 1.0, 0.0)


def test_a_success_between_starts_the_count_anew() -> None:
    """A provider that fails half of the time is not shut out."""
    assert after(Breaker(), *[False] * 4, True, *[False] * 4).until is None


def test_what_shows_nothing_neither_counts_nor_forgives() -> None:
    """A call that was cancelled says nothing of the provider."""
    assert after(Breaker(), *[False] * 4, None).failures == 4


def test_one_probe_at_a_time() -> None:
    """When the time has come one exchange passes; the next one waits for what it shows."""
    probing, entry = entered(OPEN)
    assert entry.probe
    assert closed_for(probing, 130.0) == PROBE_SECONDS


@pytest.mark.parametrize(
    ("works", "closed_after"),
    [
        pytest.param(True, 0.0, id="it works: closed"),
        pytest.param(False, 30.0, id="it fails: open for as long again"),
        pytest.param(None, 0.0, id="it shows nothing: the next one probes"),
    ],
)
def test_the_probe_decides(works: bool | None, closed_after: float) -> None:
    """One is enough to close it, and one to leave the provider alone again."""
    probed = after(OPEN, works, now=130.0)
    assert closed_for(probed, 130.0) == closed_after
    assert entered(probed)[1].probe is (works is not True)


@pytest.mark.parametrize("works", [True, False])
def test_what_began_before_it_opened_says_nothing_after(works: bool) -> None:
    """A hundred failures that come in late do not keep it open longer, and one late success does not close it."""
    assert left(POLICY, OPEN, Entry(opened=0, probe=False), works=works, now=125.0) == OPEN


def test_a_late_failure_does_not_count_once_it_has_closed() -> None:
    """What began before the opening is still no news after the probe."""
    closed = after(OPEN, True, now=130.0)
    assert left(POLICY, closed, Entry(opened=0, probe=False), works=False, now=131.0) == closed


@pytest.mark.parametrize(("told", "rest"), [(2.0, 2.0), (500.0, 30.0), (0.0, 30.0), (None, 30.0)])
def test_the_provider_may_ask_for_less(told: float | None, rest: float) -> None:
    """A 503 with a `Retry-After` is left alone for that long, never longer than the breaker's own time."""
    four, entry = entered(after(Breaker(), *[False] * 4))
    assert closed_for(left(POLICY, four, entry, works=False, now=100.0, told=told), 100.0) == rest


def failure(reason: Reason, status: int | None = None, cause: BaseException | None = None) -> Failure:
    return Failure(reason=reason, detail="d", side_effect=SideEffect.NONE, provider_status=status, cause=cause)


@pytest.mark.parametrize(
    ("result", "lasted", "works"),
    [
        pytest.param(Success(body=b""), 0.1, True, id="success"),
        pytest.param(failure(Reason.PROVIDER_5XX, 500), 0.1, False, id="500"),
        pytest.param(failure(Reason.PROVIDER_UNAVAILABLE, 503), 0.1, False, id="503 with Retry-After"),
        pytest.param(failure(Reason.PROVIDER_REJECTED, 500), 0.1, True, id="a 500 that a rule explains"),
        pytest.param(failure(Reason.PROVIDER_REJECTED, 400), 0.1, True, id="400"),
        pytest.param(failure(Reason.CREDENTIAL_REJECTED, 401), 0.1, True, id="401"),
        pytest.param(failure(Reason.PROVIDER_RATE_LIMITED, 429), 0.1, True, id="429"),
        pytest.param(failure(Reason.OUTCOME_UNKNOWN, 408), 0.1, True, id="408"),
        pytest.param(failure(Reason.BAD_PROVIDER_RESPONSE, 200), 0.1, True, id="200 and HTML"),
        pytest.param(failure(Reason.CONNECT_FAILED), 0.1, False, id="connection refused"),
        pytest.param(failure(Reason.CONNECT_FAILED, cause=LATE), 10.0, False, id="no connection in 10 s"),
        pytest.param(failure(Reason.OUTCOME_UNKNOWN), 0.1, False, id="reset before a status"),
        pytest.param(failure(Reason.BAD_PROVIDER_RESPONSE), 0.1, False, id="no HTTP"),
        pytest.param(failure(Reason.RESPONSE_TRUNCATED, 200), 0.1, False, id="reset in the body"),
        pytest.param(failure(Reason.OUTCOME_UNKNOWN, cause=LATE), 0.1, None, id="the caller's deadline of 0.1 s"),
        pytest.param(failure(Reason.OUTCOME_UNKNOWN, cause=LATE), 5.0, False, id="5 s without an answer"),
        pytest.param(failure(Reason.RESPONSE_TRUNCATED, 200, LATE), 0.1, None, id="the caller's deadline in the body"),
        pytest.param(failure(Reason.BEFORE_SEND), 0.1, None, id="no connection within a short deadline"),
        pytest.param(failure(Reason.BEFORE_SEND), 5.0, False, id="5 s without a connection"),
        pytest.param(failure(Reason.EGRESS_BLOCKED), 0.1, None, id="our own refusal"),
        pytest.param(failure(Reason.TLS_VERIFY_FAILED), 0.1, None, id="a certificate"),
        pytest.param(failure(Reason.BUG), 0.1, None, id="our own defect"),
    ],
)
def test_what_an_exchange_shows(result: Outcome, lasted: float, works: bool | None) -> None:
    """A provider that answers works, whatever it answers but 5xx; a short deadline of one caller opens nothing."""
    assert shown(POLICY, result, lasted) is works
