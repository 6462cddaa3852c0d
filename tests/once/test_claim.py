"""A record claimed, kept alive and settled, one step at a time on a moved clock."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from sidecar.adapters.system import SystemRandom
from sidecar.core.once import FENCE_SECONDS, owner_lost
from sidecar.kept import Done, KeptFailure
from sidecar.model import Call, Failure, Reason, Success
from sidecar.once import Held, Once
from sidecar.ports import StoreUnavailable
from sidecar.scope import Scope
from sidecar.store.idempotency import IdempotencyStore
from tests.execute.house import House
from tests.once.house import KEYS, Fleet

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with anyio.create_task_group() as tasks:
        yield Fleet(tasks)
        tasks.cancel_scope.cancel()


def once(fleet: Fleet) -> Once:
    store = IdempotencyStore(fleet.memory, KEYS, fleet.clock, SystemRandom(), Scope(), max_payload=fleet.max_payload)
    made = Once(store, fleet.clock, SystemRandom())
    fleet.tasks.start_soon(made.serve)
    return made


def call(fleet: Fleet, **also: Any) -> Call:
    return House(clock=fleet.clock).call(**also)


async def claim(who: Once, wanted: Call) -> Held:
    await anyio.lowlevel.checkpoint()  # `serve` begins
    held = await who.claim(wanted, "k", again=False, unknown=owner_lost())
    assert isinstance(held, Held), held
    return held


async def test_a_record_is_written_anew_before_its_owner_sends_late(fleet: Fleet) -> None:
    """A call that waited for its quota confirms its record first: others see that it lives."""
    who = once(fleet)
    held = await claim(who, call(fleet))
    before = held.revision
    assert await who.fence(held, fleet.clock.now() + 20) is None
    assert held.revision == before
    fleet.clock.advance(FENCE_SECONDS)
    assert await who.fence(held, fleet.clock.now() + 20) is None
    assert held.revision != before


async def test_nothing_is_sent_on_a_record_that_cannot_be_confirmed(fleet: Fleet) -> None:
    """The store is away for so long that others may take the owner for dead: it does not begin now."""
    who = once(fleet)
    held = await claim(who, call(fleet))
    fleet.clock.advance(FENCE_SECONDS)
    fleet.memory.away = "refusing"
    refused = await who.fence(held, fleet.clock.now() + 20)
    assert isinstance(refused, Failure)
    assert refused.reason is Reason.STORE_UNAVAILABLE


async def test_nothing_is_sent_by_who_was_taken_over(fleet: Fleet) -> None:
    """Another one decided what came of the call: the first does not begin it after that."""
    first, second = once(fleet), once(fleet)
    held = await claim(first, call(fleet))
    taken = await second.claim(call(fleet), "k", again=False, unknown=owner_lost())
    assert isinstance(taken, Done)
    refusals = [await first.fence(held, fleet.clock.now() + 20) for _ in range(2)]
    assert all(isinstance(refusal, Failure) for refusal in refusals)
    assert held.lost


async def test_a_claim_that_nobody_confirms_goes_again(fleet: Fleet) -> None:
    """Its write happened and its answer was lost: nothing was sent, so nothing stays behind."""
    who, stored = once(fleet), fleet.memory.put

    async def unanswered(*what: Any, **also: Any) -> int:
        await stored(*what, **also)
        fleet.memory.away = "refusing"
        raise StoreUnavailable("the answer was lost")

    fleet.memory.put = unanswered  # type: ignore[method-assign]  # the network, which loses the answer
    await anyio.lowlevel.checkpoint()
    refused = await who.claim(call(fleet, timeout=4.0), "k", again=False, unknown=owner_lost())
    assert isinstance(refused, Failure)
    assert len(fleet.records) == 1
    fleet.memory.put, fleet.memory.away = stored, "no"  # type: ignore[method-assign]  # it is back
    await who.stop(10.0)
    assert fleet.records == {}


async def test_a_record_fits_one_message(fleet: Fleet) -> None:
    """Of an output that does not fit, it is kept that it was done."""
    fleet.max_payload = 20_000
    who, wanted = once(fleet), call(fleet)
    held = await claim(who, wanted)
    noise = random.Random(7).randbytes(30_000)
    await who.settle(held, Success(body=noise, content_type="image/png"), call=wanted, attempts=1)
    await who.stop(10.0)
    [kept] = fleet.records.values()
    assert isinstance(kept.state, Done)
    assert isinstance(kept.state.outcome, KeptFailure)
    assert max(len(entry.value) for entry in fleet.memory.entries.values()) <= fleet.max_payload
