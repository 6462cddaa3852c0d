"""Durable calls taken in, run, kept and told."""

from __future__ import annotations

import base64
import random

import anyio
import msgspec
import pytest

from sidecar.durable import Place
from sidecar.model import Failure, Reason, SideEffect, Success
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.store.durable import Seen
from tests.durable.house import DOWN, OK, House, until
from tests.worker.house import StuckSender

pytestmark = pytest.mark.anyio

ID = "0190a8b0-1234-7abc-8def-0123456789ab"
LOST = Failure(reason=Reason.OUTCOME_UNKNOWN, detail="no answer came", side_effect=SideEffect.UNKNOWN)


async def seen(house: House, call_id: str, tenant: str = "acme") -> Seen:
    found = await house.store.read(Place(tenant, "alice", call_id))
    assert isinstance(found, Seen), found
    return found


async def result(house: House, call_id: str) -> object:
    _, outcome = await house.submission.result("acme", "alice", call_id)
    return msgspec.json.decode(outcome.body) if isinstance(outcome, Success) else outcome.reason


def moved(house: House, seconds: float) -> bool:
    house.clock.advance(seconds)
    return True


async def test_a_durable_call() -> None:
    """Taken in at once, run, told on its subject, and there to be asked for."""
    house = House([OK])
    call_id = await house.taken(Call_Id=ID)
    assert call_id == ID
    assert await result(house, ID) is Reason.IN_PROGRESS
    async with house.serving():
        await until(lambda: house.results)
    (told,) = house.results
    assert (told.subject, told.body) == (f"sidecar.result.acme.alice.{ID}", {"id": 1})
    assert (told.headers["Call-Id"], told.headers["Provider-Status"]) == (ID, "201")
    assert await result(house, ID) == {"id": 1}
    assert (house.queue.words["acme"], house.queue.out, house.counts.ended) == ([], {}, ["done"])


async def test_what_cannot_run_is_refused_before_it_is_kept() -> None:
    """An input that is not valid, an operation that is not there, a time that is none."""
    house = House()
    for given, reason in (
        ({"payload": b"{}"}, Reason.VALIDATION),
        ({"operation": "items.destroy"}, Reason.UNKNOWN_OPERATION),
        ({"Not_Before": "tomorrow"}, Reason.MALFORMED),
        ({"Not_Before": "2026-11-21T20:00:00"}, Reason.MALFORMED),
        ({"Not_Before": "2027-11-21T20:00:00Z"}, Reason.MALFORMED),
        ({"Dry_Run": "true"}, Reason.HEADER_UNSUPPORTED),
        ({"payload": b'{"title": "' + b"x" * 1_040_000 + b'"}'}, None),
    ):
        outcome = await house.submit(**given)
        assert (outcome.reason if isinstance(outcome, Failure) else None) is reason, given
    assert len(house.memory.entries) == 1


async def test_what_does_not_fit_a_record_is_refused() -> None:
    """Also when a message of NATS holds it; random bytes cannot be packed."""
    title = base64.b64encode(random.Random(7).randbytes(800_000))
    outcome = await House().submit(b'{"title": "' + title + b'"}')
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.REQUEST_TOO_LARGE


async def test_the_same_call_submitted_twice_is_one() -> None:
    """A caller whose answer was lost sends it again with its id; two words run it once."""
    house = House([OK])
    assert await house.taken(Call_Id=ID) == await house.taken(Call_Id=ID)
    async with house.serving():
        await until(lambda: house.results and not house.in_flight)
        house.queue.say_again()  # the second word, if it came while the first one's call ran
        await until(lambda: len(house.results) >= 2)
    assert isinstance(house.script, ScriptedSender)
    assert len(house.script.sent) == 1
    assert await house.taken(Call_Id=ID) == ID  # when it has ended too


async def test_another_call_with_the_same_id_is_refused() -> None:
    """The id would name two calls."""
    house = House()
    await house.taken(Call_Id=ID)
    outcome = await house.submit(b'{"title": "y"}', Call_Id=ID)
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.CALL_ID_IN_USE


async def test_a_tenant_has_so_much_waiting() -> None:
    """One more is refused, with nothing left of it; another tenant's is taken."""
    house = House(depth=2)
    house.queue.depth = 2
    await house.taken()
    await house.taken()
    outcome = await house.submit(Call_Id=ID)
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.side_effect) == (Reason.TENANT_LIMIT, SideEffect.NONE)
    assert outcome.retry_after is not None
    assert await house.store.read(Place("acme", "alice", ID)) is None
    await house.taken(tenant="globex")


async def test_a_tenant_has_so_much_put_off() -> None:
    """Each takes a place, and there are so many."""
    house = House(depth=3)
    outcomes = [await house.submit(Not_Before="2026-11-22T10:00:00Z") for _ in range(40)]
    refused = [one for one in outcomes if isinstance(one, Failure)]
    assert len(house.queue.later) == len(outcomes) - len(refused) <= 3
    assert {one.reason for one in refused} == {Reason.TENANT_LIMIT}


