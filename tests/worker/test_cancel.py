"""A cancel ends the call that it names: the call has its one reply, the canceller hears what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import anyio
import httpx
import pytest

from sidecar.gate import Admission
from sidecar.model import Failure
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.wire.event import Finished
from tests.worker.house import House, Letter, Published, StuckSender

pytestmark = pytest.mark.anyio

READ = "sidecar.read.default.default.acme.items.get"
WRITE = "sidecar.write.default.default.acme.items.create"
PAYLOADS = {READ: b'{"id": "7"}', WRITE: b'{"title": "x"}'}
ID, OTHER_ID = "0190a8b0-1234-7abc-8def-0123456789ab", "0190a8b0-1234-7abc-8def-0123456789ac"
CANCEL = f"sidecar.cancel.default.default.{ID}"


def call(subject: str, *, inbox: str = "_INBOX.call", call_id: str = ID) -> Letter:
    return Letter(subject, PAYLOADS[subject], reply=inbox, headers={"Call-Id": call_id})


async def busy(*letters: Letter, answers: Iterable[httpx.Response | Failure] = ()) -> tuple[House, StuckSender]:
    """A house with these calls in flight, their requests on their way."""
    sender = StuckSender(answers)
    house = House(sender)
    await house.start()
    for letter in letters:
        house.bus.hand_in(letter)
    await house.settled()
    assert sender.waiting == len(letters)
    return house, sender


def replies(house: House) -> dict[str, Published]:
    found = {reply.subject: reply for reply in house.bus.published}
    assert len(found) == len(house.bus.published), "somebody got two replies"
    return found


@pytest.mark.parametrize(("subject", "side_effect"), [(READ, "none"), (WRITE, "unknown")])
async def test_a_call_in_flight_is_cancelled(subject: str, side_effect: str) -> None:
    """One reply each: of the call, with what is true of the provider's side; of the cancel, with the same."""
    house, _ = await busy(call(subject))
    house.bus.hand_in(Letter(CANCEL, reply="_INBOX.canceller"))
    await house.settled()
    told = replies(house)
    assert set(told) == {"_INBOX.call", "_INBOX.canceller"}
    body = told["_INBOX.call"].body
    assert (body["reason"], body["code"], body["status"]) == ("CANCELLED_BY_CALLER", "CANCELLED", 499)
    assert (body["side_effect"], body["retryable"], body["attempts"], body["call_id"]) == (side_effect, False, 1, ID)
    assert told["_INBOX.canceller"].body == {
        "call_id": ID,
        "cancelled": True,
        "outcome": "CANCELLED_BY_CALLER",
        "side_effect": side_effect,
    }
    [finished] = [event for event in house.trace.events if isinstance(event, Finished)]
    assert (finished.outcome, finished.side_effect) == ("CANCELLED_BY_CALLER", side_effect)
    assert "cancel" in finished.why[-1]


async def test_the_gauge_and_the_counters_are_right() -> None:
    """Nothing is in flight any more; the endpoints count the call as an error and the cancel as none."""
    house, _ = await busy(call(WRITE))
    house.bus.hand_in(Letter(CANCEL))
    await house.settled()
    assert house.worker.in_flight == 0
    assert house.counts.levels == [1, 0]
    assert house.counts.refusals == []
    counted = {item.name: (item.num_requests, item.last_error) for item in house.service.endpoints}
    assert counted["write_acme"] == (1, "CANCELLED_BY_CALLER")
    assert counted["cancel"] == (1, "")


async def test_the_others_go_on() -> None:
    """A cancel names one call, of one tenant and connection."""
    house, sender = await busy(
        call(READ),
        call(READ, inbox="_INBOX.other", call_id=OTHER_ID),
        answers=[httpx.Response(200, json={"id": 1})],
    )
    house.bus.hand_in(Letter(CANCEL))
    await house.settled()
    assert house.worker.in_flight == 1
    sender.gate.set()
    await house.settled()
    assert replies(house)["_INBOX.other"].body == {"id": 1}


@pytest.mark.parametrize(
    "subject",
    [
        f"sidecar.cancel.default.default.{OTHER_ID}",
        f"sidecar.cancel.other.default.{ID}",
        f"sidecar.cancel.default.other.{ID}",
    ],
)
async def test_what_is_not_held_here_gets_no_reply(subject: str) -> None:
    """Another id, another tenant's, another connection's: another sidecar may hold it, and the call here goes on."""
    house, _ = await busy(call(WRITE))
    assert house.bus.hand_in(Letter(subject)) == 1
    await house.settled()
    assert (house.bus.published, house.worker.in_flight, house.counts.refusals) == ([], 1, [])


