"""What an owner refused a moment ago is not asked for again: of what, and for how long."""

from __future__ import annotations

import pytest

from sidecar.core.quota.denied import FRESH
from sidecar.core.quota.event import Heard, Left
from sidecar.core.quota.limit import Demand
from sidecar.core.quota.message import Request, Took
from tests.core.quota.company import Company, demand, limit

UNITS = 10
SCARCE = demand(limit(UNITS, key="p|acme|scarce"))


def crowded(wanted: Demand = SCARCE, *, members: int = 2) -> tuple[Company, str, list[str]]:
    """The first sidecar owns it. All of the next second is used, and the last one's calls wait for more."""
    company = Company()
    names = [company.hire(name) for name in ("a", "b")[:members]]
    for name in names:
        company.ask(name, wanted)
        company.move(2.0)
    waiting = [company.ask(names[-1], wanted) for _ in range(3 * UNITS)]
    return company, names[-1], [call for call in waiting if company.go(call) is None]


def asks(company: Company, name: str, wanted: Demand, seconds: float) -> tuple[str, bool]:
    """A call, and whether its owner was asked."""
    before = company.sent(Request)
    call = company.ask(name, wanted, seconds)
    return call, company.sent(Request) > before


@pytest.mark.parametrize("members", [1, 2])
def test_what_was_just_refused_is_refused_without_asking(members: int) -> None:
    """Another sidecar's owner hears of the first one alone; and what the second is told is what the first was told."""
    company, name, _ = crowded(members=members)
    first, asked = asks(company, name, SCARCE, 0.5)
    assert asked == (members == 2)
    company.move(FRESH / 2)
    second, asked = asks(company, name, SCARCE, 0.5)
    assert not asked
    was, now = company.refusal(first), company.refusal(second)
    assert was is not None
    assert now is not None
    assert (now.bucket, now.closed, now.away) == (was.bucket, was.closed, was.away)
    assert now.retry_after == pytest.approx(was.retry_after - FRESH / 2)


def test_who_has_the_time_asks() -> None:
    """A call that may wait for longer than the other was told may be served."""
    company, name, _ = crowded()
    first, _ = asks(company, name, SCARCE, 0.5)
    refused = company.refusal(first)
    assert refused is not None
    call, asked = asks(company, name, SCARCE, refused.retry_after + 0.5)
    assert asked
    assert company.refusal(call) is None


def test_a_moment_later_it_is_asked_for_again_and_served() -> None:
    """Those who stood ahead have left: nobody is refused for what was, but for a moment."""
    company, name, waiting = crowded()
    first, _ = asks(company, name, SCARCE, 1.5)
    assert company.refusal(first) is not None
    for call in waiting:
        company.do(name, Left(call))
    company.move(FRESH + 0.001)
    call, asked = asks(company, name, SCARCE, 1.5)
    company.move(1.5)
    assert asked
    assert company.go(call) is not None


def test_it_says_nothing_of_other_calls() -> None:
    """What costs less, or passes other limits, is asked for."""
    company, name, _ = crowded(demand(limit(UNITS, key="p|acme|scarce"), cost=2))
    asks(company, name, demand(limit(UNITS, key="p|acme|scarce"), cost=2), 0.5)
    assert asks(company, name, SCARCE, 0.5)[1]
    assert asks(company, name, demand(limit(UNITS, key="p|acme|other")), 0.5)[1]


def test_of_slots_every_call_asks() -> None:
    """One may come back at any moment."""
    wanted = demand(limit(0, key="p|acme|slots", slots=1))
    company, name, _ = crowded(wanted)
    for _ in range(2):
        call, asked = asks(company, name, wanted, 0.5)
        assert asked
        assert company.refusal(call) is not None


def test_another_owner_is_asked() -> None:
    """What the one before said is not known to be so any more."""
    company, name, _ = crowded()
    asks(company, name, SCARCE, 0.5)
    assert not asks(company, name, SCARCE, 0.5)[1]
    [part] = company.nodes[name].parts
    company.hire("c")
    company.lost = lambda _to, _message: True
    company.do(name, Heard("c", Took(part.partition, 10**6)))
    assert asks(company, name, SCARCE, 0.5)[1]
