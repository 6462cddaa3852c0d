"""Messages that come twice, late, or to nobody: what each of them proves. All were found in simulated worlds."""

from __future__ import annotations

from zlib import crc32

import pytest

from sidecar.core.quota.event import Ended, Heard, Send
from sidecar.core.quota.message import Grant, Item, Request, Sync
from tests.core.quota.company import Company, demand, limit

ONE = limit(1)
PARTITION = crc32(b"p|acme") % 32


@pytest.fixture
def owned() -> Company:
    """A owns the partition."""
    company = Company()
    company.hire("a")
    company.ask("a", demand(limit(5, key="p|acme|other")))
    return company


def request(company: Company, sender: str, *, late: float = 0.01) -> None:
    """A sidecar that nothing reaches wants one unit."""
    item = Item("1", ((ONE.key, 1),), 5.0)
    company.do("a", Heard(sender, Request(PARTITION, 7.0, (item,), (ONE,), late)))


def test_a_permit_that_nobody_received_goes_back(owned: Company) -> None:
    """That its only message found nobody proves that it was not used."""
    request(owned, "b")
    assert owned.go(owned.ask("a", demand(ONE), 0.5)) is not None


def test_a_copy_that_nobody_received_proves_nothing(owned: Company) -> None:
    """The first message may have arrived, and its sidecar ended after the exchange."""
    owned.hire("b")
    owned.lost = lambda to, _message: to == "b"
    request(owned, "b")
    owned.kill("b")
    request(owned, "b")
    assert owned.go(owned.ask("a", demand(ONE), 0.5)) is None


def test_a_copy_of_a_used_permit_is_not_given_back(owned: Company) -> None:
    """It comes when the exchange is over: its unit stays taken."""
    owned.hire("b")
    owned.move(1.0)
    used = owned.ask("b", demand(ONE))
    assert owned.go(used) is not None
    owned.do("b", Ended(used))
    grant = next(
        effect.message
        for _, _, effect in owned.said
        if isinstance(effect, Send) and isinstance(effect.message, Grant) and effect.message.permits
    )
    owned.do("b", Heard("a", grant))
    assert owned.go(owned.ask("a", demand(ONE), 0.5)) is None


def test_slots_told_again_are_held_as_long(owned: Company) -> None:
    """A sidecar whose machine was stopped tells its owner once more what is under way there: nothing is freed."""
    one = limit(0, slots=1)
    owned.hire("b")
    owned.move(1.0)
    assert owned.go(owned.ask("b", demand(one))) is not None
    permit = next(
        permit
        for _, _, effect in owned.said
        if isinstance(effect, Send) and isinstance(effect.message, Grant)
        for permit in effect.message.permits
    )
    owned.do("a", Heard("b", Sync(PARTITION, under_way=((permit.call, (one.key,)),), limits=(one,))))
    assert owned.go(owned.ask("a", demand(one), 0.5)) is None
