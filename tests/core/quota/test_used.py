"""Permits that were used: what they took counts from then. And those who stood in line do not start in one moment."""

from __future__ import annotations

import itertools

import pytest

from sidecar.core.quota.event import Began, Unused
from tests.core.quota.company import Company, demand, limit

AGAIN = 1.0 + 0.02  # the window, and the way's variation
HOLDS = 0.03  # how long a permit of such a window holds
FIVE = demand(limit(5))


@pytest.fixture
def company() -> Company:
    company = Company()
    company.hire("a")
    company.hire("b")
    company.ask("a", demand(limit(5, key="p|acme|other")))  # it owns the partition
    return company


def full(company: Company, name: str = "a") -> list[str]:
    """Every unit is taken, at this moment."""
    return [company.ask(name, FIVE) for _ in range(5)]


@pytest.mark.parametrize("name", ["a", "b"], ids=["the owner's own", "another's"])
def test_a_unit_that_was_used_counts_from_then(company: Company, name: str) -> None:
    """Used at once, it is free again a window later; the time that the permit would have held is charged to nobody."""
    began, calls = company.now, full(company, name)
    company.do(name, Began(tuple((call, company.now) for call in calls)))
    company.ask(name, FIVE)
    company.move(2.0)
    assert company.went()[-1] - began == pytest.approx(AGAIN, abs=0.005)


def test_used_later_it_counts_from_later(company: Company) -> None:
    """Of 30 ms that a permit holds, it was used after 20."""
    began, calls = company.now, full(company)
    company.move(0.02)
    company.do("a", Began(tuple((call, company.now) for call in calls)))
    company.ask("a", FIVE)
    company.move(2.0)
    assert company.went()[-1] - began == pytest.approx(AGAIN + 0.02, abs=0.005)


def test_what_is_told_late_frees_no_sooner(company: Company) -> None:
    """An age is counted from when it is heard: a message under way for long says less, never more."""
    began, calls = company.now, full(company, "b")
    company.do("b", Began(tuple((call, company.now) for call in calls)))
    company.move(0.5)
    company.ask("b", FIVE)
    company.move(2.0)
    assert company.went()[-1] - began >= AGAIN


def test_a_permit_of_another_clock_rate_frees_no_sooner(company: Company) -> None:
    """Two clocks may run at rates that differ by a hundredth: of half a second that are 5 ms."""
    began, calls = company.now, full(company, "b")
    company.do("b", Began(tuple((call, company.now - 0.005) for call in calls)))  # its clock ran ahead
    company.move(0.5)
    company.ask("b", FIVE)
    company.move(2.0)
    assert company.went()[-1] - began >= AGAIN


def test_used_and_yet_not_sent_it_comes_back_once(company: Company) -> None:
    """A connection may break before its first byte: the unit is free, and no other one with it."""
    calls = full(company)
    company.do("a", Began(((calls[0], company.now),)))
    company.ask("a", FIVE)
    company.do("a", Unused(calls[0]))
    company.do("a", Unused(calls[0]))
    company.ask("a", FIVE)
    company.move(0.5)
    assert len(company.went()) == 1 + 5 + 1


def test_a_crowd_thins_out(company: Company) -> None:
    """A whole window's units are free in one moment; those in line start one after the other, a bit denser than the
    limit allows in the long run, so that the window is used in full all the same.
    """
    many = demand(limit(250))
    for _ in range(500):
        company.ask("a", many)
    company.move(4.0)
    went = company.went()[1:]
    assert len(went) == 500
    apart = [later - sooner for sooner, later in itertools.pairwise(went[250:])]
    assert min(apart) >= 0.0033
    assert went[-1] - went[250] <= 1.1
