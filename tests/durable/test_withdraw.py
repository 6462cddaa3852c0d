"""A cancel of a durable call: what waits ends with nothing changed, what runs is told to stop, what ended stays."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from sidecar.answer import Answers
from sidecar.durable import Place, Stage, to_run
from sidecar.gate import Admission
from sidecar.kept import KeptFailure, KeptSuccess, Pending
from sidecar.model import Failure, Reason, SideEffect
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.store.durable import Seen
from sidecar.store.idempotency import IdempotencyStore, place_of
from sidecar.wire.subject import CancelAddress
from sidecar.withdraw import MOST_WAITING, Withdrawals
from sidecar.worker import Worker
from tests.durable.house import DOWN, OK, House, until
from tests.worker.house import KEY, Counts, Letter, StuckSender
from tests.worker.house import House as WorkerHouse

pytestmark = pytest.mark.anyio

ID = "0190a8b0-1234-7abc-8def-0123456789ab"
ADDRESS = CancelAddress("acme", "alice", ID)
PLACE = Place("acme", "alice", ID)
CANCEL = f"sidecar.cancel.acme.alice.{ID}"
ENDED = {"call_id": ID, "cancelled": True, "outcome": "CANCELLED_BY_CALLER", "side_effect": "none"}


def keyed(house: House) -> IdempotencyStore:
    return IdempotencyStore(house.memory, KEY, house.clock, house.random, house.scope, max_payload=1 << 20)


def withdrawals(house: House) -> Withdrawals:
    return Withdrawals(house.ground, house.submission, keyed(house))


async def listening(house: House) -> WorkerHouse:
    """A worker beside it that hears cancels."""
    other = WorkerHouse(ScriptedSender([]), bus=house.bus)
    answers = Answers(
        prefix="sidecar",
        scope=house.scope,
        executor=house.executor,
        administrator=other.administrator,
        connect=other.connect,
        observer=house.trace,
        clock=house.clock,
        random=house.random,
        max_timeout_ms=300_000,
        submission=house.submission,
        withdrawals=withdrawals(house),
        in_flight=house.in_flight,
    )
    worker = Worker(
        bus=house.bus,
        answers=answers,
        counters=Counts(),
        clock=house.clock,
        service=other.service,
        admission=Admission(),
    )
    await worker.start()
    return other


async def cancelled(house: House) -> object:
    """What the canceller is told; None: nobody replied."""
    house.bus.hand_in(Letter(CANCEL, reply="_INBOX.canceller"))
    for _ in range(2_000):
        await anyio.lowlevel.checkpoint()
    told = [one.body for one in house.bus.published if one.subject == "_INBOX.canceller"]
    assert len(told) <= 1
    return told[0] if told else None


async def kept(house: House) -> Seen:
    seen = await house.store.read(PLACE)
    assert isinstance(seen, Seen)
    return seen


async def test_what_waits_is_ended_and_never_sent() -> None:
    """The canceller is told, the result too; the word that still stands in the queue is thrown away."""
    house = House([OK])
    await listening(house)
    await house.taken(Call_Id=ID)
    assert await cancelled(house) == ENDED
    (told,) = house.results
    assert (told.body["reason"], told.body["side_effect"]) == ("CANCELLED_BY_CALLER", "none")
    async with house.serving():
        await until(lambda: not house.queue.words["acme"] and not house.queue.out)
    assert isinstance(house.script, ScriptedSender)
    assert not house.script.sent
    assert (await kept(house)).call.stage is Stage.DONE


async def test_what_is_put_off_is_ended() -> None:
    """Before its time, too; and a second cancel finds nothing that waits."""
    house = House()
    await listening(house)
    await house.taken(Call_Id=ID, Not_Before="2027-01-01T00:00:00Z")
    assert await cancelled(house) == ENDED
    house.bus.published.clear()
    assert await cancelled(house) is None


async def test_what_was_put_off_gives_its_place_back_at_once() -> None:
    """Long before its moment: its tenant may put off another one in its stead."""
    house, never = House(depth=1), "2027-01-01T00:00:00Z"
    await listening(house)
    await house.taken(Call_Id=ID, Not_Before=never)
    refused = await house.submit(Not_Before=never)
    assert isinstance(refused, Failure)
    assert refused.reason is Reason.TENANT_LIMIT
    assert await cancelled(house) == ENDED
    async with house.serving():
        await until(lambda: not house.queue.later and not house.queue.out)
    await house.taken(Not_Before=never)


async def test_what_may_have_been_sent_is_not_ended() -> None:
    """A record of its key is there: it runs elsewhere, or who ran it died. It is not told that nothing happened."""
    house = House()
    await listening(house)
    await house.taken(Call_Id=ID)
    call = to_run(PLACE, (await kept(house)).call, house.clock.now())
    await keyed(house).write(place_of(call, ID), Pending("x", "other.1"), None, within=1.0)
    assert await cancelled(house) is None
    assert (await kept(house)).call.stage is Stage.WAITING


async def test_what_runs_is_stopped_and_the_canceller_is_told() -> None:
    """The request was under way: it may have happened, and both are told so."""
    sender = StuckSender([OK])
    house = House(sender=sender)
    await listening(house)
    await house.taken(Call_Id=ID)
    async with house.serving():
        await until(lambda: sender.waiting)
        told = await cancelled(house)
        await until(lambda: house.results)
    assert told == ENDED | {"side_effect": "unknown"}
    assert house.results[0].body["side_effect"] == "unknown"


async def test_nothing_begins_here_that_is_being_ended() -> None:
    """Between the look at a call's record and the write that ends it, this sidecar does not run it; its id is free."""
    house = House([OK])
    await house.taken(Call_Id=ID)
    house.ground.ending.add(ADDRESS)
    async with house.serving():
        await until(lambda: house.queue.out and not house.durable.in_flight)
    assert isinstance(house.script, ScriptedSender)
    assert not house.script.sent
    house.ground.ending.clear()
    assert await withdrawals(house).withdraw(ADDRESS) is not None
    assert (house.in_flight, house.ground.ending) == ({}, set())


