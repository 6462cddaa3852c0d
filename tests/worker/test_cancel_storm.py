"""Calls cancelled at every stage, through the real sender: what each is told is true, and nothing is left over."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from tests.sender.servers import LOOPBACK, Served, resolve_to_loopback, serving
from tests.worker.house import House, Letter, Published

pytestmark = pytest.mark.anyio

WRITE = "sidecar.write.default.default.acme.items.create"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"id":1}'
CALLS = 1_500
AT_ONCE = 50
STAGES = 40  # turns of the loop within which a call here passes through all its stages
SLOTS = 16


async def unhurried(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers in two parts with a turn of the loop between them."""
    while True:
        await served.request(reader)
        for part in (ANSWER[:20], ANSWER[20:]):
            await asyncio.sleep(0)
            writer.write(part)


def call_id(number: int) -> str:
    return f"0190a8b0-1234-7abc-8def-{number:012x}"


def letter(number: int) -> Letter:
    title = msgspec.json.encode({"title": call_id(number)})
    return Letter(WRITE, title, reply=f"_INBOX.call.{number}", headers={"Call-Id": call_id(number)})


async def until_idle(house: House) -> None:
    while house.worker.in_flight:
        await house.settled()
    await house.settled()


async def storm(house: House) -> None:
    """Calls side by side, each cancelled after another number of turns of the loop."""
    loop = asyncio.get_running_loop()

    async def cancelled(number: int) -> None:
        house.bus.hand_in(letter(number))
        for _ in range(number * 7 % STAGES):
            await asyncio.sleep(0)
        cancel = f"sidecar.cancel.default.default.{call_id(number)}"
        house.bus.hand_in(Letter(cancel, reply=f"_INBOX.cancel.{number}"))

    for start in range(0, CALLS, AT_ONCE):
        await asyncio.gather(*(loop.create_task(cancelled(number)) for number in range(start, start + AT_ONCE)))
        await until_idle(house)


async def test_a_storm_of_cancels() -> None:
    """One reply for each call; none says `nothing was sent` of a request that arrived; later ones succeed."""
    sender = Http1Sender(allow=LOOPBACK, lookup=resolve_to_loopback, per_host=SLOTS, total=SLOTS)
    async with serving(unhurried) as served:
        base_urls = {"acme": served.url.rstrip("/")}
        house = House(sender, base_urls=base_urls, began=asyncio.get_running_loop().time())
        await house.start()
        await storm(house)
        replies = {reply.subject: reply for reply in house.bus.published}
        assert len(replies) == len(house.bus.published)
        calls = [replies[f"_INBOX.call.{number}"].body for number in range(CALLS)]
        arrived = b"".join(served.requests)
        ends: dict[str, int] = {}
        for number, body in enumerate(calls):
            ends[body.get("side_effect", "ok")] = ends.get(body.get("side_effect", "ok"), 0) + 1
            if "reason" in body:
                assert body["reason"] == "CANCELLED_BY_CALLER", body
            if body.get("side_effect") == "none":
                assert call_id(number).encode() not in arrived
            told = replies.get(f"_INBOX.cancel.{number}")
            assert told is None or agrees(told, body)
        assert set(ends) == {"none", "unknown", "ok"}, ends  # the storm met every stage
        assert house.worker.in_flight == 0
        assert house.counts.levels[-1] == 0
        for number in range(CALLS, CALLS + 20 * SLOTS):
            house.bus.hand_in(letter(number))
        await until_idle(house)
        later = house.bus.published[len(replies) :]
        assert [reply.body for reply in later] == [{"id": 1}] * (20 * SLOTS)
    await sender.aclose()


def agrees(cancel: Published, call: dict[str, str]) -> bool:
    """Whether both say the same of the call."""
    said = cancel.body
    if "reason" not in call:
        return (said["cancelled"], said["outcome"], said["side_effect"]) == (False, "ok", "done")
    return (said["cancelled"], said["side_effect"]) == (True, call["side_effect"])
