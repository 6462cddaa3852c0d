"""One sidecar alone is its own owner: no message, no wait but for the quota itself."""

from __future__ import annotations

import pytest

from sidecar.core.quota.event import Ended, Left, Send, Told, Unused
from sidecar.core.quota.limit import Demand, Limit, Tokens, Window, lateness
from tests.core.quota.company import Company, demand, limit

FIVE = demand(limit(5))
AGAIN = 1.0 + 0.02 + 0.03  # the window, the way's variation, and how long a permit holds


@pytest.fixture
def alone() -> Company:
    company = Company()
    company.hire("a")
    return company


def test_without_limits_it_goes_at_once(alone: Company) -> None:
    """Nothing is written, nobody is asked."""
    assert alone.go(alone.ask("a", demand())) is not None
    assert not alone.records


def test_within_the_limit_it_goes_at_once(alone: Company) -> None:
    """The first call makes the sidecar the owner; the units of one window are there at once, and no message is sent."""
    calls = [alone.ask("a", FIVE) for _ in range(5)]
    assert [go and go.earliest for go in map(alone.go, calls)] == [alone.now] * 5
    assert not [effect for _, _, effect in alone.said if isinstance(effect, Send)]


def test_above_the_limit_it_is_dated(alone: Company) -> None:
    """The next window's units come when the first have surely left theirs, and the wait is told before it begins."""
    calls = [alone.ask("a", FIVE) for _ in range(7)]
    told = alone.wait(calls[5])
    assert told is not None
    assert told.seconds == pytest.approx(AGAIN, abs=0.005)
    alone.move(2.0)
    assert [at - alone.start for at in alone.went()[5:]] == pytest.approx([AGAIN] * 2, abs=0.005)


def test_what_is_too_late_is_refused_at_once(alone: Company) -> None:
    """A refusal names the bucket, and a moment past the deadline at which there would be a unit."""
    for _ in range(5):
        alone.ask("a", FIVE)
    refusal = alone.refusal(alone.ask("a", FIVE, 0.5))
    assert refusal is not None
    assert refusal.bucket == "calls"
    assert refusal.retry_after == pytest.approx(AGAIN, abs=0.005)
    assert not refusal.closed
    assert not refusal.away


def test_who_would_wait_too_long_in_line_is_refused_at_once(alone: Company) -> None:
    """Five are served in a second, five wait for the next: the one behind them hears it now."""
    for _ in range(10):
        alone.ask("a", FIVE)
    refusal = alone.refusal(alone.ask("a", FIVE, 1.5))
    assert refusal is not None
    assert refusal.retry_after == pytest.approx(2 * AGAIN, abs=0.01)


def test_a_permit_holds_for_a_moment(alone: Company) -> None:
    """What is not begun by then has to ask again: its units would leave the window too soon."""
    go = alone.go(alone.ask("a", FIVE))
    assert go is not None
    assert go.latest - go.earliest == pytest.approx(lateness((limit(5),)))


def test_what_was_not_used_comes_back(alone: Company) -> None:
    """Nothing was sent: the next one gets its unit."""
    calls = [alone.ask("a", FIVE) for _ in range(5)]
    alone.do("a", Unused(calls[2]))
    assert alone.go(alone.ask("a", FIVE)) is not None


def test_a_unit_comes_back_once(alone: Company) -> None:
    """Said twice, it is still one unit; said when its window is over, it is nobody's."""
    calls = [alone.ask("a", FIVE) for _ in range(5)]
    alone.do("a", Unused(calls[0]))
    alone.do("a", Unused(calls[0]))
    alone.move(1.5)
    alone.do("a", Unused(calls[1]))
    later = [alone.ask("a", FIVE, 0.5) for _ in range(6)]
    assert [alone.go(call) is not None for call in later] == [True] * 5 + [False]


def test_who_leaves_makes_room(alone: Company) -> None:
    """A call whose caller does not wait any more takes nothing."""
    calls = [alone.ask("a", FIVE) for _ in range(7)]
    alone.do("a", Left(calls[5]))
    alone.move(3.0)
    assert alone.go(calls[5]) is None
    assert alone.go(calls[6]) is not None


def test_slots_are_free_when_exchanges_end(alone: Company) -> None:
    """No more exchanges at once than there are slots; the next one goes when one is over."""
    two = demand(limit(0, slots=2))
    first, _, third = (alone.ask("a", two) for _ in range(3))
    assert alone.go(third) is None
    alone.do("a", Ended(first))
    assert alone.go(third) is not None


