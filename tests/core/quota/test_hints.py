"""What answers say of a limit lowers what is used of it, for a while; only a window that starts anew raises it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.quota.event import Hinted, Say
from tests.core.quota.company import Company, demand, limit

HUNDRED = limit(100, 5.0)
PATIENCE = 0.2  # seconds that a call waits


def company_that_hears(*hints: Hinted) -> Company:
    """One call is under way; its answer says all this."""
    company = Company()
    company.hire("a")
    call = company.ask("a", demand(HUNDRED))
    for hint in hints:
        company.do("a", Hinted(call, hint.key, hint.limit, hint.remaining, hint.reset, hint.fixed))
        company.move(1.1)
    return company


def served(company: Company, calls: int = 120) -> int:
    """How many go at once."""
    return sum(company.go(company.ask("a", demand(HUNDRED), PATIENCE)) is not None for _ in range(calls))


def hint(limit_: int | None = None, remaining: int | None = None, **more: float) -> Hinted:
    return Hinted("", HUNDRED.key, limit_, remaining, more.get("reset"), bool(more.get("fixed")))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (hint(remaining=99), 99),
        (hint(remaining=98), 99),
        (hint(remaining=60), 60),
        (hint(remaining=0), 0),
        (hint(limit_=50), 47),
        (hint(limit_=200), 99),
        (hint(limit_=100, remaining=500), 99),
    ],
    ids=["as expected", "one under way", "others use it", "nothing left", "half", "twice", "more than there is"],
)
def test_it_lowers_and_never_raises(said: Hinted, left: int) -> None:
    """Less than we know of is used by somebody else; more than the limit is not believed."""
    assert served(company_that_hears(said)) == pytest.approx(left, abs=3)


def test_it_is_over_with_the_window() -> None:
    """A window later all of it is there again, whatever was said."""
    company = company_that_hears(hint(remaining=0))
    company.move(5.1)
    assert served(company) >= 97


def test_until_the_reset_that_was_told() -> None:
    """What others used is free when the provider says that it is."""
    company = company_that_hears(hint(remaining=0, reset=1.0))
    assert served(company, 3) == 0
    company.move(1.5)
    assert served(company, 3) == 3


def test_a_fixed_window_starts_anew() -> None:
    """Declared as such, its units are all there a second after its reset, though they were used just before."""
    company = company_that_hears()
    assert served(company) >= 96
    call = company.ask("a", demand(HUNDRED), 0.01)
    company.move(5.2)
    first = company.ask("a", demand(HUNDRED))
    company.do("a", Hinted(first, HUNDRED.key, 100, 90, 1.0, True))
    assert served(company) >= 80
    assert company.refusal(call) is not None
    company.move(2.2)
    assert served(company) >= 95


def test_a_smaller_limit_is_said_to_operators() -> None:
    """Once, not with every answer."""
    company = company_that_hears(hint(limit_=50), hint(limit_=50))
    assert sum(isinstance(effect, Say) for _, _, effect in company.said) == 1


@given(st.lists(st.tuples(st.integers(0, 200), st.one_of(st.none(), st.floats(0.0, 9.0))), max_size=6))
@example([(0, 1.3125), (0, None)])  # units are free within the patience of the first calls, and used then
def test_lies_cost_a_window(lies: list[tuple[int, float | None]]) -> None:
    """Whatever `remaining` says, no window has more than its units, and a window later all of it is used again."""
    company = company_that_hears(*(Hinted("", HUNDRED.key, None, left, reset) for left, reset in lies))
    assert served(company) <= 100
    company.move(5.2 + PATIENCE)
    assert served(company) >= 93
