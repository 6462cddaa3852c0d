"""Leave to send belongs to one exchange: it is used at the last moment, or it goes back."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest

from sidecar.model import Failure, Reason
from tests.build import provider
from tests.execute.house import OK, REFUSED, Connections, House, credential

pytestmark = pytest.mark.anyio

ONE_IN_TEN = [{"name": "writes", "scope": "connection", "windows": [{"units": 1, "seconds": 10}]}]


@dataclass
class SlowConnection:
    """A sender whose connections take so many seconds each, and that asks for leave then."""

    house: House
    takes: list[float]
    sent: int = 0

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        self.house.clock.advance(self.takes.pop(0))
        if not request.extensions["may_send"]():
            return Failure(reason=Reason.BEFORE_SEND, detail="its turn was over")
        self.sent += 1
        return httpx.Response(200, json={"id": 1})

    async def aclose(self) -> None:
        """Nothing to close."""


def slow(*takes: float) -> tuple[House, SlowConnection]:
    many = [{"name": "writes", "scope": "connection", "windows": [{"units": 5, "seconds": 1}]}]
    sender = SlowConnection(House(), list(takes))
    sender.house = House(providers={"acme": provider(quotas=many)}, network=sender)
    return sender.house, sender


async def test_held_back_it_asks_again() -> None:
    """A connection that took longer than the leave holds costs no attempt, and the exchange is made on it."""
    house, sender = slow(0.3, 0.0)
    ended = await house.run("items.create")
    assert (ended.attempts, sender.sent, len(house.attempts)) == (1, 1, 1)
    assert house.attempts[0].attempt == 1


async def test_held_back_until_the_deadline() -> None:
    """Then it ends as what it is: nothing was sent, so that it may be sent again."""
    house, sender = slow(*[0.4] * 10)
    failure = await house.failure("items.create", timeout=1)
    assert (failure.reason, failure.side_effect.value, sender.sent) == (Reason.BEFORE_SEND, "none", 0)
    assert house.finished.attempts == 0


async def test_what_becomes_of_leave() -> None:
    """A connection that was refused took nothing of the quota: the next attempt need not wait for a unit."""
    house = House([REFUSED, OK], {"acme": provider(quotas=ONE_IN_TEN)})
    ended = await house.run("items.create")
    assert ended.attempts == 2
    assert sum(house.clock.slept) < 1
    await house.failure("items.create", timeout=5)  # and that one took it


async def test_leave_goes_back_where_the_call_ends_before_it_is_used() -> None:
    """A call whose connection was disabled between two attempts took nothing of the quota for the second."""
    disabled = Failure(reason=Reason.CONNECTION_DISABLED, detail="it is disabled")
    known = Connections(credential(), disabled, credential())
    house = House([REFUSED, OK], {"acme": provider(quotas=ONE_IN_TEN)}, connections=known)
    failure = await house.failure("items.create")
    assert (failure.reason, len(house.sender.sent)) == (Reason.CONNECTION_DISABLED, 1)
    await house.success("items.create", timeout=5)
    assert sum(house.clock.slept) < 1
