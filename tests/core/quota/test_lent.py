"""Credits: what is lent, what has come back, and what is granted never add up to more than the limit."""

from __future__ import annotations

from copy import deepcopy
from typing import Any
from zlib import crc32

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sidecar.core.quota.credit import Credits
from sidecar.core.quota.event import Heard, Told
from sidecar.core.quota.limit import Want
from sidecar.core.quota.message import Beat, Credit, Grant, Item, Permit, Request
from sidecar.core.quota.owner import Owner
from sidecar.core.quota.pace import Pace
from sidecar.core.quota.turn import Turn
from tests.core.quota.company import LATER, Company, demand, limit

PARTITION = crc32(b"p|acme") % 32
UNITS = 200
LIMIT = limit(UNITS)
SENDERS = ("b", "c", "d", "e", "f", "g")


@pytest.fixture
def two() -> Company:
    company = Company()
    company.hire("a")
    company.hire("b")
    company.ask("a", demand(LIMIT))
    return company


def asked(two: Company) -> int:
    return two.sent(Request)


def test_within_its_credit_a_sidecar_asks_nobody(two: Company) -> None:
    """The first call asks, and brings a credit; those after it go without a message."""
    two.ask("b", demand(LIMIT))
    before = asked(two)
    calls = [two.ask("b", demand(LIMIT)) for _ in range(5)]
    assert all(two.go(call) for call in calls)
    assert asked(two) == before
    two.ask("b", demand(LIMIT))
    assert asked(two) == before + 1


@pytest.mark.parametrize(
    "unlendable", [limit(39), limit(200, 120.0), limit(200, slots=50)], ids=["small", "long", "slots"]
)
def test_of_some_limits_nothing_is_lent(two: Company, unlendable: Any) -> None:
    """Of a small limit a part would be less than a unit; a slot is never free unseen."""
    for _ in range(3):
        two.ask("b", demand(unlendable))
        two.move(0.1)
    assert asked(two) == 3


def test_a_credit_is_called_back_while_others_wait(two: Company) -> None:
    """Who hardly uses its credit gives it up to those that wait, so that nothing is left unused."""
    for name in ("b", "c", "d"):
        two.ask(two.hire(name) if name not in two.nodes else name, demand(LIMIT))
    two.move(2.0)
    before = len(two.went())
    for _ in range(50):
        for _ in range(30):
            two.ask("a", demand(LIMIT), 0.9)
        two.move(0.1)
    late = [at for at in two.went()[before:] if at >= two.now - 2.1]
    assert len(late) >= 2 * UNITS * 0.95


def test_a_credit_ends(two: Company) -> None:
    """A minute after it was last renewed it is used no more."""
    two.ask("b", demand(LIMIT))
    two.move(59.0)
    before = asked(two)
    two.ask("b", demand(LIMIT))
    assert asked(two) == before
    two.move(30.0)
    two.ask("a", demand(LIMIT))
    two.move(32.0)
    two.ask("b", demand(LIMIT))
    assert asked(two) == before + 1


def test_a_closed_limit_is_closed_to_credits(two: Company) -> None:
    """What the provider said to one sidecar holds for another that need not ask."""
    two.ask("b", demand(LIMIT))
    two.do("a", Told((LIMIT.key,), 2.0))
    assert two.go(two.ask("b", demand(LIMIT))) is None


def held(credits_: Credits, serial: tuple[int, int], now: float = 0.0) -> bool:
    return credits_.receive(Credit(LIMIT.key, (5,), serial), LIMIT, now + 60.0, now)


def test_a_dropped_credit_does_not_come_back() -> None:
    """A renewal that crosses a recall is refused: the owner has taken the units back."""
    mine = Credits()
    assert held(mine, (1, 1))
    mine.drop(LIMIT.key, (1, 1), 0.0)
    assert not held(mine, (1, 1))
    assert mine.fit([Want(LIMIT)], 0.0) is None
    assert held(mine, (1, 2))


def test_a_recall_that_comes_first_counts() -> None:
    """The credit that it recalls arrives later, and is not taken."""
    mine = Credits()
    mine.drop(LIMIT.key, (1, 1), 0.0)
    assert not held(mine, (1, 1))


def test_what_was_used_of_a_dropped_credit_is_told() -> None:
    """The next owner has to count it, as long as it is in the window."""
    mine = Credits()
    held(mine, (1, 1))
    mine.take([Want(LIMIT, 3)], 0.0)
    mine.drop(LIMIT.key, (1, 1), 0.1)
    uses, _ = mine.spent(0.2)
    assert sum(use.units for use in uses) == 3
    assert mine.spent(3.0)[0] == ()


