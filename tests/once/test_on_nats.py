"""The records of idempotency keys on a real nats-server, as two sidecars use them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import IDEMPOTENCY, bucket, provision
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.core.once import owner_lost
from sidecar.core.rerun import WITHDRAWN
from sidecar.kept import Done, Free, KeptSuccess
from sidecar.model import Access, Call, Failure, Reason, Success
from sidecar.once import Held, Once
from sidecar.scope import Scope
from sidecar.store.idempotency import BELOW, BUCKET, IdempotencyStore, place_of
from sidecar.store.record import record_pattern
from sidecar.store.rewrap import KeyUse, SealedRecords
from sidecar.store.write import Written
from tests.execute.house import CALL_ID, TRACE
from tests.once.house import KEYS

pytestmark = pytest.mark.anyio

CLOCK, DICE = SystemClock(), SystemRandom()
SUCCESS = Success(body=b'{"id": 7}', provider_status=201)
LIMITED = Failure(reason=Reason.PROVIDER_RATE_LIMITED, detail="429")


def call(connection: str, payload: bytes = b"{}", *, seconds: float = 20.0) -> Call:
    now = CLOCK.now()
    return Call(
        call_id=CALL_ID,
        access=Access.WRITE,
        tenant="acme",
        connection=connection,
        provider="github",
        operation="issues.create",
        payload=payload,
        accepted=now,
        deadline=now + seconds,
        trace=TRACE,
    )


@pytest.fixture
async def two(bus: NatsBus) -> AsyncIterator[tuple[Once, Once]]:
    """Two processes on one bucket."""
    await provision(bus, (bucket(BUCKET),))
    stores = [
        IdempotencyStore(NatsStore(bus), KEYS, CLOCK, DICE, Scope(), max_payload=bus.max_payload) for _ in range(2)
    ]
    first, second = (Once(store, CLOCK, DICE) for store in stores)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.serve)
        tasks.start_soon(second.serve)
        yield first, second
        tasks.cancel_scope.cancel()


async def claim(once: Once, wanted: Call) -> Held | Done | Failure:
    return await once.claim(wanted, "k", again=False, unknown=owner_lost())


async def test_the_bucket_is_the_one_that_is_made() -> None:
    """What is written to is what `setup` makes."""
    assert BUCKET == IDEMPOTENCY


async def test_one_of_many_sends(two: tuple[Once, Once], fresh_name: str) -> None:
    """Twenty at once at two sidecars: one has leave to send, the others get its answer."""
    sent: list[Held] = []
    answers: list[Done | Failure] = []

    async def one(once: Once) -> None:
        wanted = call(fresh_name)
        claimed = await claim(once, wanted)
        if isinstance(claimed, Held):
            sent.append(claimed)
            await anyio.sleep(0.05)  # the exchange
            await once.settle(claimed, SUCCESS, call=wanted, attempts=1)
        else:
            answers.append(claimed)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, two[number % 2])
    assert len(sent) == 1
    assert len(answers) == 19
    kept = {answer.outcome for answer in answers if isinstance(answer, Done)}
    assert kept == {KeptSuccess(body=SUCCESS.body, provider_status=201)}


async def test_a_freed_key_is_claimed_anew(two: tuple[Once, Once], fresh_name: str) -> None:
    """Limited, freed, claimed by another with another input: the mark of the deletion is no obstacle."""
    first, second = two
    wanted = call(fresh_name)
    held = await claim(first, wanted)
    assert isinstance(held, Held)
    await first.settle(held, LIMITED, call=wanted, attempts=1)
    assert isinstance(await claim(second, call(fresh_name, b'{"title": "other"}')), Held)


@pytest.mark.parametrize("freed", [False, True], ids=["new", "freed"])
async def test_a_call_begins_or_is_barred(two: tuple[Once, Once], bus: NatsBus, fresh_name: str, freed: bool) -> None:
    """A cancel and the call at the same moment, at two sidecars: one of them wins, also over a deletion's mark."""
    store = IdempotencyStore(NatsStore(bus), KEYS, CLOCK, DICE, Scope(), max_payload=bus.max_payload)
    for number in range(10):
        wanted = msgspec.structs.replace(call(f"{fresh_name}-{number}"), durable=CALL_ID)
        if freed:
            held = await claim(two[0], wanted)
            assert isinstance(held, Held)
            await two[0].settle(held, LIMITED, call=wanted, attempts=1)
        began, barred = await race(two[number % 2], store, wanted)
        assert isinstance(began, Held) != barred
        assert isinstance(began, Held) or began == WITHDRAWN


async def race(once: Once, store: IdempotencyStore, wanted: Call) -> tuple[Held | Done | Failure, bool]:
    """What the call was given, and whether the cancel's write went through."""
    began: list[Held | Done | Failure] = []
    barred: list[bool] = []

    async def begin() -> None:
        began.append(await claim(once, wanted))

    async def cancel() -> None:
        outcome = await store.write(place_of(wanted, "k"), Free((CALL_ID,)), None, within=10)
        barred.append(isinstance(outcome, Written))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(begin)
        tasks.start_soon(cancel)
    return began[0], barred[0]


async def test_a_record_lives_for_a_day(two: tuple[Once, Once], bus: NatsBus, fresh_name: str) -> None:
    """The server ends it, whoever wrote it: claimed and settled, each for 24 hours."""
    wanted = call(fresh_name)
    held = await claim(two[0], wanted)
    assert isinstance(held, Held)
    claimed = await NatsStore(bus).get(BUCKET, place_of(wanted, "k").key)
    await two[0].settle(held, SUCCESS, call=wanted, attempts=1)
    done = await NatsStore(bus).get(BUCKET, place_of(wanted, "k").key)
    assert claimed is not None
    assert done is not None
    assert (claimed.ttl, done.ttl) == (86400, 86400)
    assert done.revision > claimed.revision


async def test_a_cancelled_claim_frees_its_key(two: tuple[Once, Once], fresh_name: str) -> None:
    """A caller that cancels while its record is written leaves nothing that others would wait for."""
    first, second = two
    with anyio.CancelScope() as scope:
        scope.cancel()
        await claim(first, call(fresh_name))
    with anyio.fail_after(20):
        assert isinstance(await claim(second, call(fresh_name)), Held)


async def test_what_is_under_way_at_the_end_is_settled(two: tuple[Once, Once], fresh_name: str) -> None:
    """`stop` waits until the records say what came of their calls."""
    wanted = call(fresh_name)
    held = await claim(two[0], wanted)
    assert isinstance(held, Held)
    await two[0].settle(held, SUCCESS, call=call(fresh_name, seconds=0.0), attempts=1)  # nobody waits
    assert await two[0].stop(10.0) == 0
    assert isinstance(await claim(two[1], wanted), Done)


async def test_records_are_found_to_be_moved(bus: NatsBus, two: tuple[Once, Once], fresh_name: str) -> None:
    """As `keys rotate` asks for them: of one connection, or of all of a tenant's."""
    for connection in (fresh_name, f"{fresh_name}2"):
        assert isinstance(await claim(two[0], call(connection)), Held)
    records = SealedRecords(NatsStore(bus), KEYS, CLOCK, DICE, {BUCKET: BELOW})

    async def found(connection: str | None) -> KeyUse:
        pattern = record_pattern("acme", connection, None)
        use = await records.batch("acme", pattern, after=None, limit=1_000, within=60.0, rewrap=False)
        assert isinstance(use, KeyUse), use
        return use

    assert (await found(fresh_name)).records == {"k1": 1}
    assert (await found(None)).records["k1"] >= 2
