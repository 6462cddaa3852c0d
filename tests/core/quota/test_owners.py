"""Who owns a partition: one at a time, the next one counts what the last one may have granted."""

from __future__ import annotations

from zlib import crc32

import pytest

from sidecar.core.quota.event import Ended, Heard, Jumped, Leaving, Send, SendAll
from sidecar.core.quota.limit import Limit, Tokens
from sidecar.core.quota.message import Beat, Grant, Permit, Request
from tests.core.quota.company import Company, demand, limit

FIVE = demand(limit(5))
PARTITION = crc32(b"p|acme") % 32
LONG = demand(limit(100, 60.0))


@pytest.fixture
def two() -> Company:
    """A owns the partition, b asks it."""
    company = Company()
    company.hire("a")
    company.hire("b")
    company.ask("a", FIVE)
    return company


def worst(moments: list[float], seconds: float) -> int:
    """The most in any half-open window."""
    return max(sum(start <= at < start + seconds for at in moments) for start in moments)


def test_two_share_one_limit(two: Company) -> None:
    """Whoever asks, no window has more than its units; and all of them are used."""
    for _ in range(40):
        two.ask("a", FIVE, 3.0)
        two.ask("b", FIVE, 3.0)
        two.move(0.1)
    went = two.went()
    assert worst(went, 1.0) <= 5
    assert len(went) >= 4 * 5


def test_two_share_it_fairly(two: Company) -> None:
    """One that asks for twenty times as much gets no more than the other, which waits as little as it can."""
    calls: dict[str, list[str]] = {"a": [], "b": []}
    for _ in range(30):
        calls["a"].extend(two.ask("a", FIVE, 8.0) for _ in range(20))
        calls["b"].extend(two.ask("b", FIVE, 8.0) for _ in range(1))
        two.move(0.2)
    two.move(8.0)
    served = sum(two.go(call) is not None for call in calls["b"])
    assert served >= 25


def test_a_dead_owner_is_followed_without_a_unit_too_many() -> None:
    """The next owner counts everything as used that the last one may have granted until its lease ended."""
    company = Company()
    company.hire("a")
    company.hire("b")
    for _ in range(60):
        company.ask("a", FIVE, 2.0)
        company.ask("b", FIVE, 2.0)
        company.move(0.1)
        if company.now - company.start == pytest.approx(3.0, abs=0.05):
            company.kill("a")
    for _ in range(60):
        if "b" in company.nodes:
            company.ask("b", FIVE, 2.0)
        company.move(0.1)
    went = company.went()
    assert worst(went, 1.0) <= 5
    gap = [at for at in went if at > company.start + 3.2]
    assert min(gap) - company.start < 3.0 + 4.5 + 0.7


def test_without_the_store_the_owner_goes_on_until_its_lease_ends(two: Company) -> None:
    """Three seconds of full speed; then only what was lent, for a minute; then a refusal that says so."""
    two.storeless.update(("a", "b"))
    two.move(2.5)
    assert two.go(two.ask("a", FIVE, 1.0)) is not None
    two.move(1.5)
    late = two.ask("a", FIVE, 9.0)
    two.move(6.0)
    refusal = two.refusal(late)
    assert refusal is not None
    assert refusal.away
    at_once = two.refusal(two.ask("a", FIVE, 9.0))
    assert at_once is not None
    assert at_once.away


def test_a_lease_counts_from_when_its_record_was_asked_for() -> None:
    """The store takes 2.5 s to say that the claim is written: of three seconds half a one is left, for it may free the
    record that long before it is known here that it was written.
    """
    company = Company(slow="own")
    company.hire("a")
    company.ask("a", FIVE)
    company.move(2.5)
    company.catch_up()
    company.move(0.1)
    assert len(company.went()) == 1
    assert company.go(company.ask("a", FIVE, 0.2)) is not None
    company.move(0.5)
    assert company.go(company.ask("a", FIVE, 0.2)) is None


def test_credits_go_on_without_owner_and_store() -> None:
    """What is lent is used without asking: of 200 a second five, and never more."""
    company = Company()
    company.hire("a")
    many = demand(limit(200))
    company.ask("a", many)
    company.move(0.1)
    company.storeless.add("a")
    company.move(10.0)
    before = len(company.went())
    for _ in range(40):
        company.ask("a", many, 0.05)
        company.move(0.1)
    went = company.went()[before:]
    assert worst(went, 1.0) == 5
    assert len(went) >= 3 * 5


def test_an_owner_that_comes_back_knows_its_ledger() -> None:
    """Nobody owned it while the store was away: a window that is full is still full, and nothing else is lost."""
    company = Company()
    company.hire("a")
    six = demand(limit(6, 9.0))
    for _ in range(4):
        company.ask("a", six)
    company.storeless.add("a")
    company.move(5.0)
    company.storeless.clear()
    company.move(0.5)
    again = [company.ask("a", six, 1.0) for _ in range(3)]
    assert [company.go(call) is not None for call in again] == [True, True, False]


@pytest.mark.parametrize(
    "wanted", [limit(6, 9.0), Limit("p|acme|calls", "calls", tokens=Tokens(0.5, 6)), limit(0, slots=6)], ids=str
)
def test_who_leaves_in_order_leaves_its_ledger(wanted: Limit) -> None:
    """The next owner starts at once, and knows what is used, to the unit."""
    company = Company()
    company.hire("a")
    company.hire("b")
    for _ in range(4):
        company.ask("a", demand(wanted))
    company.do("a", Leaving())
    assert company.gone("a")
    company.kill("a")
    later = [company.ask("b", demand(wanted), 0.9) for _ in range(3)]
    assert [company.go(call) is not None for call in later] == [True, True, False]


