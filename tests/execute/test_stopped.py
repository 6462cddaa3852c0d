"""A call that is told to stop ends at once wherever it waits, with what is true of the provider's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import httpx
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.model import Failure, Reason, SideEffect, Success
from sidecar.ports import Entry, HttpSender
from sidecar.run import Ended
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock
from sidecar.stop import Stop
from sidecar.store.credential import CredentialStore
from sidecar.wire.event import Attempt, Event, Finished
from tests.build import CREATE_ITEM, OPERATIONS, provider
from tests.execute.house import LOST, OK, REFUSED, Answer, House, decoded
from tests.store.test_credential import MemoryStore

pytestmark = pytest.mark.anyio

WRITE, READ, REPLACE = "items.create", "items.get", "items.replace"
BOTH = pytest.mark.parametrize("reason", [Reason.CANCELLED_BY_CALLER, Reason.SHUTTING_DOWN])
ACME = provider(operations={**OPERATIONS, "items.replace": CREATE_ITEM | {"method": "PUT"}})
LIMITED = provider(quotas=[{"name": "calls", "scope": "connection", "windows": [{"units": 1, "seconds": 20}]}])


class StillClock(ManualClock):
    """A clock on which whoever sleeps sleeps for ever."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.sleep_forever()


class HangingStore(MemoryStore):
    """A store that does not answer."""

    async def get(self, bucket: str, key: str) -> Entry | None:
        del bucket, key
        await anyio.sleep_forever()
        raise AssertionError


class HangingSender(HttpSender):
    """Answers what it has, then hangs: before the first byte, after it, or without a word on which."""

    def __init__(self, *answers: Answer, sent: bool | None) -> None:
        self.answers = list(answers)
        self.sent = sent

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> Answer:
        del deadline, max_body
        await anyio.lowlevel.checkpoint()
        if self.answers:
            return self.answers.pop(0)
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            if self.sent is not None:
                request.extensions["sent"] = self.sent
            raise
        raise AssertionError

    async def aclose(self) -> None:
        """Nothing to close."""


async def settled() -> None:
    for _ in range(100):
        await anyio.lowlevel.checkpoint()


async def stopped(house: House, operation: str, reason: Reason) -> Ended:
    """The end of a call that waits, and is then told to stop."""
    stop = Stop()
    task = stop.task = asyncio.ensure_future(house.executor.run(house.call(operation), stop=stop))
    await settled()
    assert not task.done()
    assert stop.tell(reason)
    with anyio.fail_after(30):
        ended: Ended = await task
    assert task.cancelling() == 0  # nothing of it is left for whoever awaits next in this task
    return ended


@dataclass(frozen=True)
class Case:
    """Where the call waits, what is known then, and how it is said."""

    house: Callable[[], House]
    operation: str
    side_effect: SideEffect
    attempts: int
    when: str


def hanging(*answers: Answer, sent: bool | None = True) -> Callable[[], House]:
    return lambda: House(providers={"acme": ACME}, network=HangingSender(*answers, sent=sent))


def loading() -> House:
    clock = ManualClock()
    store = CredentialStore(HangingStore(), FileKeys({"k1": bytes(32)}), clock, FixedRandom(), capacity=1)
    return House(store=store, clock=clock)


def retrying(answer: Answer) -> Callable[[], House]:
    return lambda: House([answer], {"acme": ACME}, clock=StillClock())


CASES = {
    "a credential's load": Case(loading, WRITE, SideEffect.NONE, 0, "before anything was sent"),
    "a connection": Case(hanging(sent=False), WRITE, SideEffect.NONE, 1, "during attempt 1"),
    "a write's answer": Case(hanging(), WRITE, SideEffect.UNKNOWN, 1, "during attempt 1"),
    "a write's answer, of a sender that says nothing": Case(
        hanging(sent=None), WRITE, SideEffect.UNKNOWN, 1, "during attempt 1"
    ),
    "a read's answer": Case(hanging(), READ, SideEffect.NONE, 1, "during attempt 1"),
    "a second connection": Case(hanging(LOST, sent=False), REPLACE, SideEffect.UNKNOWN, 2, "during attempt 2"),
    "a second connection after a refusal": Case(hanging(REFUSED, sent=False), WRITE, SideEffect.NONE, 2, "attempt 2"),
    "a retry of what was not sent": Case(retrying(REFUSED), WRITE, SideEffect.NONE, 1, "before attempt 2"),
    "a retry of what may have been done": Case(retrying(LOST), REPLACE, SideEffect.UNKNOWN, 1, "before attempt 2"),
    "a retry of a read": Case(retrying(LOST), READ, SideEffect.NONE, 1, "before attempt 2"),
}