@pytest.mark.parametrize(
    "subject",
    [
        "sidecar.cancel.default.default.7",
        f"sidecar.cancel.default.default.{ID}x",
        f"sidecar.cancel.-.default.{ID}",
        f"sidecar.cancel.default.-.{ID}",
        f"sidecar.cancel.de%66ault.default.{ID}",
        f"sidecar.cancel..default.{ID}",
    ],
)
async def test_what_is_malformed_gets_no_reply(subject: str) -> None:
    """Every sidecar hears it, so each would reply; no call has such a name, so silence is the truth. It is counted."""
    house, _ = await busy(call(WRITE))
    assert house.bus.hand_in(Letter(subject)) == 1
    await house.settled()
    assert (house.bus.published, house.worker.in_flight) == ([], 1)
    assert house.counts.refusals == ["malformed"]


async def test_a_call_that_has_ended_gets_no_reply() -> None:
    """Nobody holds it any more."""
    house = House(ScriptedSender([httpx.Response(200, json={"id": 1})]))
    await house.start()
    house.bus.hand_in(call(READ))
    await house.settled()
    house.bus.hand_in(Letter(CANCEL, reply="_INBOX.canceller"))
    await house.settled()
    assert set(replies(house)) == {"_INBOX.call"}


async def test_the_id_in_capitals_is_the_same_id() -> None:
    """On either side: hexadecimal digits have no case."""
    house, _ = await busy(call(READ, call_id=ID.upper()))
    house.bus.hand_in(Letter(f"sidecar.cancel.default.default.{ID.upper()}", reply="_INBOX.canceller"))
    await house.settled()
    assert replies(house)["_INBOX.canceller"].body["cancelled"] is True


async def test_without_a_reply_subject_it_is_obeyed() -> None:
    """The call's own reply tells that it was."""
    house, _ = await busy(call(READ))
    house.bus.hand_in(Letter(CANCEL, reply=""))
    await house.settled()
    assert replies(house)["_INBOX.call"].body["reason"] == "CANCELLED_BY_CALLER"
    assert set(replies(house)) == {"_INBOX.call"}


async def test_a_reply_subject_that_is_no_inbox() -> None:
    """Nothing is published there, and nothing is cancelled."""
    house, _ = await busy(call(READ))
    house.bus.hand_in(Letter(CANCEL, reply="sidecar.write.default.default.acme.items.create"))
    await house.settled()
    assert (house.bus.published, house.worker.in_flight) == ([], 1)
    assert house.counts.refusals == ["reply_subject"]


async def test_right_behind_its_call() -> None:
    """Both in one read of the socket: the cancel finds the call, which ends with its reply."""
    house = House(StuckSender([]))
    await house.start()
    house.bus.hand_in(call(WRITE))
    house.bus.hand_in(Letter(CANCEL, reply="_INBOX.canceller"))
    await house.settled()
    told = replies(house)
    assert told["_INBOX.call"].body["reason"] == "CANCELLED_BY_CALLER"
    assert told["_INBOX.canceller"].body["cancelled"] is True
    assert house.worker.in_flight == 0


async def test_cancelled_twice() -> None:
    """Both cancellers hear the same; the call has one reply."""
    house, _ = await busy(call(WRITE))
    for inbox in ("_INBOX.one", "_INBOX.two"):
        house.bus.hand_in(Letter(CANCEL, reply=inbox))
    await house.settled()
    told = replies(house)
    assert set(told) == {"_INBOX.call", "_INBOX.one", "_INBOX.two"}
    assert told["_INBOX.one"].body == told["_INBOX.two"].body


class CancelledInTheSameTurn(ScriptedSender):
    """The answer comes in the turn of the loop in which the call is told to stop, right before that takes effect."""

    house: House

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        answer = await super().send(request, deadline=deadline, max_body=max_body)
        self.house.bus.hand_in(Letter(CANCEL, reply="_INBOX.canceller"))
        for _ in range(TURNS_OF_A_CANCEL):
            await asyncio.sleep(0)
        return answer


TURNS_OF_A_CANCEL = 2  # until the call that it names is looked for


@pytest.mark.parametrize(
    ("subject", "answer", "outcome", "side_effect"),
    [
        (READ, httpx.Response(200, json={"id": 1}), "ok", "none"),
        (WRITE, httpx.Response(200, json={"id": 1}), "ok", "done"),
        (WRITE, httpx.Response(404, json={}), "PROVIDER_NOT_FOUND", "none"),
    ],
)
async def test_too_late(subject: str, answer: httpx.Response, outcome: str, side_effect: str) -> None:
    """The answer is there: the call ends as it would have, and the canceller hears how."""
    sender = CancelledInTheSameTurn([answer])
    house = sender.house = House(sender)
    await house.start()
    house.bus.hand_in(call(subject))
    await house.settled()
    told = replies(house)
    assert told["_INBOX.call"].body == ({"id": 1} if outcome == "ok" else told["_INBOX.call"].body)
    assert told["_INBOX.call"].body.get("reason", "ok") == outcome
    assert told["_INBOX.canceller"].body == {
        "call_id": ID,
        "cancelled": False,
        "outcome": outcome,
        "side_effect": side_effect,
    }


