"""Thousands of budgets in one partition: their record stays small, and what it does not name counts as used."""

from __future__ import annotations

import pytest

from sidecar.core.quota.limit import Demand, Limit
from tests.core.quota.company import Company, demand, limit

STATE = "-.st."
USERS = 2_000
LARGEST = 1 << 20  # bytes; a nats-server takes no larger message unless it is told to
PROJECT = limit(1_000_000, 60.0, "p|project")


def of(user: int, units: int = 5, seconds: float = 60.0) -> Limit:
    return limit(units, seconds, f"p|acme|connection-of-user-{user}@example.com|units")


def wanted(user: int) -> Demand:
    return demand(PROJECT, of(user))


@pytest.fixture(scope="module")
def crowd() -> Company:
    """A is the owner of more budgets than one record has room for. Users 0, 1 and the last used all of theirs."""
    company = Company(largest=LARGEST)
    company.hire("a")
    calls = []
    for user in range(USERS):
        calls.append(company.ask("a", wanted(user)))
        company.move(0.001)
    for user in (0, 1, USERS - 1):
        calls += [company.ask("a", wanted(user)) for _ in range(4)]
        company.move(1.0)
    assert all(company.go(call) is not None for call in calls)
    return company


def test_everybody_is_served(crowd: Company) -> None:
    """Ten thousand users of one project have budgets of their own: the record of all does not outgrow a message."""
    largest = max(len(value) for key, (_, value, *_) in crowd.records.items() if key.startswith(STATE))
    assert largest < LARGEST // 4
    assert crowd.writes < USERS // 10


def test_what_the_record_does_not_name_counts_as_used(crowd: Company) -> None:
    """The owner dies: named in the record or not, nobody has more than a limit in its window, or waits for longer."""
    crowd.hire("b")
    crowd.kill("a")
    crowd.move(5.0)
    last, before = USERS - 1, {user: crowd.ask("b", wanted(user), 120.0) for user in (0, USERS - 1)}
    unknown = crowd.ask("b", wanted(USERS + 1), 120.0)
    crowd.move(20.0)
    killed = crowd.start + 0.001 * USERS + 3.0
    assert all(crowd.go(call) is None for call in (*before.values(), unknown))
    crowd.move(60.0)
    for call in (before[0], before[last], unknown):
        went = crowd.go(call)
        assert went is not None
        assert killed + 55 < went.earliest < killed + 70
    crowd.move(60.0)
    fresh = crowd.ask("b", wanted(USERS + 2))
    crowd.move(1.0)
    assert crowd.go(fresh) is not None
