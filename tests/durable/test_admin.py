"""What operators ask of durable calls."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.model import Failure, Outcome, Reason, SideEffect
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.wire.subject import EVERY, AdminAddress
from tests.durable.house import OK, House, until

pytestmark = pytest.mark.anyio

FORBIDDEN = Failure(reason=Reason.EGRESS_BLOCKED, detail="not to be called")
LOST = Failure(reason=Reason.OUTCOME_UNKNOWN, detail="no answer came", side_effect=SideEffect.UNKNOWN)


async def asked(house: House, connection: str = EVERY, **request: Any) -> Outcome:
    address = AdminAddress("acme", connection, EVERY, "queue")
    return await house.administrator.answer(address, msgspec.json.encode(request))


async def told(house: House, **request: Any) -> Any:
    outcome = await asked(house, **request)
    assert not isinstance(outcome, Failure), outcome
    return msgspec.json.decode(outcome.body)


async def test_a_list() -> None:
    """The newest first, how each stands, and nothing of what was asked."""
    house = House([OK])
    first = await house.taken(b'{"title": "a secret"}')
    async with house.serving():
        await until(lambda: house.results)
    house.clock.advance(1)
    second = await house.taken(Not_Before="2026-11-22T10:00:00Z")
    known = await told(house)
    assert known["total"] == 2
    assert [(one["call_id"], one["stage"]) for one in known["calls"]] == [(second, "waiting"), (first, "done")]
    assert known["calls"][0]["due"] == "2026-11-22T10:00:00.000000Z"
    assert b"secret" not in msgspec.json.encode(known)
    assert [one["call_id"] for one in (await told(house, stage="done"))["calls"]] == [first]
    assert len((await told(house, limit=1))["calls"]) == 1
    assert (await told(house, connection="bob"))["total"] == 0


async def test_a_dead_one_is_driven_again() -> None:
    """It runs as if it were new, and its new end takes the place of the old one."""
    house = House([FORBIDDEN, OK])
    call_id = await house.taken()
    async with house.serving():
        await until(lambda: house.results)
        dead = await told(house, act="show", call_id=call_id)
        assert (dead["stage"], dead["side_effect"]) == ("dead", "none")
        assert dead["why"] == "EGRESS_BLOCKED: not to be called"
        assert (await told(house, act="redrive", call_id=call_id))["stage"] == "waiting"
        await until(lambda: len(house.results) == 2)
    assert (await told(house, act="show", call_id=call_id))["stage"] == "done"
    assert isinstance(house.script, ScriptedSender)
    assert len(house.script.sent) == 2


async def test_what_may_have_happened_is_not_driven_again() -> None:
    """Nor what is done, or what nobody knows."""
    house = House([LOST, OK])
    lost, done = await house.taken(), await house.taken()
    async with house.serving():
        await until(lambda: len(house.results) == 2)
    for call_id, reason in (
        (lost, Reason.VALIDATION),
        (done, Reason.VALIDATION),
        ("0190a8b0-1234-7abc-8def-0123456789ab", Reason.UNKNOWN_CALL),
    ):
        outcome = await asked(house, act="redrive", call_id=call_id)
        assert isinstance(outcome, Failure)
        assert outcome.reason is reason


async def test_one_that_waits_is_woken() -> None:
    """Where its word was lost it waits for ever; what is not due is not run earlier for it."""
    house = House([OK])
    call_id = await house.taken()
    later = await house.taken(Not_Before="2026-11-22T10:00:00Z")
    house.queue.words.clear()
    house.queue.later.clear()
    for one in (call_id, later):
        assert (await told(house, act="redrive", call_id=one))["stage"] == "waiting"
    async with house.serving():
        await until(lambda: house.results and house.queue.later)
    assert (await told(house, act="show", call_id=call_id))["stage"] == "done"
    assert (await told(house, act="show", call_id=later))["stage"] == "waiting"


async def test_one_that_cannot_be_put_in_stays_dead() -> None:
    """A queue that is away leaves it as it was."""
    house = House([FORBIDDEN])
    call_id = await house.taken()
    async with house.serving():
        await until(lambda: house.results)
    house.queue.away = True
    outcome = await asked(house, act="redrive", call_id=call_id)
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.STORE_UNAVAILABLE
    assert (await told(house, act="show", call_id=call_id))["stage"] == "dead"


@pytest.mark.parametrize(
    "request_", [{"act": "drop"}, {"limit": 0}, {"stage": "lost"}, {"who": "me"}, {"act": "show"}, {"act": "redrive"}]
)
async def test_what_makes_no_sense_is_refused(request_: dict[str, Any]) -> None:
    """In words that name the field, or the one that is missing."""
    outcome = await asked(House(), **request_)
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.MALFORMED
    assert ("call_id" if request_.get("act") in ("show", "redrive") else str(*request_)) in outcome.detail
