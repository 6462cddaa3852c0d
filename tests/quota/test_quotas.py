"""What a call gets of the quotas: leave at once, after a wait, or a refusal that says when; and what is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import anyio
import pytest

from sidecar.core.quota.event import (
    Asked,
    Effect,
    Ended,
    Event,
    Get,
    Go,
    Gone,
    Heard,
    Jumped,
    Leaving,
    Left,
    Put,
    Refuse,
    Send,
    SendAll,
    Stored,
    Told,
    Unused,
    Wait,
    Wake,
    Woke,
)
from sidecar.core.quota.limit import Demand, Limit, Want, Window
from sidecar.core.quota.message import Closed
from sidecar.model import Failure, Reason
from sidecar.permit import Permit
from sidecar.quota import Quotas
from sidecar.sandbox.scripted import FixedRandom, ManualClock, SleepTimer

pytestmark = pytest.mark.anyio

CORE = Demand("github", "github|told", (Want(Limit("github||core", "core", (Window(1, 1),))),))
FREE = Demand("github", "github|told")
CLOSED = Closed(("github|told",), 4.0)


class Script:
    """A node that answers each kind of event as it is told to."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.answers: dict[type, Callable[..., Iterable[Effect]]] = {}

    def on(self, event: Event, now: float, jitter: float) -> Iterable[Effect]:
        self.heard.append(event)
        answer = self.answers.get(type(event))
        return list(answer(event, now)) if answer else []

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.heard if isinstance(event, kind)]


@dataclass
class Wanted:
    """What was wanted of other sidecars and the store."""

    effects: list[Send | SendAll | Put | Get] = field(default_factory=list)
    hear: Callable[[Event], None] = lambda _event: None

    def attach(self, hear: Callable[[Event], None]) -> None:
        self.hear = hear

    def perform(self, effect: Send | SendAll | Put | Get) -> None:
        self.effects.append(effect)
        if isinstance(effect, Put):
            self.hear(Stored(effect.ticket, 1))


class House:
    def __init__(self) -> None:
        self.node = Script()
        self.clock = ManualClock()
        self.outside = Wanted()
        self.quotas = Quotas(self.node, self.outside, SleepTimer(self.clock), self.clock, FixedRandom())
        self.told: list[tuple[str, float, bool]] = []

    def tell(self, wait: Wait) -> None:
        self.told.append((wait.bucket, wait.seconds, wait.closed))

    async def reserve(self, demand: Demand = CORE, within: float = 10) -> Permit | Failure:
        given = self.quotas.reserve("run", demand, self.clock.now() + within, self.tell)
        return given if isinstance(given, Permit | Failure) else await given

    async def permit(self, demand: Demand = CORE, within: float = 10) -> Permit:
        given = await self.reserve(demand, within)
        assert isinstance(given, Permit), given
        return given


def at_once(event: Asked, now: float) -> list[Effect]:
    return [Go(event.call, now, now + 0.01)]


def in_two_seconds(event: Asked, now: float) -> list[Effect]:
    return [Wait(event.call, 2, "core"), Wake(now + 1.9)]


def turn_of(call: Callable[[], str]) -> Callable[[Woke, float], list[Effect]]:
    return lambda _event, now: [Go(call(), now + 0.1, now + 0.11)]


@pytest.fixture
def house() -> House:
    return House()


async def test_leave_at_once(house: House) -> None:
    """Nobody waits and nothing is told; the deadline that the node hears is the call's."""
    house.node.answers[Asked] = at_once
    permit = await house.permit(within=7)
    assert permit.may_send()
    [asked] = house.node.of(Asked)
    assert isinstance(asked, Asked)
    assert asked.deadline == pytest.approx(house.clock.now() + 7)
    assert (house.told, house.clock.slept, house.quotas.counts.at_once) == ([], [], 1)


async def test_without_wants_the_node_is_not_asked(house: House) -> None:
    """What no quota is about costs nothing, and ends without a word."""
    permit = await house.permit(FREE)
    assert permit.may_send()
    permit.ended()
    assert house.node.heard == []


