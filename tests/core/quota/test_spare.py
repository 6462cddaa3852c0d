"""Who calls steadily does not wait for the owner's answer: each call asks for the permit of the next one."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.core.quota.budget import Budget
from sidecar.core.quota.event import Began, Jumped, Leaving, Send, Told
from sidecar.core.quota.limit import Demand, Limit, Tokens, Window
from sidecar.core.quota.message import Beat, Message, Request
from sidecar.core.quota.spare import KINDS
from tests.core.quota.company import Company, demand, limit

LIMIT = limit(30)  # too few for credits
CALLS = demand(LIMIT)
APART = 0.06  # seconds
KEPT = 0.25  # seconds that a permit holds that nobody uses yet


def steady(calls: int = 8, wanted: Demand = CALLS, apart: float = APART) -> Company:
    """`a` owns it; `b` has just made its last call of a series."""
    company = Company()
    company.hire("a")
    company.ask("a", wanted)
    company.hire("b")
    for _ in range(calls):
        company.move(apart)
        goes(company, wanted=wanted)
    return company


def cut_off(company: Company) -> None:
    """From now on nothing that is said arrives."""
    company.lost = lambda _to, _message: True


def goes(company: Company, name: str = "b", wanted: Demand = CALLS, seconds: float = 0.2) -> bool:
    """Whether a call does at once; its first byte has left then."""
    call = company.ask(name, wanted, seconds)
    if company.go(call) is None:
        return False
    company.do(name, Began(((call, company.now),)))
    return True


def asked_ahead(company: Company) -> int:
    return sum(len(message.spare) for message in sent(company) if isinstance(message, Request))


def unused(company: Company) -> int:
    return sum(len(message.unused) for message in sent(company) if isinstance(message, Beat))


def sent(company: Company) -> list[Message]:
    return [said.message for _, _, said in company.said if isinstance(said, Send)]


def test_the_next_call_goes_at_once() -> None:
    """It needs no answer; the one right behind it does."""
    company = steady()
    company.move(APART)
    cut_off(company)
    assert goes(company)
    assert not goes(company)


def test_every_call_asks_for_one_more() -> None:
    """So that there is always one, and never more than one at this pace."""
    company = steady()
    before = asked_ahead(company)
    for _ in range(5):
        company.move(APART)
        assert goes(company)
    assert asked_ahead(company) == before + 5
    assert unused(company) == 0


def test_as_many_as_come_while_an_answer_is_under_way() -> None:
    """A call each 9 ms: two come before an answer, which may take twenty, and one more."""
    fast = demand(limit(39, 0.05, "p|acme|fast"))
    company = steady(60, fast, apart=0.009)
    company.move(0.009)
    cut_off(company)
    assert sum(goes(company, wanted=fast) for _ in range(20)) == 3


def test_who_needs_no_more_than_its_credit_asks_nobody() -> None:
    """Also after a time in which it needed more: what was asked for then ends, and nothing is asked any more."""
    much = demand(limit(1_000, key="p|acme|much"))
    company = steady(400, much, apart=0.004)
    assert asked_ahead(company) > 0
    company.move(2.0)
    before = company.sent(Request)
    for _ in range(20):
        company.move(APART)
        assert goes(company, wanted=much)
    assert company.sent(Request) == before


def test_it_is_not_used_when_it_is_over() -> None:
    """After its time it is no leave at all."""
    company = steady()
    cut_off(company)
    company.move(KEPT + 0.01)
    assert not goes(company)


def test_it_is_not_used_too_late_to_be_sent() -> None:
    """It has to hold for as long as the way from here to the first byte may take."""
    company = steady()
    cut_off(company)
    company.move(KEPT - 0.02)
    assert not goes(company)


def test_what_nobody_used_goes_back() -> None:
    """A series ends, and all of the limit is there for others as if nothing had been kept."""
    company = steady()
    company.move(KEPT + 0.01)
    assert unused(company) == 1
    company.move(1.0)
    assert sum(goes(company, "a") for _ in range(40)) == 30


def test_then_nobody_says_anything() -> None:
    """Where no calls come, nothing is asked for."""
    company = steady()
    company.move(2.0)
    said = sum(name == "b" for _, name, _ in company.said)
    company.move(20.0)
    assert sum(name == "b" for _, name, _ in company.said) == said


@pytest.mark.parametrize(
    ("wanted", "apart"),
    [
        (CALLS, 0.15),
        (demand(Limit("p|acme|t", "t", tokens=Tokens(30.0, 10))), APART),
        (demand(limit(0, key="p|acme|s", slots=9)), APART),
        (demand(LIMIT, Limit("p|acme|t", "t", tokens=Tokens(30.0, 10))), APART),
        (demand(limit(1_000, key="p|acme|many")), APART),
    ],
    ids=["calls far apart", "a token bucket", "slots", "a window and a token bucket", "what credits serve"],
)
def test_where_nothing_is_asked_ahead(wanted: Demand, apart: float) -> None:
    """Units that are held for a while would be missed there, or nobody needs them."""
    assert asked_ahead(steady(12, wanted, apart)) == 0


def test_there_is_none_where_little_is_left() -> None:
    """The last units of a limit are for calls that are there. Who was told so asks for none for a moment."""
    company = steady()
    while goes(company, "a", seconds=0.01):
        pass
    before = asked_ahead(company)
    company.move(APART)
    assert goes(company)  # by the one that was there
    company.move(APART)
    assert not goes(company)
    told = asked_ahead(company)
    assert told == before + 1
    for _ in range(3):
        company.move(APART)
        goes(company)
    assert asked_ahead(company) == told
    for _ in range(30):
        company.move(APART)
        goes(company)
    assert asked_ahead(company) > told


def test_a_fiftieth_stays_free() -> None:
    """Of 50 units the last is for a call that is there."""
    budget = Budget(limit(50), 0.0)
    budget.take(("a", "1"), 48, 0.0, 0.0, 0.0)
    assert budget.spares(1, 0.0)
    budget.take(("a", "2"), 1, 0.0, 0.0, 0.0)
    assert not budget.spares(1, 0.0)
    assert budget.fit(1, 0.0) == 0.0


def test_whoever_waits_comes_first() -> None:
    """No permit is kept for a call to come while another one waits for the same."""
    company = steady(calls=5)
    waiting = [company.ask("a", CALLS, 5.0) for _ in range(40)]
    before = sum(company.go(call) is not None for call in waiting)
    company.move(0.9)
    assert sum(company.go(call) is not None for call in waiting) >= before
    company.move(3.0)
    assert all(company.go(call) for call in waiting)


def test_another_limit_is_another_permit() -> None:
    """The limit changed: what was given for the last one is not used, and goes back."""
    company = steady()
    cut_off(company)
    other = Limit(LIMIT.key, LIMIT.bucket, (Window(15, 1.0),))
    assert not goes(company, wanted=demand(other))


def test_nothing_is_held_after_a_jump_of_the_clock() -> None:
    """The machine slept, nobody knows for how long."""
    company = steady()
    cut_off(company)
    company.do("b", Jumped())
    assert not goes(company)


def test_who_leaves_gives_it_back() -> None:
    """At once, not when it would be over."""
    company = steady()
    before = unused(company)
    company.do("b", Leaving())
    assert unused(company) == before + 1
    assert company.gone("b")


def test_what_the_provider_closed_is_closed_to_it() -> None:
    """A permit given before says nothing about what was said since."""
    company = steady()
    company.do("b", Told((LIMIT.key,), 0.1))
    assert not goes(company, seconds=0.05)


def test_lost_requests_are_made_again() -> None:
    """What was asked for in vain is asked for with a later call, and its name is taken back."""
    company = steady()
    cut_off(company)
    company.move(APART)
    assert goes(company)
    company.move(1.0)
    company.lost = lambda _to, _message: False
    for _ in range(8):
        company.move(APART)
        goes(company)
    cut_off(company)
    assert goes(company)
    assert unused(company) >= 1


def test_calls_that_came_once_leave_room_for_steady_ones() -> None:
    """However many connections made one call each: who calls steadily after them waits for no answer."""
    company = steady(calls=1)
    for number in range(KINDS + 1):
        company.ask("b", demand(limit(30, key=f"p|acme|{number}")), 0.2)
    fresh = demand(limit(30, key="p|acme|fresh"))
    for _ in range(9):
        company.move(APART)
        goes(company, wanted=fresh)
    company.move(APART)
    cut_off(company)
    assert goes(company, wanted=fresh)


def test_a_request_of_an_older_sidecar_is_read() -> None:
    """It asks for no permits ahead."""
    request = msgspec.json.decode(b'["req",3,1.5,[["7",[["p|acme|calls",1]],2.0]],[],0.0,[]]', type=Request)
    assert request.spare == ()
    assert request.items[0].call == "7"
