"""Many callers at once: who begins, who waits, who is refused; and that each has its one reply."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import httpx
import pytest

from sidecar.gate import Admission
from sidecar.model import Reason
from sidecar.wire.event import Finished, Wait
from tests.worker.house import House, Letter, StuckSender

pytestmark = pytest.mark.anyio

READ = "sidecar.read.{}.default.acme.items.get"
ID = "018f0000-0000-7000-8000-000000000001"
NO_CREDENTIAL = "NO_CREDENTIAL"


def letter(number: int, tenant: str = "default", **headers: str) -> Letter:
    return Letter(READ.format(tenant), b'{"id": "7"}', reply=f"_INBOX.{number}", headers=headers or None)


def full(most: int = 1, **also: Any) -> tuple[House, StuckSender]:
    """A house that has room for so many calls at once, each of which hangs until the gate is opened."""
    sender = StuckSender([httpx.Response(200, json={"id": 1}) for _ in range(1_000)])
    return House(sender, admission=Admission(max_in_flight=most, **also)), sender


def answers(house: House) -> dict[str, str]:
    """What each inbox got: a reason, or `ok`."""
    found = {reply.subject: reply.body.get("reason", "ok") for reply in house.bus.published}
    assert len(found) == len(house.bus.published)
    return found


async def test_who_waits_has_its_turn_and_it_is_told() -> None:
    """The second call begins when the first has ended; the trace says for how long it waited."""
    house, sender = full()
    await house.start()
    for number in range(2):
        house.bus.hand_in(letter(number))
    await house.settled()
    assert sender.waiting == 1
    house.clock.advance(2)
    sender.gate.set()
    await house.settled()
    assert answers(house) == {"_INBOX.0": "ok", "_INBOX.1": "ok"}
    [wait] = [event for event in house.trace.events if isinstance(event, Wait)]
    assert (wait.seconds, wait.bucket) == (2.0, None)


async def test_a_deadline_passes_in_the_line() -> None:
    """Who waited too long is told so, nothing is sent for it, and it has its end in the trace."""
    house, sender = full()
    await house.start()
    house.bus.hand_in(letter(0))
    house.bus.hand_in(letter(1, **{"Timeout-Ms": "1500"}))
    await house.settled()
    house.clock.advance(2)
    sender.gate.set()
    await house.settled()
    assert answers(house) == {"_INBOX.0": "ok", "_INBOX.1": "BEFORE_SEND"}
    assert len(sender.sent) == 1
    ends = [event.outcome for event in house.trace.events if isinstance(event, Finished)]
    assert sorted(ends) == ["BEFORE_SEND", "ok"]


async def test_a_deadline_is_kept_though_nobody_moves() -> None:
    """While everything else hangs, whoever waits is answered when its time is over."""
    house, _ = full()
    await house.start()
    house.bus.hand_in(letter(0))
    house.bus.hand_in(letter(1, **{"Timeout-Ms": "20"}))
    with anyio.fail_after(30):
        while not house.bus.published:  # noqa: ASYNC110  # nothing says when, and that is the point
            await asyncio.sleep(0.01)
    assert answers(house) == {"_INBOX.1": "BEFORE_SEND"}


async def test_who_waits_can_be_cancelled() -> None:
    """Also before it was ever looked at; its place is free then."""
    house, sender = full(max_waiting=21)
    await house.start()
    for number in (0, *range(100, 120)):
        house.bus.hand_in(letter(number))
    house.bus.hand_in(letter(1, **{"Call-Id": ID}))
    house.bus.hand_in(Letter(f"sidecar.cancel.default.default.{ID}", reply="_INBOX.canceller"))
    await house.settled()
    found = {reply.subject: reply.body for reply in house.bus.published}
    assert found["_INBOX.1"]["reason"] == Reason.CANCELLED_BY_CALLER
    assert found["_INBOX.1"]["side_effect"] == "none"
    assert found["_INBOX.canceller"]["cancelled"] is True
    house.bus.hand_in(letter(2))
    sender.gate.set()
    await house.settled()
    assert answers(house)["_INBOX.2"] == "ok"
    assert len(sender.sent) == 22


async def test_one_tenant_leaves_room_for_others() -> None:
    """What is too much of one is refused with its own reason; another one's call is under way at once."""
    house, sender = full(8, max_per_tenant=2, max_waiting=3)
    await house.start()
    for number in range(10):
        house.bus.hand_in(letter(number))
    house.bus.hand_in(letter(10, "other"))
    await house.settled()
    found = answers(house)
    assert [found.pop(f"_INBOX.{number}") for number in range(5, 10)] == ["TENANT_LIMIT"] * 5
    assert found == {"_INBOX.10": NO_CREDENTIAL}  # it has none: it was looked at
    assert sender.waiting == 2
    assert house.counts.refusals == ["tenant_limit"] * 5