def test_a_slot_that_nobody_gives_back_is_free_after_the_deadline(alone: Company) -> None:
    """An exchange is over at its deadline; a few seconds later its slot is free, whatever became of it."""
    one = demand(limit(0, slots=1))
    alone.ask("a", one, 2.0)
    next_one = alone.ask("a", one, 20.0)
    alone.move(6.9)
    assert alone.go(next_one) is None
    alone.move(0.7)
    assert alone.go(next_one) is not None


def test_every_limit_of_a_call_holds(alone: Company) -> None:
    """Units of two limits are taken together: the scarce one decides, and the other is not spent meanwhile."""
    app, user = limit(9, key="p|calls"), limit(2, key="p|acme|ann|mine")
    other = limit(2, key="p|acme|bob|mine")
    for _ in range(6):
        alone.ask("a", demand(app, user))
    assert len(alone.went()) == 2
    assert [alone.go(alone.ask("a", demand(app, other))) is not None for _ in range(3)] == [True, True, False]


def test_every_window_of_a_limit_holds() -> None:
    """So many in a second, and no more in ten."""
    company = Company()
    company.hire("a")
    two = Limit("p|acme|calls", "calls", (Window(4, 1.0), Window(6, 9.0)))
    for _ in range(8):
        company.ask("a", demand(two))
    company.move(25.0)
    went = [at - company.start for at in company.went()]
    assert went[:4] == [0.0] * 4
    assert went[4:6] == pytest.approx([AGAIN] * 2, abs=0.01)
    assert went[6] == pytest.approx(9.03, abs=0.05)


def test_a_call_costs_its_units(alone: Company) -> None:
    """Of five units two calls of two go, the third has to wait."""
    calls = [alone.ask("a", demand(limit(5), cost=2)) for _ in range(3)]
    assert [alone.go(call) is not None for call in calls] == [True, True, False]


def test_a_token_bucket_gives_its_burst_and_then_its_rate(alone: Company) -> None:
    """Ten a second, burst three: nothing refills while the first ones are on their way, then one comes each 0.1 s."""
    bucket = Limit("p|acme|calls", "calls", tokens=Tokens(10.0, 3))
    for _ in range(6):
        alone.ask("a", demand(bucket))
    alone.move(1.0)
    assert [at - alone.start for at in alone.went()] == pytest.approx([0, 0, 0, 0.13, 0.23, 0.33], abs=0.001)


@pytest.mark.parametrize("wanted", [FIVE, Demand("p|acme", "p|acme|told")], ids=["limited", "not limited"])
def test_what_the_provider_closes_is_closed(alone: Company, wanted: Demand) -> None:
    """Calls that can wait until then do, and the others are refused at once."""
    alone.do("a", Told(("p|acme|told",), 3.0))
    waits, too_late = alone.ask("a", wanted, 10.0), alone.ask("a", wanted, 2.0)
    refusal, wait = alone.refusal(too_late), alone.wait(waits)
    assert refusal is not None
    assert (refusal.retry_after, refusal.closed) == (3.0, True)
    assert wait is not None
    assert (wait.seconds, wait.closed) == (3.0, True)
    alone.move(3.1)
    go = alone.go(waits)
    assert go is not None
    assert go.earliest >= alone.start + 3.0


def test_what_waits_is_told_of_a_closure(alone: Company) -> None:
    """A call in line whose deadline comes before the provider's moment does not go on waiting."""
    calls = [alone.ask("a", FIVE, 2.0) for _ in range(6)]
    alone.do("a", Told((FIVE.wants[0].limit.key,), 5.0))
    refusal = alone.refusal(calls[5])
    assert refusal is not None
    assert refusal.closed


def test_where_the_clock_begins_does_not_matter() -> None:
    """Moved by any constant, a clock leads to the same steps, but for a slice of the log each window."""
    traces = []
    for start in (1_000.0, 1_000_000.0):
        company = Company(start=start)
        company.hire("a")
        for _ in range(12):
            company.ask("a", FIVE, 2.5)
            company.move(0.11)
        company.move(4.0)
        traces.append([at - start for at in company.went()])
    assert traces[0] == pytest.approx(traces[1], abs=0.007)


def test_who_has_nothing_to_do_is_silent(alone: Company) -> None:
    """A minute after the last call nothing is written, waited for or owned any more."""
    alone.ask("a", FIVE)
    alone.move(75.0)
    writes = alone.writes
    assert not alone.wakes()
    alone.move(3_600.0)
    assert alone.writes == writes
