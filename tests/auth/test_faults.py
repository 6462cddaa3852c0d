"""Faults around a renewal: a failing endpoint, a record that does not open, a key that is rotated, many at once."""

from __future__ import annotations

import anyio
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.auth.live import AT_ONCE
from sidecar.auth.token_answer import Refused, TokenOutcome, Unanswered
from sidecar.credential import Status
from sidecar.model import Failure, Reason
from sidecar.sandbox.scripted import ManualClock
from sidecar.store.credential import BUCKET
from sidecar.store.record import record_key
from sidecar.store.rewrap import KeyUse, SealedRecords
from tests.auth.renewing import DICE, WHO, Sidecar, StrictEndpoint, access, credential, settled, stored
from tests.auth.test_live import SteppedClock
from tests.store.test_credential import MemoryStore, damage, reason_of

pytestmark = pytest.mark.anyio

BOTH = FileKeys({"k1": bytes(32), "k2": bytes(31) + b"2"})
NEWEST = FileKeys({"k2": bytes(31) + b"2"})
FINAL = Refused(final=True, detail="the token endpoint answered 400: invalid_grant", code="invalid_grant")


@pytest.mark.parametrize(
    "outcome",
    [
        Refused(final=False, detail="500", status=500, perhaps_spent=True),
        Refused(final=False, detail="429", status=429, retry_after=5.0),
        Refused(final=False, detail="a redirect to evil.example", status=302, perhaps_spent=True),
        Unanswered(sent=True, detail="no answer"),
    ],
)
async def test_an_old_token_serves_while_its_endpoint_fails(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, outcome: TokenOutcome
) -> None:
    """As long as it is valid, nobody is told of the trouble."""
    await one.store.save(*WHO, credential(clock, left=100))
    endpoint.outcomes = [outcome]
    async with one.serving():
        for _ in range(5):
            assert access(await one.load()) == "access-1"
            await settled(one)
    assert len(endpoint.asked) == 1


async def test_a_refusal_of_what_was_replaced_ends_nothing(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """`invalid_grant` for the old grant, when its owner has allowed access again: the record is looked at once more."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    endpoint.outcomes = [FINAL]
    async with one.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            await one.store.save(*WHO, credential(clock, 77))
            endpoint.gate.set()
        assert access(await one.load()) == "access-77"
    assert len(endpoint.asked) == 1


async def test_what_comes_for_a_revoked_connection_is_given_back(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """Its provider was told to end tokens that were replaced at that moment: the new ones are ended as well."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            await one.store.set_status(*WHO, Status.REVOKED)
            endpoint.gate.set()
        await settled(one)
    assert endpoint.ended == ["refresh-2"]


async def test_new_tokens_of_what_was_connected_again_are_not_ended(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """At some providers that would end the new grant of the same account too."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            await one.store.save(*WHO, credential(clock, 77))
            endpoint.gate.set()
        await settled(one)
    assert endpoint.ended == []


async def test_a_record_that_is_damaged_is_not_renewed(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, memory: MemoryStore
) -> None:
    """Nothing is asked of anybody, also where the credential was in memory before."""
    await one.store.save(*WHO, credential(clock))
    async with one.serving():
        await one.load()
        damage(memory, record_key(*WHO))
        clock.advance(3700)
        assert reason_of(await one.load()) is Reason.CREDENTIAL_CORRUPT
    assert endpoint.asked == []


async def test_a_key_that_is_rotated_during_a_renewal(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """The record moves under the newest key while tokens are on their way: they are stored over that, under it too."""
    one = Sidecar(memory, endpoint, clock, keys=FileKeys({"k1": bytes(32)}))
    await one.store.save(*WHO, credential(clock, left=-1))
    two = Sidecar(memory, endpoint, clock, keys=BOTH)
    endpoint.gate = anyio.Event()
    async with two.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(two.load)
            await anyio.wait_all_tasks_blocked()
            rotation = SealedRecords(memory, BOTH, clock, DICE, {BUCKET: ""})
            moved = await rotation.batch("acme", "acme.>", after=None, limit=10, within=10.0, rewrap=True)
            assert isinstance(moved, KeyUse)
            endpoint.gate.set()
        await settled(two)
        assert access(await two.load()) == "access-2"
    assert endpoint.asked == ["refresh-1"]
    assert access(await stored(Sidecar(memory, endpoint, clock, keys=NEWEST))) == "access-2"


async def test_without_the_key_nothing_is_renewed(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """It is told as such, and can be done again when the key is there."""
    one = Sidecar(memory, endpoint, clock, keys=FileKeys({"k1": bytes(32)}))
    await one.store.save(*WHO, credential(clock, left=-1))
    two = Sidecar(memory, endpoint, clock, keys=NEWEST)
    async with two.serving():
        assert reason_of(await two.load()) is Reason.KEY_UNAVAILABLE
    assert endpoint.asked == []


async def test_the_background_renews_a_few_at_once(memory: MemoryStore) -> None:
    """Of 50 connections that are due at one moment, no more than the background takes at once are asked for."""
    clock = SteppedClock()
    endpoint = StrictEndpoint(clock)
    one = Sidecar(memory, endpoint, clock)
    names = [(WHO[0], f"user{number}", WHO[2]) for number in range(50)]
    for name in names:
        await one.store.save(*name, credential(clock))
    async with one.serving(background=True):
        for name in names:
            assert not isinstance(await one.live.load(*name), Failure)
        endpoint.gate = anyio.Event()
        clock.advance(3500)
        clock.step.set()
        await anyio.wait_all_tasks_blocked()
        assert len(endpoint.asked) == AT_ONCE
        endpoint.gate.set()
