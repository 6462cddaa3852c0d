"""The retry budget: what retries cost, what comes back, and that a failing provider is not asked much more often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.retry_budget import RetryBudget
from sidecar.model import Reason

BUDGET = RetryBudget()


def test_what_a_retry_costs() -> None:
    """14 after a failure, 5 where the provider asked to come back."""
    costs = [BUDGET.cost(reason) for reason in (Reason.PROVIDER_5XX, Reason.CONNECT_FAILED, Reason.OUTCOME_UNKNOWN)]
    assert costs == [14, 14, 14]
    assert [BUDGET.cost(reason) for reason in (Reason.PROVIDER_RATE_LIMITED, Reason.PROVIDER_UNAVAILABLE)] == [5, 5]


def test_what_comes_back() -> None:
    """A retry that helped gives back its price, a call that needed none a little; never more than there was."""
    assert (BUDGET.earned(100, 14), BUDGET.earned(100, 0), BUDGET.earned(495, 14)) == (114, 101, 500)


@given(st.lists(st.booleans(), max_size=400))
def test_retries_that_do_not_help_are_few(calls: list[bool]) -> None:
    """Of any run of calls, whose failures all want retries: those that were made and failed cost no more than the
    budget and one token for each success.
    """
    tokens, retries = BUDGET.most, 0
    for works in calls:
        if works:
            tokens = BUDGET.earned(tokens, 0)
        elif tokens >= BUDGET.transient:
            tokens, retries = tokens - BUDGET.transient, retries + 1
    assert retries <= (BUDGET.most + calls.count(True)) / BUDGET.transient