async def test_without_wants_nothing_is_awaited(house: House) -> None:
    """Leave that nobody need be asked for is there at once, without a coroutine; so is leave within credit, and a
    refusal.
    """
    within = house.clock.now() + 10
    assert isinstance(house.quotas.reserve("run", FREE, within, house.tell), Permit)
    house.node.answers[Asked] = at_once
    assert isinstance(house.quotas.reserve("run", CORE, within, house.tell), Permit)
    house.node.answers[Asked] = lambda event, _now: [Refuse(event.call, 30, "core")]
    assert isinstance(house.quotas.reserve("run", CORE, within, house.tell), Failure)
    assert (house.quotas.counts.at_once, house.quotas.counts.refused) == (2, 1)


async def test_what_is_closed_to_others_is_nothing_to_an_exchange_without_wants(house: House) -> None:
    """It asks nobody, and ends only when its own key is closed."""
    house.quotas.told(("slack|told",), 4.0)
    permit = await house.permit(FREE)
    assert permit.may_send()
    assert house.node.of(Asked) == []
    house.quotas.told(("github|told",), 4.0)
    assert not permit.may_send()
    assert permit.void


async def test_a_machine_that_slept_ends_leave_that_took_something_alone(house: House) -> None:
    """Leave of a quota is void after a jump of the clock; what no quota is about has nothing to lose."""
    house.node.answers[Asked] = lambda event, now: [Go(event.call, now, now + 60)]
    dated, free = await house.permit(), await house.permit(FREE)
    house.clock._ahead += 3600
    assert not dated.may_send()
    assert dated.void
    assert free.may_send()


async def test_a_wait_is_told_and_ends_when_its_turn_is_there(house: House) -> None:
    """Leave that begins later is given when it begins, not before."""
    house.node.answers |= {Asked: in_two_seconds, Woke: turn_of(lambda: house.node.heard[0].call)}  # type: ignore[union-attr]  # it is Asked
    began = house.clock.now()
    permit = await house.permit()
    assert permit.may_send()
    assert house.clock.now() - began == pytest.approx(2)
    assert (house.told, house.quotas.counts.waited, house.quotas.waiting) == ([("core", 2, False)], 1, [])


@pytest.mark.parametrize(
    ("refuse", "reason", "said"),
    [
        ({}, Reason.LOCAL_RATE_LIMITED, "bucket core of github is used up; the next unit comes in 30.0 s"),
        ({"closed": True}, Reason.PROVIDER_RATE_LIMITED, "the provider said to wait; bucket core of github opens"),
        ({"away": True}, Reason.LOCAL_RATE_LIMITED, "none of them could be asked"),
    ],
)
async def test_a_refusal_says_when_and_for_want_of_what(
    house: House, refuse: dict[str, bool], reason: Reason, said: str
) -> None:
    """At once, with the bucket's name."""
    house.node.answers[Asked] = lambda event, _now: [Refuse(event.call, 30, "core", **refuse)]
    failure = await house.reserve()
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.retry_after, failure.bucket) == (reason, 30, "core")
    assert said in failure.detail
    assert house.clock.slept == []


async def test_past_the_deadline_nobody_is_asked(house: House) -> None:
    """A deadline that has passed is told as such."""
    failure = await house.reserve(within=0)
    assert isinstance(failure, Failure)
    assert (failure.reason, house.node.heard) == (Reason.BEFORE_SEND, [])


async def test_leave_that_is_over_before_it_is_given_is_asked_for_again(house: House) -> None:
    """A sleep that lasted too long costs no attempt: what was taken goes back, and it asks anew under another name."""
    late = [5.0, 0.0]
    house.node.answers[Asked] = lambda event, now: [Go(event.call, now - late[0], now + 0.01 - late.pop(0))]
    permit = await house.permit()
    first, second = house.node.of(Asked)
    assert isinstance(first, Asked)
    assert isinstance(second, Asked)
    assert first.call != second.call
    assert house.node.of(Unused) == [Unused(first.call)]
    assert permit.may_send()
    assert house.quotas.counts.void == 1