async def test_what_is_ended_cannot_begin() -> None:
    """It is held as long as that takes, and one at a time ends it."""
    house = House()
    await house.taken(Call_Id=ID)
    ending = withdrawals(house)
    async with anyio.create_task_group() as group:
        group.start_soon(ending.withdraw, ADDRESS)
        while not house.ground.ending and not house.counts.ended:
            await anyio.lowlevel.checkpoint()
        assert house.ground.ending == {ADDRESS}
        assert await ending.withdraw(ADDRESS) is None
    assert not house.ground.ending


async def test_a_storm_of_cancels_has_an_end() -> None:
    """So many wait for a look at the records; the others are counted."""
    house = House()
    ending = withdrawals(house)
    async with anyio.create_task_group() as group:
        for _ in range(MOST_WAITING + 100):
            group.start_soon(ending.withdraw, ADDRESS)
    assert 0 < house.counts.refusals.count("cancel_not_looked_up") <= 100


async def test_a_call_done_meanwhile_is_told_as_done() -> None:
    """A sidecar that had looked before the cancel and heard none: what it did stands, whatever was told before."""
    sender = StuckSender([OK])
    house = House(sender=sender)
    await house.taken(Call_Id=ID)
    async with house.serving():
        await until(lambda: sender.waiting)
        seen = await kept(house)
        failure = KeptFailure(reason=Reason.CANCELLED_BY_CALLER, detail="while it waited", side_effect=SideEffect.NONE)
        ended = msgspec.structs.replace(seen.call, stage=Stage.DONE, ended=failure)
        assert isinstance(await house.store.write(PLACE, ended, seen.revision, seconds=100), int)
        sender.gate.set()
        await until(lambda: house.results)
    assert isinstance((await kept(house)).call.ended, KeptSuccess)
    assert house.results[-1].body == {"id": 1}


async def test_one_that_failed_and_waits_again_is_ended() -> None:
    """A run that changed nothing put it off: the cancel still ends it."""
    house = House([DOWN])
    await listening(house)
    await house.taken(Call_Id=ID)
    async with house.serving():
        await until(lambda: house.counts.ended)
        for _ in range(500):
            await anyio.lowlevel.checkpoint()
        assert await cancelled(house) == ENDED
    assert (await kept(house)).call.stage is Stage.DONE