async def test_a_queue_that_is_away_takes_nothing() -> None:
    """The caller learns that nothing will run, and nothing does."""
    house = House()
    house.queue.away = True
    outcome = await house.submit(Call_Id=ID)
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.side_effect) == (Reason.STORE_UNAVAILABLE, SideEffect.NONE)
    assert await house.store.read(Place("acme", "alice", ID)) is None


async def test_not_before_its_time() -> None:
    """It waits among what comes later, and runs when the time has come."""
    house = House([OK])
    call_id = await house.taken(Not_Before="2026-11-21T11:00:00Z")
    async with house.serving():
        await until(lambda: house.queue.asked > 50)
        assert (house.results, len(house.queue.later)) == ([], 1)
        house.clock.advance(3601)
        await until(lambda: house.results)
    assert await result(house, call_id) == {"id": 1}


async def test_what_is_put_off_is_told_and_runs_later() -> None:
    """A provider that is away: the call waits as long as it says, and the trace knows why."""
    house = House([DOWN, DOWN, DOWN, OK])
    call_id = await house.taken(Timeout_Ms="2000")
    async with house.serving():
        await until(lambda: house.queue.later)
        assert await result(house, call_id) is Reason.IN_PROGRESS
        assert (await seen(house, call_id)).call.why is not None
        assert house.results == []
        await until(
            lambda: (not house.queue.later or moved(house, 5.0)) and house.results
        )  # while it runs, time stands
    assert await result(house, call_id) == {"id": 1}
    assert any("put off" in getattr(event, "why", "") for event in house.trace.events)


async def test_an_outcome_that_nobody_knows_is_not_repeated() -> None:
    """It is the call's result, and a dead letter that is not driven again."""
    house = House([LOST])
    call_id = await house.taken()
    async with house.serving():
        await until(lambda: house.results)
    assert await result(house, call_id) is Reason.OUTCOME_UNKNOWN
    assert house.counts.ended == ["dead"]
    assert isinstance(house.script, ScriptedSender)
    assert len(house.script.sent) == 1


async def test_a_sidecar_that_died_on_the_way() -> None:
    """Another takes the word again; what was done is not done twice, and told from what was kept."""
    house = House([OK])
    call_id = await house.taken()
    async with house.serving():
        await until(lambda: house.results)
    (body, tenant) = (b'{"connection":"alice","call_id":"' + call_id.encode() + b'"}', "acme")
    house.queue.words[tenant].append((body, 1))
    house.durable = house.sidecar()
    async with house.serving():
        await until(lambda: len(house.results) == 2)
    assert isinstance(house.script, ScriptedSender)
    assert len(house.script.sent) == 1


async def test_words_that_no_version_wrote_are_thrown_away() -> None:
    """They would be said again for ever."""
    house = House()
    house.queue.opened.append("acme")
    house.queue.words["acme"] = [(b"?", 0), (b'{"connection":"alice","call_id":"none"}', 3)]
    async with house.serving():
        await until(lambda: house.queue.asked > 10 and not house.queue.words["acme"] and not house.queue.out)
    assert house.results == []


async def test_one_tenant_does_not_hold_up_another() -> None:
    """With hundreds waiting, all of them stuck, another tenant's call runs at once."""
    sender = StuckSender([OK] * 400)
    house = House(sender=sender, most=16)
    for _ in range(300):
        await house.taken(tenant="noisy")
    async with house.serving():
        await until(lambda: sender.waiting >= 2)
        await until(lambda: house.durable.in_flight >= 2)
        before = sender.waiting
        assert before <= 3  # an eighth of 16, and one that was on its way
        await house.taken(tenant="quiet")
        await until(lambda: sender.waiting > before)
        sender.gate.set()
        await until(lambda: any(one.subject.startswith("sidecar.result.quiet.") for one in house.results))


async def test_at_the_end_what_is_not_begun_stays() -> None:
    """What runs is finished; the rest waits for the next sidecar."""
    sender = StuckSender([OK] * 9)
    house = House(sender=sender, most=8)
    for _ in range(5):
        await house.taken()
    async with house.serving():
        await until(lambda: sender.waiting == 1)
        sender.gate.set()
        assert await house.durable.stop(5.0) == 0
        asked, left = house.queue.asked, len(house.queue.words["acme"])
        await anyio.sleep(0.02)  # in which whoever still takes asks some times
        assert house.queue.asked == asked
    assert len(house.results) + left == 5
    assert (left >= 3, house.queue.out) == (True, {})


async def test_what_does_not_end_in_time_is_given_up() -> None:
    """A write that was sent ends as unknown, as its result says."""
    house = House(sender=StuckSender([]), most=8)
    call_id = await house.taken()
    async with house.serving():
        await until(lambda: house.in_flight)
        assert await house.durable.stop(0.0) == 1
    assert await result(house, call_id) is Reason.OUTCOME_UNKNOWN
    (told,) = house.results
    assert told.body["side_effect"] == "unknown"