@BOTH
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_wherever_it_waits(case: Case, reason: Reason) -> None:
    """It ends at once: with the reason, what is known of the provider's side, and when it was; all of it is told. What
    may have been done is not told as a refusal of a sidecar that ends.
    """
    house = case.house()
    ended = await stopped(house, case.operation, reason)
    failure = ended.outcome
    if reason is Reason.SHUTTING_DOWN and case.side_effect is not SideEffect.NONE:
        reason = Reason.OUTCOME_UNKNOWN
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.side_effect, ended.attempts) == (reason, case.side_effect, case.attempts)
    assert case.when in failure.detail
    finished = house.finished
    assert (finished.outcome, finished.side_effect, finished.attempts) == (reason, case.side_effect, case.attempts)
    assert finished.why[-1] == failure.detail
    assert len(house.attempts) == case.attempts


async def test_waiting_for_a_quota() -> None:
    """Its place in the line is free again: whoever comes next waits no longer for it."""
    house = House([OK], {"acme": LIMITED}, clock=StillClock())
    await house.success(READ)
    ended = await stopped(house, WRITE, Reason.CANCELLED_BY_CALLER)
    assert isinstance(ended.outcome, Failure)
    assert (ended.outcome.side_effect, ended.attempts) == (SideEffect.NONE, 0)
    again = await stopped(house, WRITE, Reason.CANCELLED_BY_CALLER)
    assert again.outcome == ended.outcome
    first, second = house.clock.slept
    assert second == pytest.approx(first)


async def test_the_exchange_that_was_cut_off_is_told() -> None:
    """As an attempt, with its reason: the trace explains every request that may have left."""
    house = hanging()()
    await stopped(house, WRITE, Reason.CANCELLED_BY_CALLER)
    [attempt] = house.attempts
    assert (attempt.reason, attempt.side_effect) == (Reason.CANCELLED_BY_CALLER, SideEffect.UNKNOWN)
    assert attempt.decided == "the call was told to stop"
    assert house.told == ["started", "attempt", "finished"]


async def test_how_to_find_out_is_told() -> None:
    """Of a write whose outcome is unknown."""
    ended = await stopped(hanging()(), WRITE, Reason.CANCELLED_BY_CALLER)
    assert isinstance(ended.outcome, Failure)
    assert "look" in (ended.outcome.hint or "")


class TellsTooLate(EventLog):
    """Tells the call to stop while an event of it is on its way."""

    def __init__(self, at: type[Event]) -> None:
        super().__init__()
        self.at = at
        self.stop = Stop()
        self.obeyed: list[bool] = []

    def emit(self, event: Event) -> bool:
        if isinstance(event, self.at):
            self.obeyed.append(self.stop.tell(Reason.CANCELLED_BY_CALLER))
        return super().emit(event)


@pytest.mark.parametrize("at", [Attempt, Finished])
async def test_a_known_outcome_stays(at: type[Event]) -> None:
    """The answer arrived, or the end is being told: the call ends as it would have, and its trace is whole."""
    trace = TellsTooLate(at)
    house = House([OK], trace=trace)
    trace.stop.task = asyncio.ensure_future(house.executor.run(house.call(WRITE), stop=trace.stop))
    ended: Ended = await trace.stop.task
    assert trace.obeyed == [False]
    assert isinstance(ended.outcome, Success)
    assert decoded(ended.outcome) == {"id": 1}
    assert house.told == ["started", "attempt", "finished"]


async def test_a_refusal_stays_a_refusal() -> None:
    """What was refused before anything was sent is told as that, however late somebody wants to stop it."""
    trace = TellsTooLate(Finished)
    house = House(trace=trace)
    call = house.call(WRITE, payload=b"{}")
    trace.stop.task = asyncio.ensure_future(house.executor.run(call, stop=trace.stop))
    ended: Ended = await trace.stop.task
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.reason is Reason.VALIDATION


async def test_only_the_first_reason_counts() -> None:
    """A call that is cancelled while the process ends, or the other way round, ends once."""
    house = hanging()()
    stop = Stop()
    stop.task = asyncio.ensure_future(house.executor.run(house.call(READ), stop=stop))
    await settled()
    assert stop.tell(Reason.CANCELLED_BY_CALLER)
    assert not stop.tell(Reason.SHUTTING_DOWN)
    ended: Ended = await stop.task
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.reason is Reason.CANCELLED_BY_CALLER


async def test_told_before_its_first_step() -> None:
    """The call begins, and ends with its reason: it is not lost without a word."""
    house = loading()
    stop = Stop()
    stop.task = asyncio.ensure_future(house.executor.run(house.call(WRITE), stop=stop))
    stop.tell(Reason.SHUTTING_DOWN)
    ended: Ended = await stop.task
    assert isinstance(ended.outcome, Failure)
    assert (ended.outcome.reason, ended.outcome.side_effect) == (Reason.SHUTTING_DOWN, SideEffect.NONE)
    assert house.finished.outcome == Reason.SHUTTING_DOWN


async def test_another_cancellation_is_not_swallowed() -> None:
    """Of the task, by whoever made it: the end is told, and the cancellation goes on."""
    house = hanging()()
    stop = Stop()
    task = stop.task = asyncio.ensure_future(house.executor.run(house.call(WRITE), stop=stop))
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (house.finished.outcome, house.finished.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