def test_a_restart_alone_remembers() -> None:
    """One sidecar that ends in order and starts again does not begin with a full minute."""
    company = Company()
    company.hire("a")
    for _ in range(60):
        company.ask("a", LONG)
    company.move(1.0)
    company.do("a", Leaving())
    company.kill("a")
    company.move(20.0)
    company.hire("a2")
    later = [company.ask("a2", LONG, 5.0) for _ in range(60)]
    assert sum(company.go(call) is not None for call in later) == 40
    company.move(43.0)
    assert company.go(company.ask("a2", LONG, 5.0)) is not None


def test_a_long_window_outlives_its_owner() -> None:
    """What was granted stands in the record before it is granted: a crash costs a part of the limit, no minute."""
    company = Company()
    company.hire("a")
    company.hire("b")
    wide = demand(limit(1_000, 60.0))
    for _ in range(500):
        company.ask("a", wide)
        company.move(0.01)
    company.kill("a")
    company.move(6.0)
    first = company.ask("b", wide, 3.0)
    company.move(2.0)
    assert company.go(first) is not None
    for _ in range(800):
        company.ask("b", wide, 3.0)
        company.move(0.01)
    went = company.went()
    assert worst(went, 60.0) <= 1_000
    assert len(went) >= 850


def test_an_owner_writes_ahead() -> None:
    """What it granted is in its record already: after a crash nothing is left of two in a minute."""
    company = Company()
    company.hire("a")
    two = demand(limit(2, 60.0))
    for _ in range(2):
        company.ask("a", two)
    company.move(0.1)
    company.kill("a")
    company.move(5.0)
    company.hire("b")
    call = company.ask("b", two, 20.0)
    company.move(1.0)
    assert company.go(call) is None


def test_a_snapshot_holds_nothing() -> None:
    """After a sleep that no clock tells, nothing that was held counts: it is claimed anew, behind the last owner."""
    company = Company()
    company.hire("a")
    for _ in range(5):
        company.ask("a", FIVE)
    company.do("a", Jumped())
    call = company.ask("a", FIVE)
    company.move(5.0)
    go = company.go(call)
    assert go is not None
    assert go.earliest >= company.start + 1.0


def test_a_lost_request_is_sent_again(two: Company) -> None:
    """Nobody answered: the same call is asked for again, and goes once."""
    lost: list[str] = []

    def once(to: str, message: object) -> bool:
        if isinstance(message, Request) and not lost:
            lost.append(to)
            return True
        return False

    two.lost = once
    call = two.ask("b", FIVE)
    assert two.go(call) is None
    two.move(0.35)
    assert two.go(call) is not None


def test_a_lost_grant_is_said_again(two: Company) -> None:
    """The answer was lost: the same permit is told once more or given back, and no unit is taken twice."""
    two.lost = lambda to, _message: to == "b"
    call = two.ask("b", FIVE)
    two.move(0.31)
    two.lost = lambda _to, _message: False
    two.move(0.7)
    assert two.go(call) is not None
    two.move(2.0)
    assert sum(two.go(two.ask("a", FIVE, 0.5)) is not None for _ in range(6)) == 5


def test_one_who_is_gone_gives_back(two: Company) -> None:
    """A permit that nobody received takes nothing, and its slot is free."""
    one = demand(limit(0, key="p|acme|one", slots=1))
    holder = two.ask("a", one)
    two.ask("b", one)
    two.kill("b")
    two.do("a", Ended(holder))
    assert two.go(two.ask("a", one, 1.0)) is not None


def test_who_owns_it_says_so_to_all() -> None:
    """Those that wait for an owner need not look for it."""
    company = Company()
    company.hire("a")
    company.ask("a", FIVE)
    assert sum(isinstance(effect, SendAll) for _, _, effect in company.said) == 1


def test_it_is_told_that_a_claim_was_written_when_no_answer_came() -> None:
    """The store was silent, but had written it: the sidecar finds its own name and goes on."""
    company = Company()
    company.hire("a")
    company.records["-.own.29"] = (1, b'{"o":"a"}', company.now, 4)
    company.revision = 1
    partition = company.ask("a", FIVE)
    company.move(1.0)
    assert company.go(partition) is not None


def test_what_was_said_before_a_permit_came_frees_no_slot(two: Company) -> None:
    """Late messages of a sidecar that did not know its permit yet name other calls, twice: its slot is held."""
    one = demand(limit(0, key="p|acme|one", slots=1))
    two.ask("b", one)
    for _ in range(3):
        two.do("a", Heard("b", Beat(PARTITION, two.now)))
    assert two.go(two.ask("a", one, 2.0)) is None


def test_a_slot_whose_end_was_not_heard_is_free(two: Company) -> None:
    """The message was lost: those that follow name the call no more."""
    one = demand(limit(0, key="p|acme|one", slots=1))
    first = two.ask("b", one)
    two.move(1.1)
    two.lost = lambda to, message: to == "a" and isinstance(message, Beat)
    two.do("b", Ended(first))
    two.lost = lambda _to, _message: False
    for _ in range(2):
        two.do("a", Heard("b", Beat(PARTITION, two.now)))
    assert two.go(two.ask("a", one, 2.0)) is not None


def test_a_permit_that_comes_late_is_void(two: Company) -> None:
    """Its units leave the window by the owner's clock: after some seconds on the way nothing may start by it."""
    two.lost = lambda _to, message: isinstance(message, Request)
    call = two.ask("b", FIVE)
    request = next(
        effect.message for _, _, effect in two.said if isinstance(effect, Send) and isinstance(effect.message, Request)
    )
    two.lost = lambda _to, _message: True
    two.move(2.0)
    permit = Permit(request.items[0].call, 0.0, 0.01)
    two.do("b", Heard("a", Grant(PARTITION, 99, request.sent, 0.0, (permit,))))
    assert two.go(call) is None