async def test_leave_ends_by_itself(house: House) -> None:
    """Asked a moment too late it says no, and that it is void."""
    house.node.answers[Asked] = at_once
    permit = await house.permit()
    house.clock.advance(0.011)
    assert not permit.may_send()
    assert permit.void


async def test_what_became_of_it_is_said_once(house: House) -> None:
    """Ended and unused exclude each other: units never come back twice."""
    house.node.answers[Asked] = at_once
    permit = await house.permit()
    permit.ended()
    permit.unused()
    permit.ended()
    assert [type(event) for event in house.node.heard] == [Asked, Ended]


async def test_who_is_cancelled_leaves(house: House) -> None:
    """A call that is cancelled while it waits stands in no line."""
    house.node.answers[Asked] = lambda event, _now: [Wait(event.call, 2, "core")]
    task = asyncio.ensure_future(house.reserve())
    await anyio.wait_all_tasks_blocked()
    assert [line.bucket for line in house.quotas.waiting] == ["core"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [type(event) for event in house.node.heard] == [Asked, Left]
    assert house.quotas.waiting == []


async def test_what_the_provider_says_holds_at_once(house: House) -> None:
    """Leave that was given before is void, until the time has come; the node hears of it."""
    house.node.answers[Asked] = lambda event, now: [Go(event.call, now, now + 60)]
    permit = await house.permit()
    house.quotas.told(("github|told",), 4.0, "429")
    assert not permit.may_send()
    assert house.node.of(Told) == [Told(("github|told",), 4.0, "429")]
    house.clock.advance(4)
    assert permit.may_send()


async def test_what_another_sidecar_was_told_holds_here(house: House) -> None:
    """Its message closes the same keys here, whatever the node makes of it."""
    permit = await house.permit(FREE)
    house.quotas.hear(Heard("other", CLOSED))
    assert not permit.may_send()
    house.clock.advance(4)
    assert permit.may_send()


async def test_where_something_is_closed_the_node_decides(house: House) -> None:
    """Also about an exchange without wants."""
    house.quotas.told(("github|told",), 4.0)
    house.node.answers[Asked] = lambda event, _now: [Refuse(event.call, 4, "told", closed=True)]
    failure = await house.reserve(FREE, within=1)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.PROVIDER_RATE_LIMITED


async def test_what_comes_of_an_effect_is_heard_behind_it(house: House) -> None:
    """An answer of the store that comes at once is heard when the event before it is done with."""
    house.node.answers[Asked] = lambda event, now: [Put(1, "k", b"", 0), *at_once(event, now)]
    await house.permit()
    assert [type(event) for event in house.node.heard] == [Asked, Stored]


async def test_a_jump_of_the_clock_is_heard_first(house: House) -> None:
    """A machine that was put to sleep from outside holds nothing any more: the node hears so before it is asked."""
    house.node.answers[Asked] = at_once
    await house.permit()
    house.clock._ahead += 3600
    await house.permit()
    assert [type(event) for event in house.node.heard] == [Asked, Jumped, Asked]


async def test_a_defect_of_the_node_refuses_and_ends_nothing(house: House) -> None:
    """The call that met it is refused, the next one is served."""
    bad = [True]

    def answer(event: Asked, now: float) -> list[Effect]:
        if bad.pop() if bad else False:
            raise RuntimeError("a defect")
        return at_once(event, now)

    house.node.answers[Asked] = answer
    failure = await house.reserve()
    assert isinstance(failure, Failure)
    assert failure.retry_after == 1.0
    await house.permit()


async def test_leaving_waits_until_nothing_is_held(house: House) -> None:
    """And not longer than it may."""
    assert not await house.quotas.leave(0.001)
    house.node.answers[Leaving] = lambda _event, _now: [Gone()]
    assert await house.quotas.leave(20)


async def test_nobody_waits_past_the_deadline(house: House) -> None:
    """A node that forgets a call keeps it from nothing: it is refused a moment after its deadline."""
    house.node.answers[Asked] = lambda _event, _now: [Wake(None)]
    with anyio.fail_after(10):
        failure = await house.reserve(within=0.01)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.LOCAL_RATE_LIMITED
    assert [type(event) for event in house.node.heard] == [Asked, Left]
