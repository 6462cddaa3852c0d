"""A provider that fails is left alone: breaker and retry budget, as a call meets them."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import httpx
import pytest

from sidecar.model import Failure, Reason, SideEffect, Success
from sidecar.sandbox.scripted import ScriptedSender
from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.execute.house import OK, REFUSED, House

pytestmark = pytest.mark.anyio

READ, WRITE, REPLACE = "items.get", "items.create", "items.replace"
OPERATIONS = {READ: GET_ITEM, WRITE: CREATE_ITEM, REPLACE: CREATE_ITEM | {"method": "PUT"}}
DOWN = httpx.Response(500)
SELF_HOSTED = {"kind": "self_hosted"}


class Down(ScriptedSender):
    """Fails, until it is `up`."""

    def __init__(self, answer: httpx.Response | Failure = DOWN) -> None:
        super().__init__()
        self.answer = answer

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        self.answers = [self.answer]
        return await super().send(request, deadline=deadline, max_body=max_body)


def house(sender: Down) -> House:
    return House(providers={"acme": provider(operations=OPERATIONS)}, network=sender)


async def reason(here: House, operation: str = WRITE, **also: str) -> Reason | None:
    outcome = (await here.run(operation, **also)).outcome
    return outcome.reason if isinstance(outcome, Failure) else None


async def test_a_provider_that_is_down_is_asked_five_times() -> None:
    """The sixth call is refused at once, with nothing sent, when to come back, and the same in the trace."""
    sender = Down()
    here = house(sender)
    assert [await reason(here) for _ in range(5)] == [Reason.PROVIDER_5XX] * 5
    here.trace.events.clear()
    here.clock.advance(10)
    failure = await here.failure(WRITE)
    assert (failure.reason, failure.side_effect) == (Reason.CIRCUIT_OPEN, SideEffect.NONE)
    assert failure.retry_after == pytest.approx(20)
    assert "5 times in a row" in failure.detail
    assert (len(sender.sent), here.told, here.clock.slept) == (5, ["started", "finished"], [])


async def test_ten_minutes_down_are_one_probe_in_thirty_seconds() -> None:
    """And when it works again the first probe shows it: everybody goes on."""
    sender = Down()
    here = house(sender)
    for _ in range(6_000):
        await here.run(WRITE)
        here.clock.advance(0.1)
    assert 5 + 19 <= len(sender.sent) <= 5 + 20
    sender.answer = OK
    here.clock.advance(30)
    assert [await reason(here) for _ in range(3)] == [None] * 3


async def test_no_retry_once_it_is_open() -> None:
    """The failure that opens it ends its call, and what was known of it stays."""
    sender = Down()
    here = house(sender)
    await here.run(READ)
    failure = await here.failure(READ)
    assert failure.reason is Reason.PROVIDER_5XX
    assert len(sender.sent) == 5
    assert "left alone" in here.attempts[-1].decided


async def test_another_origin_goes_on() -> None:
    """A tenant's own server that is down is nobody else's; another provider at the same place neither."""
    sender = Down()
    both = {"acme": provider(operations=OPERATIONS), "other": provider(name="other", title="Other")}
    here = House(providers=both, network=sender)
    for _ in range(5):
        await here.run(WRITE)
    assert await reason(here) is Reason.CIRCUIT_OPEN
    assert await reason(here, provider="other") is Reason.PROVIDER_5XX


async def test_a_probe_that_is_cancelled_leaves_its_place() -> None:
    """The next call probes; the breaker does not stay open for good."""
    sender = Down()
    here = house(sender)
    for _ in range(5):
        await here.run(WRITE)
    here.clock.advance(30)
    with anyio.CancelScope() as scope:
        sender.answer = OK
        here.before = lambda: None
        gate = anyio.Event()

        async def stuck(request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response:
            gate.set()
            await anyio.sleep_forever()
            raise AssertionError(request, deadline, max_body)

        async def cancel() -> None:
            await gate.wait()
            assert await reason(here) is Reason.CIRCUIT_OPEN
            scope.cancel()

        answers, sender.send = sender.send, stuck  # type: ignore[method-assign]  # this one exchange hangs
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            await here.run(WRITE)
    sender.send = answers  # type: ignore[method-assign]
    assert await reason(here) is None


async def test_a_failing_provider_uses_up_the_retries() -> None:
    """35 retries of 14 tokens; then calls are tried once, though the breaker never sees five failures in a row."""
    here = House(providers={"acme": provider(operations=OPERATIONS)}, answers=[DOWN, DOWN, OK] * 100)
    ends = [(await here.run(REPLACE)).attempts for _ in range(60)]
    assert ends[0] == 3
    assert here.clock.slept  # it did retry
    assert len(here.sender.sent) <= 60 + 500 / 14 + 60 * 15 / 14
    assert ends[-1] == 1
    assert any("failed lately" in attempt.decided for attempt in here.attempts)


async def test_one_tenant_does_not_use_up_the_retries_of_another() -> None:
    """Nor those of another provider."""
    here = House(providers={"acme": provider(operations=OPERATIONS)}, answers=[REFUSED, httpx.Response(404)] * 100)
    while (await here.run(WRITE)).attempts > 1:
        pass
    here.sender.answers = [REFUSED, OK]
    outcome = await here.run(WRITE, tenant="globex")
    assert isinstance(outcome.outcome, Success)
    assert outcome.attempts == 2