async def test_ten_thousand_at_a_stuck_sidecar() -> None:
    """Each has a reply or a place; what is refused is refused before anybody who came before it is answered."""
    house, sender = full(100, max_waiting=50)
    await house.start()
    for number in range(10_000):
        house.bus.hand_in(letter(number))
    for _ in range(15):
        await house.settled()
    found = answers(house)
    assert set(found.values()) == {"QUEUE_FULL"}
    assert len(found) == 10_000 - 150
    assert house.counts.refusals == ["queue_full"] * len(found)
    sender.gate.set()
    await house.settled()
    assert sorted(set(answers(house).values())) == ["QUEUE_FULL", "ok"]
    assert len(house.bus.published) == 10_000


@pytest.mark.parametrize("who", ["the call under way", "the call in the line"])
async def test_who_was_refused_is_let_in_when_there_is_room(who: str) -> None:
    """A refusal holds for as long as nothing changes: not longer than until any other call is gone."""
    house, sender = full(max_waiting=1)
    await house.start()
    for number in range(4):
        house.bus.hand_in(letter(number, **{"Call-Id": f"{ID[:-1]}{number}"}))
    await house.settled()
    assert answers(house) == {"_INBOX.2": Reason.QUEUE_FULL, "_INBOX.3": Reason.QUEUE_FULL}
    if who == "the call under way":
        sender.gate.set()
    else:
        house.bus.hand_in(Letter(f"sidecar.cancel.default.default.{ID[:-1]}1", b"", reply="_INBOX.cancel"))
    await house.settled()
    house.bus.hand_in(letter(4))
    sender.gate.set()
    await house.settled()
    assert answers(house)["_INBOX.4"] == "ok"


async def test_who_was_refused_is_let_in_where_nobody_waits() -> None:
    """Nobody's turn comes when the call under way has ended; there is room all the same."""
    house, sender = full(max_waiting=0)
    await house.start()
    for number in range(2):
        house.bus.hand_in(letter(number))
        await house.settled()
    sender.gate.set()
    await house.settled()
    house.bus.hand_in(letter(2))
    await house.settled()
    assert answers(house) == {"_INBOX.0": "ok", "_INBOX.1": Reason.QUEUE_FULL, "_INBOX.2": "ok"}


async def test_another_tenant_is_asked_for_itself() -> None:
    """That one is refused says nothing of another."""
    house, sender = full(2, max_per_tenant=1, max_waiting=0)
    await house.start()
    for number in range(3):
        house.bus.hand_in(letter(number))
    house.bus.hand_in(letter(3, "acme"))
    sender.gate.set()
    await house.settled()
    told = answers(house)
    assert (told["_INBOX.1"], told["_INBOX.2"], told["_INBOX.3"]) == (
        Reason.TENANT_LIMIT,
        Reason.TENANT_LIMIT,
        NO_CREDENTIAL,
    )


async def test_who_waits_when_the_sidecar_ends() -> None:
    """Within the grace it has its turn; past it each is told that the sidecar ends, seated or not."""
    house, sender = full(max_waiting=50)
    await house.start()
    for number in range(30):
        house.bus.hand_in(letter(number))
    house.bus.hand_in(Letter("sidecar.catalog.default.providers", reply="_INBOX.30"))
    await asyncio.sleep(0)
    assert await house.worker.stop(0) > 0
    found = answers(house)
    assert set(found.values()) == {"SHUTTING_DOWN"}
    assert len(found) == 31
    assert sender.sent == []


async def test_who_waits_is_finished_within_the_grace() -> None:
    """The end waits for those who wait."""
    house, sender = full(max_waiting=50)
    await house.start()
    for number in range(30):
        house.bus.hand_in(letter(number))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.worker.stop, 600)
        await house.settled()
        sender.gate.set()
    assert set(answers(house).values()) == {"ok"}
    assert len(sender.sent) == 30
