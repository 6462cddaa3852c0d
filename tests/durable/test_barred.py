"""What a cancel ended never begins: its key's record bars it, whatever anybody read before, and bars nobody else."""

from __future__ import annotations

import anyio
import httpx
import pytest
from msgspec import structs

from sidecar.durable import Stage, to_run
from sidecar.kept import Done, Free, Open, Pending, State
from sidecar.model import Access, Call, Failure, Reason, SideEffect, Success
from sidecar.ports import Entry
from sidecar.run import Ended
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.store.idempotency import Seen as SeenKey
from sidecar.store.idempotency import place_of
from tests.durable.house import OK, House
from tests.durable.test_withdraw import ADDRESS, ID, PLACE, kept, keyed, withdrawals
from tests.once.house import ACME

pytestmark = pytest.mark.anyio

OWN = "the-caller's-own"
OTHER = "0190a8b0-1234-7abc-8def-00000000000f"
REJECTED = httpx.Response(400, json={"error": "no"})
LOST = Failure(reason=Reason.OUTCOME_UNKNOWN, detail="no answer", side_effect=SideEffect.UNKNOWN)


async def waiting(house: House, payload: bytes = b'{"title": "x"}', **headers: str) -> Call:
    """The call as a sidecar runs it that reads its record now, and goes on when it likes."""
    await house.taken(payload, Call_Id=ID, **headers)
    return to_run(PLACE, (await kept(house)).call, house.clock.now())


async def run(house: House, call: Call) -> Ended:
    """Run it, until its record says what came of it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.once.serve)
        await anyio.lowlevel.checkpoint()
        ended = await house.executor.run(call)
        assert await house.once.stop(5.0) == 0
        tasks.cancel_scope.cancel()
    return ended


def another(call: Call, **also: object) -> Call:
    """A call with the same key that is not durable."""
    return structs.replace(call, call_id=OTHER, durable=None, **also)


async def state_of(house: House, call: Call) -> State | None:
    found = await keyed(house).read(place_of(call, call.idempotency_key or ""), within=1.0)
    assert not isinstance(found, Failure)
    return found.state if isinstance(found, SeenKey) else None


def sent(house: House) -> int:
    assert isinstance(house.script, ScriptedSender)
    return len(house.script.sent)


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": OWN}])
async def test_who_read_its_record_before_the_cancel_sends_nothing(key: dict[str, str]) -> None:
    """A late read, or a sidecar that stood still: it is told what the canceller was told."""
    house = House([OK])
    call = await waiting(house, b'{"title": "x"}', **key)
    assert await withdrawals(house).withdraw(ADDRESS) is not None
    outcome = (await run(house, call)).outcome
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.side_effect) == (Reason.CANCELLED_BY_CALLER, SideEffect.NONE)
    assert sent(house) == 0


async def test_what_began_after_the_look_is_not_told_as_cancelled() -> None:
    """Nothing stood at its key when the cancel looked: the write over nothing shows that it has begun."""
    house = House()
    call = await waiting(house)
    place = place_of(call, ID)
    await keyed(house).write(place, Pending("x", "other.1"), None, within=1.0)
    begun = house.memory.entries.pop(place.key)
    house.memory.before_write = lambda: house.memory.entries.update({place.key: begun})
    assert await withdrawals(house).withdraw(ADDRESS) is None
    assert (await kept(house)).call.stage is Stage.WAITING
    assert await state_of(house, call) == Pending("x", "other.1")


@pytest.mark.parametrize(("writes", "stands"), [(0, False), (1, True)])
async def test_what_cannot_be_kept_is_not_told(writes: int, stands: bool) -> None:
    """The store goes away before the key's write, or before the record's: then the call ends in its turn."""
    house = House([OK])
    call = await waiting(house)
    done: list[int] = []

    def go_away() -> None:
        done.append(1)
        house.memory.away = "refusing" if len(done) > writes else "no"

    house.memory.before_write = go_away
    assert await withdrawals(house).withdraw(ADDRESS) is None
    assert house.counts.refusals == ["cancel_not_kept"]
    house.memory.before_write, house.memory.away = (lambda: None), "no"
    assert (await kept(house)).call.stage is Stage.WAITING
    assert await state_of(house, call) == (Free((ID,)) if stands else None)
    assert isinstance((await run(house, call)).outcome, Failure if stands else Success)
    assert sent(house) == (not stands)


async def test_a_key_whose_record_does_not_open_is_not_written_over() -> None:
    """Nobody knows what stands there: the call is not told as cancelled."""
    house = House()
    call = await waiting(house)
    key = place_of(call, ID).key
    house.memory.entries[key] = Entry(key, b"sealed by a key that is gone", 99, "id", 0, None)
    assert await withdrawals(house).withdraw(ADDRESS) is None
    assert house.counts.refusals == ["cancel_not_kept"]
    assert (await kept(house)).call.stage is Stage.WAITING


async def test_a_cancel_goes_on_where_another_sidecar_died() -> None:
    """The key was barred and the record left as it was: whoever hears the next cancel ends it."""
    house = House()
    call = await waiting(house)
    await keyed(house).write(place_of(call, ID), Free((ID,)), None, within=1.0)
    assert await withdrawals(house).withdraw(ADDRESS) is not None
    assert (await kept(house)).call.stage is Stage.DONE


async def test_a_cancelled_calls_own_key_is_free_for_others() -> None:
    """The same key does another input's call: only the cancelled one may not begin."""
    house = House([OK])
    call = await waiting(house, Idempotency_Key=OWN)
    await withdrawals(house).withdraw(ADDRESS)
    ended = await run(house, another(call, payload=b'{"title": "mended"}'))
    assert (type(ended.outcome), ended.replayed, sent(house)) == (Success, None, 1)
    assert isinstance(await state_of(house, call), Done)