async def test_a_full_sidecar_still_hears_cancels() -> None:
    """Then most of all: a cancelled call makes room."""
    sender = StuckSender([httpx.Response(200, json={"id": 1})])
    house = House(sender, admission=Admission(max_in_flight=1))
    await house.start()
    house.bus.hand_in(call(READ))
    await house.settled()
    house.bus.hand_in(Letter(CANCEL, reply="_INBOX.canceller"))
    await house.settled()
    assert replies(house)["_INBOX.canceller"].body["cancelled"] is True
    sender.gate.set()
    assert (await house.ask(READ, PAYLOADS[READ])).body == {"id": 1}


async def test_while_the_sidecar_ends() -> None:
    """Whoever waits for the end of the grace can still be cancelled; the end is not held up by it."""
    house, _ = await busy(call(WRITE))
    given_up: list[int] = []

    async def stop() -> None:
        given_up.append(await house.worker.stop(600))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            await house.settled()
            assert house.bus.hand_in(Letter(CANCEL, reply="_INBOX.canceller")) == 1
    assert given_up == [0]
    assert replies(house)["_INBOX.call"].body["reason"] == "CANCELLED_BY_CALLER"


async def test_many_at_once() -> None:
    """Two hundred calls, each cancelled: two replies for each, and nothing is left."""
    ids = [f"0190a8b0-1234-7abc-8def-{number:012x}" for number in range(200)]
    house, _ = await busy(*(call(WRITE, inbox=f"_INBOX.call.{name}", call_id=name) for name in ids))
    for name in ids:
        house.bus.hand_in(Letter(f"sidecar.cancel.default.default.{name}", reply=f"_INBOX.cancel.{name}"))
    await house.settled()
    told = replies(house)
    assert len(told) == 2 * len(ids)
    assert all(told[f"_INBOX.call.{name}"].body["call_id"] == name for name in ids)
    assert all(told[f"_INBOX.cancel.{name}"].body["cancelled"] for name in ids)
    assert house.worker.in_flight == 0
    assert house.counts.levels[-1] == 0


# --- two calls under one id ------------------------------------------------------------------------------------------


async def test_an_id_in_flight_is_refused() -> None:
    """Before anything is sent, and not as something to repeat: a call sent again would be done twice."""
    house, sender = await busy(call(WRITE), answers=[httpx.Response(200, json={"id": 1})])
    house.bus.hand_in(call(WRITE, inbox="_INBOX.again"))
    await house.settled()
    refused = replies(house)["_INBOX.again"].body
    assert (refused["code"], refused["reason"]) == ("INVALID_ARGUMENT", "CALL_ID_IN_USE")
    assert (refused["retryable"], refused["side_effect"], refused["attempts"]) == (False, "none", 0)
    assert CANCEL in refused["hint"]
    assert house.counts.refusals == ["call_id_in_use"]
    sender.gate.set()
    await house.settled()
    assert replies(house)["_INBOX.call"].body == {"id": 1}
    assert len(sender.sent) == 1


@pytest.mark.parametrize("other", ["sidecar.read.other.default.acme.items.get", "sidecar.read.default.other.acme.x"])
async def test_the_same_id_of_somebody_else_is_another_call(other: str) -> None:
    """Ids are a connection's own: nobody can block another one's calls with them."""
    house, _ = await busy(call(WRITE))
    house.bus.hand_in(Letter(other, PAYLOADS[READ], reply="_INBOX.other", headers={"Call-Id": ID}))
    await house.settled()
    assert replies(house)["_INBOX.other"].body["reason"] in {"NO_CREDENTIAL", "UNKNOWN_OPERATION"}


async def test_an_id_may_come_again_when_its_call_has_ended() -> None:
    """Also after it failed or was cancelled."""
    house, sender = await busy(call(READ), answers=[httpx.Response(200, json={"id": 1})])
    house.bus.hand_in(Letter(CANCEL))
    await house.settled()
    sender.gate.set()
    assert (await house.ask(READ, PAYLOADS[READ], headers={"Call-Id": ID})).body == {"id": 1}


@pytest.mark.parametrize("wrong", ["", "7", ID[:-1], ID.replace("-", ""), f"{ID}\n{ID}", "x" * 100_000])
async def test_an_id_is_a_uuid(wrong: Any) -> None:
    """Anything else is refused: it would be a token of a subject."""
    house = House()
    await house.start()
    reply = await house.ask(READ, PAYLOADS[READ], headers={"Call-Id": wrong})
    assert reply.body["reason"] == "MALFORMED"
    assert len(reply.payload) < 2_000
