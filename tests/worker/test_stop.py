"""The drain: nothing new is taken, what was taken is finished within the grace, the rest is told."""

from __future__ import annotations

import asyncio

import anyio
import httpx
import pytest

from sidecar.ports import HttpSender
from tests.worker.house import House, Letter, Published, StuckSender

pytestmark = pytest.mark.anyio

READ = "sidecar.read.default.default.acme.items.get"
WRITE = "sidecar.write.default.default.acme.items.create"


async def busy(*subjects: str) -> tuple[House, StuckSender]:
    """A house with one call in flight for each subject."""
    sender = StuckSender([httpx.Response(200, json={"id": 1}) for _ in subjects])
    house = House(sender)
    await house.start()
    for number, subject in enumerate(subjects):
        payload = b'{"title": "x"}' if subject == WRITE else b'{"id": "7"}'
        house.bus.hand_in(Letter(subject, payload, reply=f"_INBOX.{number}"))
    await house.settled()
    assert sender.waiting == len(subjects)
    return house, sender


async def test_what_is_in_flight_is_finished() -> None:
    """Subscriptions end first, then the calls; nobody is given up who ends in time."""
    house, sender = await busy(READ, WRITE)
    given_up: list[int] = []

    async def stop() -> None:
        given_up.append(await house.worker.stop(30))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        await house.settled()
        assert [line.subject for line in house.bus.lines if not line.drained] == ["sidecar.cancel.*.*.*"]
        assert house.bus.hand_in(Letter(READ, b'{"id": "8"}')) == 0
        assert house.bus.published == []
        sender.gate.set()
    assert given_up == [0]
    assert all(line.drained for line in house.bus.lines)
    assert sorted(reply.subject for reply in house.bus.published) == ["_INBOX.0", "_INBOX.1"]
    assert [reply.body for reply in house.bus.published] == [{"id": 1}] * 2


async def test_what_was_received_during_the_drain_is_answered() -> None:
    """A subscription hands over what had come already; that is answered too, with one reply."""
    house, sender = await busy(READ)
    line = next(line for line in house.bus.lines if line.takes(READ))

    async def drain() -> None:
        line.callback(Letter(READ, b'{"id": "8"}', reply="_INBOX.late"))
        line.drained = True

    line.drain = drain  # type: ignore[method-assign]  # what a client had buffered
    sender.answers.append(httpx.Response(200, json={"id": 2}))
    sender.gate.set()
    assert await house.worker.stop(30) == 0
    assert {name: reply.body for name, reply in replies(house).items()} == {
        "_INBOX.0": {"id": 1},
        "_INBOX.late": {"id": 2},
    }


def replies(house: House) -> dict[str, Published]:
    found = {reply.subject: reply for reply in house.bus.published}
    assert len(found) == len(house.bus.published), "a call got two replies"
    return found


async def test_what_does_not_end_in_time_is_given_up() -> None:
    """One reply each: a write's end is unknown, by its code too, and it may not be sent again as it is; a read changed
    nothing, and is what an unavailable service answers.
    """
    house, _ = await busy(READ, WRITE)
    assert await house.worker.stop(0.01) == 2
    told = replies(house)
    read, write = told["_INBOX.0"].body, told["_INBOX.1"].body
    assert (read["reason"], read["code"]) == ("SHUTTING_DOWN", "UNAVAILABLE")
    assert (write["reason"], write["code"]) == ("OUTCOME_UNKNOWN", "UNKNOWN")
    assert "shuts down" in write["detail"]
    assert (write["side_effect"], write["retryable"]) == ("unknown", False)
    assert (read["side_effect"], read["retryable"]) == ("none", True)
    assert write["call_id"]
    outcomes = {event.outcome for event in house.trace.events if hasattr(event, "outcome")}
    assert outcomes == {"SHUTTING_DOWN", "OUTCOME_UNKNOWN"}
    assert house.worker.in_flight == 0


async def test_an_idle_worker_stops_at_once() -> None:
    """However long the grace is."""
    house = House()
    await house.start()
    with anyio.fail_after(5):
        assert await house.worker.stop(600) == 0


async def test_in_a_hurry() -> None:
    """However long the grace is, what is in flight is given up and told at once."""
    house, _ = await busy(READ, WRITE)
    given_up: list[int] = []

    async def stop() -> None:
        given_up.append(await house.worker.stop(600))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        await house.settled()
        assert house.bus.published == []
        house.worker.hurry()
        await house.settled()
        assert given_up == [2]
    assert {reply.body["reason"] for reply in replies(house).values()} == {"SHUTTING_DOWN", "OUTCOME_UNKNOWN"}


async def test_in_a_hurry_from_the_start() -> None:
    """The grace is none where hurry was asked for before."""
    house, _ = await busy(READ)
    house.worker.hurry()
    with anyio.fail_after(30):
        assert await house.worker.stop(600) == 1


class DeafSender(HttpSender):
    """Does not end when it is told to, for a while."""

    def __init__(self) -> None:
        self.told = 0

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response:
        del request, deadline, max_body
        while self.told < 2:
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                self.told += 1
        raise asyncio.CancelledError

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_what_does_not_hear_is_ended_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """The end does not wait for it longer than a second or two; it has its one reply, and the gauge is right."""
    house = House(DeafSender())
    await house.start()
    house.bus.hand_in(Letter(WRITE, b'{"title": "x"}'))
    await house.settled()
    house.worker.hurry()
    with anyio.fail_after(30):
        assert await house.worker.stop(600) == 1
    [reply] = house.bus.published
    assert (reply.body["reason"], reply.body["side_effect"]) == ("OUTCOME_UNKNOWN", "unknown")
    assert house.worker.in_flight == 0
    assert house.counts.levels == [1, 0]
    assert "could not be ended" in caplog.text


async def test_what_comes_when_all_is_over_is_refused() -> None:
    """A message that was under way when the end was hurried: told at once, as what may be sent again."""
    house = House()
    await house.start()
    house.worker.hurry()
    reply = await house.ask(WRITE, b'{"title": "x"}')
    assert (reply.body["reason"], reply.body["side_effect"], reply.body["retryable"]) == ("SHUTTING_DOWN", "none", True)
    assert house.counts.refusals == ["shutting_down"]


async def test_an_operator_is_told_too() -> None:
    """What is no call ends with a reply as well: what it did is not known."""
    house = House(StuckSender([]))
    await house.start()
    hang = anyio.Event()

    async def hanging(*_: object) -> None:
        await hang.wait()

    house.administrator.answer = hanging  # type: ignore[assignment,method-assign]  # a store that does not answer
    house.bus.hand_in(Letter("sidecar.admin.default.default.acme.disable"))
    await house.settled()
    assert await house.worker.stop(0) == 1
    [reply] = house.bus.published
    assert (reply.body["reason"], reply.body["side_effect"]) == ("SHUTTING_DOWN", "unknown")


async def test_told_before_it_began() -> None:
    """Taken in, and the end comes before its first step: it has its reply all the same."""
    house = House(StuckSender([]))
    await house.start()
    house.bus.hand_in(Letter(WRITE, b'{"title": "x"}'))
    with anyio.fail_after(30):
        assert await house.worker.stop(0) == 1
    [reply] = house.bus.published
    assert (reply.body["reason"], reply.body["side_effect"]) == ("OUTCOME_UNKNOWN", "unknown")