@pytest.mark.parametrize(
    ("operation", "answers", "left"),
    [("items.create", [REJECTED], Free), ("items.replace", [LOST, LOST, LOST], Open)],
)
async def test_a_call_stays_barred_when_others_used_its_key(
    operation: str, answers: list[httpx.Response | Failure], left: type[State]
) -> None:
    """They changed nothing and freed it, or left it open: the cancelled one does not begin after them either."""
    house = House([*answers, OK], providers={"acme": ACME})
    call = await waiting(house, Idempotency_Key=OWN, operation=operation)
    await withdrawals(house).withdraw(ADDRESS)
    await run(house, another(call))
    before, state = sent(house), await state_of(house, call)
    assert isinstance(state, left)
    assert not isinstance(state, Done)
    assert state is not None
    assert state.barred == (ID,)
    outcome = (await run(house, call)).outcome
    assert isinstance(outcome, Failure)
    assert (outcome.reason, sent(house)) == (Reason.CANCELLED_BY_CALLER, before)
    assert isinstance((await run(house, another(call))).outcome, Success)


async def test_calls_of_one_key_are_barred_one_by_one() -> None:
    """A second durable call with the key of a cancelled one waits, and is cancelled: neither begins."""
    house = House([OK])
    first = await waiting(house, Idempotency_Key=OWN)
    await withdrawals(house).withdraw(ADDRESS)
    await house.taken(Call_Id=OTHER, Idempotency_Key=OWN)
    second = structs.replace(first, call_id=OTHER, durable=OTHER)
    assert await withdrawals(house).withdraw(structs.replace(ADDRESS, call_id=OTHER)) is not None
    assert await state_of(house, first) == Free((ID, OTHER))
    for call in (first, second):
        assert isinstance((await run(house, call)).outcome, Failure)
    assert sent(house) == 0


async def test_one_that_is_driven_again_is_not_barred_by_an_old_cancel() -> None:
    """What a cancel barred is the run before: with a key of its caller's own too it runs now."""
    house = House([OK])
    call = await waiting(house, Idempotency_Key=OWN)
    await keyed(house).write(place_of(call, OWN), Free((ID,)), None, within=1.0)
    again = to_run(PLACE, structs.replace((await kept(house)).call, redriven=1), house.clock.now())
    assert isinstance((await run(house, again)).outcome, Success)


async def test_what_reads_is_barred_too() -> None:
    """Nobody waits for what was cancelled: nothing is asked of the provider."""
    house = House([OK])
    call = await waiting(house, payload=b'{"id": "7"}', operation="items.get")
    assert call.access is Access.READ
    await withdrawals(house).withdraw(ADDRESS)
    assert isinstance((await run(house, call)).outcome, Failure)
    assert sent(house) == 0