class Lending(RuleBasedStateMachine):
    """Sidecars that ask, use, return and repeat what they say, late and twice, of one owner of one limit."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = Turn("a", "-", Pace())
        self.now, self.numbers = 100.0, 0
        self.turn.begin(self.now, 0.5)
        self.owner = Owner(1, 7, self.turn)
        self.owner.until = float("inf")
        self.owner.lending.roster = frozenset(SENDERS)
        self.owner.ahead.recorded(LATER)
        self.permits: list[tuple[str, str, float]] = []
        self.used: list[tuple[float, int]] = []
        self.credits = {sender: Credits() for sender in SENDERS}
        self.said: list[tuple[str, Beat]] = []
        self.grants: list[tuple[str, Grant]] = []

    @rule(sender=st.sampled_from(SENDERS), cost=st.integers(1, 40), left=st.floats(0.1, 5.0))
    def ask(self, sender: str, cost: int, left: float) -> None:
        self.numbers += 1
        item = Item(str(self.numbers), ((LIMIT.key, cost),), left)
        self.owner.request(sender, Request(1, self.now, (item,), (LIMIT,)), self.turn)
        self.collect()

    @rule(sender=st.sampled_from(SENDERS), cost=st.integers(1, 5))
    def use_credit(self, sender: str, cost: int) -> None:
        mine = self.credits[sender]
        if mine.fit([Want(LIMIT, cost)], self.now) == self.now:
            mine.take([Want(LIMIT, cost)], self.now + 0.01)
            self.used.append((self.now, cost))

    @rule(data=st.data())
    def return_permit(self, data: st.DataObject) -> None:
        """Some are returned that were not used, some twice."""
        if self.permits:
            sender, call, _ = data.draw(st.sampled_from(self.permits))
            self.permits = [one for one in self.permits if one[1] != call]
            self.say(sender, Beat(1, self.now, unused=(call,)))

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """What was said comes again, whenever: a message, or a grant."""
        if self.said:
            sender, beat = data.draw(st.sampled_from(self.said))
            self.owner.beat(sender, beat, self.turn)
        if self.grants:
            self.receive(*data.draw(st.sampled_from(self.grants)))
        self.collect()

    @rule(seconds=st.sampled_from((0.001, 0.02, 0.3, 0.6, 1.5, 30.0, 70.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.turn.begin(self.now, 0.5)
        self.turn.look()
        self.collect()

    @invariant()
    def no_more_than_the_limit(self) -> None:
        """Taken, lent and unknown are at most the limit, and every credit that is held is lent. A permit may be dated a
        little ahead, to the moment at which others leave the window: it is counted there.
        """
        budget = self.owner.budgets.get(LIMIT.key)
        if budget is None:
            return
        latest = max([self.now, *(start for _, _, start in self.permits)])
        assert deepcopy(budget.windows[0]).taken(latest) <= budget.cap(0, self.now)
        out = sum(
            mine.held[LIMIT.key].windows[0].units
            for mine in self.credits.values()
            if LIMIT.key in mine.held and mine.held[LIMIT.key].until > self.now
        )
        assert out <= sum(lent.units[0] for lent in budget.lent.values())
        assert out <= UNITS // 10

    @invariant()
    def no_window_has_more(self) -> None:
        """What started in any second, by permit or credit, and was not given back."""
        starts = self.used + [(start, int(call.partition(":")[2])) for _, call, start in self.permits if ":" in call]
        for since, _ in starts[-20:]:
            assert sum(cost for at, cost in starts if since <= at < since + 1.0) <= UNITS

    def say(self, sender: str, beat: Beat) -> None:
        self.said.append((sender, beat))
        self.owner.beat(sender, beat, self.turn)
        self.collect()

    def collect(self) -> None:
        self.owner.serving.serve(self.turn)
        for sender, grant in self.owner.answers.collected(self.now):
            self.grants.append((sender, grant))
            self.receive(sender, grant)

    def receive(self, sender: str, grant: Grant) -> None:
        mine = self.credits[sender]
        for key, serial in grant.recalled:
            mine.drop(key, serial, self.now)
            self.say(sender, Beat(1, self.now, dropped=((key, serial),)))
        for credit in grant.credits:
            if not mine.receive(credit, LIMIT, grant.sent + 60.0, self.now):
                mine.drop(credit.key, credit.serial, self.now)
        self.permits += [(sender, permit.call, self.now + permit.wait) for permit in grant.permits if fresh(permit)]


def fresh(permit: Permit) -> bool:
    return permit.wait >= 0.0


def test_lent_taken_and_granted_are_never_more_than_the_limit() -> None:
    """Whatever is asked, used, given back, said late and said twice."""
    run_state_machine_as_test(Lending, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


def test_an_old_return_frees_no_new_credit(two: Company) -> None:
    """What was said of a credit before this one, and comes late, takes nothing from who holds this one."""
    two.ask("b", demand(LIMIT))
    two.do("a", Heard("b", Beat(PARTITION, two.now, dropped=((LIMIT.key, (0, 1)),))))
    two.move(1.5)
    before = len(two.went())
    for _ in range(UNITS):
        two.ask("a", demand(LIMIT), 0.2)
    for _ in range(5):
        two.ask("b", demand(LIMIT), 0.2)
    assert len(two.went()) - before <= UNITS
