"""The queue on a real nats-server: its limit, its order, its times, and who has what."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_queue import NatsQueue
from sidecar.adapters.nats_streams import LATER, QUEUE, provision, required
from sidecar.ports import Message, QueueFull, StoreUnavailable, Word
from tests.fixtures_nats import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def queue(empty_bus: NatsBus) -> AsyncIterator[NatsQueue]:
    await provision(empty_bus, required("sidecar", queue_depth=3))
    it = NatsQueue(empty_bus, "sidecar")
    await it.open("acme")
    yield it
    await it.close()


async def taken(queue: NatsQueue, tenant: str = "acme", *, later: bool = False) -> Word:
    word = await queue.take(tenant, later=later, within=30)
    assert word is not None
    return word


async def left(bus: NatsBus, stream: str) -> int:
    reply = await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)
    return int(reply.data.partition(b'"messages":')[2].partition(b",")[0])


async def test_words_are_taken_in_order_and_are_over_when_acknowledged(queue: NatsQueue, empty_bus: NatsBus) -> None:
    """One after the other; what is acknowledged is not said again."""
    for number in range(3):
        await queue.put("acme", b"%d" % number, message_id=f"m{number}")
    words = [await taken(queue) for _ in range(3)]
    assert [(word.body, word.number, word.timely) for word in words] == [(b"%d" % n, 1, False) for n in range(3)]
    for word in words:
        await queue.ack(word)
    assert await left(empty_bus, QUEUE) == 0
    assert await queue.take("acme", later=False, within=0.05) is None


async def test_a_tenant_has_so_many_and_no_more(queue: NatsQueue) -> None:
    """What was taken and is not over counts; a repeated one is the same; other tenants have their own."""
    for number in range(3):
        await queue.put("acme", b"x", message_id=f"m{number}")
    first = await taken(queue)
    with pytest.raises(QueueFull):
        await queue.put("acme", b"x", message_id="m3")
    await queue.put("acme", b"x", message_id="m1")
    await queue.put("globex", b"x", message_id="g")
    await queue.ack(first)
    await queue.put("acme", b"x", message_id="m3")


async def test_what_is_given_back_is_said_at_once(queue: NatsQueue) -> None:
    """And says that it was said before."""
    await queue.put("acme", b"x", message_id="m")
    await queue.give_back(await taken(queue))
    assert (await taken(queue)).number == 2


async def test_a_place_for_later_is_taken_once(queue: NatsQueue, empty_bus: NatsBus) -> None:
    """Until the word that has it is over, also when it was said; tenants have places of their own."""
    assert await queue.put_later("acme", 7, b"first", at=time.time() + 0.3)
    assert not await queue.put_later("acme", 7, b"second", at=time.time() + 0.3)
    assert await queue.put_later("globex", 7, b"another", at=time.time() + 60)
    word = await taken(queue, later=True)
    assert (word.body, word.timely) == (b"first", True)
    assert not await queue.put_later("acme", 7, b"second", at=time.time() + 60)
    await queue.ack(word)
    assert await queue.put_later("acme", 7, b"second", at=time.time() + 60)
    assert await left(empty_bus, LATER) == 2


async def test_what_comes_later_comes_at_its_time(queue: NatsQueue) -> None:
    """Not before; a time that has passed is now."""
    at = time.time() + 0.7
    await queue.put_later("acme", 1, b"later", at=at)
    await queue.put_later("acme", 2, b"now", at=time.time() - 60)
    assert (await taken(queue, later=True)).body == b"now"
    assert (await taken(queue, later=True)).body == b"later"
    assert time.time() >= at


async def test_what_waits_for_its_time_is_said_at_once_where_it_is_asked_for(
    queue: NatsQueue, empty_bus: NatsBus
) -> None:
    """Once, and its place is free when it is over; what another call has there stays as it is."""
    await queue.put_later("acme", 1, b"mine", at=time.time() + 3600)
    await queue.put_later("acme", 2, b"another's", at=time.time() + 3600)
    assert [await queue.say_now("acme", place, b"mine") for place in (2, 3, 1)] == [False, False, True]
    word = await taken(queue, later=True)
    assert (word.body, word.number, word.timely) == (b"mine", 1, True)
    assert not await queue.say_now("acme", 1, b"mine")
    await queue.ack(word)
    assert await queue.take("acme", later=True, within=0.2) is None
    assert await left(empty_bus, LATER) == 1
    assert await queue.put_later("acme", 1, b"next", at=time.time() + 3600)


async def test_another_tenants_schedule_wakes_nobody(queue: NatsQueue, empty_bus: NatsBus) -> None:
    """The server lets a schedule name any subject of its stream; what globex has said at acme's is thrown away."""
    forged = {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "sidecar.later.acme.due.5"}
    reply = await empty_bus.request("sidecar.later.globex.at.5", b"forged", headers=forged, timeout=5)
    assert b'"seq"' in reply.data
    await queue.put_later("acme", 6, b"our own", at=time.time())
    assert (await taken(queue, later=True)).body == b"our own"
    with anyio.fail_after(20):
        while await left(empty_bus, LATER) > 1:  # the forged one is over, ours is not
            assert await queue.take("acme", later=True, within=0.1) is None


async def test_whose_words_there_are(queue: NatsQueue) -> None:
    """Every tenant whose queue was opened, however it is written."""
    await queue.open("alice%40example%2Ecom")
    await queue.open("acme")
    assert sorted(await queue.tenants()) == ["acme", "alice%40example%2Ecom"]


async def test_two_sidecars_never_have_one_word(queue: NatsQueue, empty_bus: NatsBus) -> None:
    """Each word is one sidecar's."""
    other = NatsQueue(empty_bus, "sidecar")
    for number in range(3):
        await queue.put("acme", b"%d" % number, message_id=f"m{number}")
    words = [await taken(queue), await taken(other), await taken(queue)]
    assert sorted(word.body for word in words) == [b"0", b"1", b"2"]
    await other.close()


async def test_words_that_came_and_were_not_taken_are_told(queue: NatsQueue) -> None:
    """At the end they can be given back."""
    assert await queue.take("acme", later=False, within=0.05) is None  # its question stays open
    await queue.put("acme", b"x", message_id="m")
    await anyio.wait_all_tasks_blocked()
    with anyio.fail_after(20):
        while not (words := await queue.close()):
            await queue.take("acme", later=False, within=0)
    assert [word.body for word in words] == [b"x"]


async def test_a_queue_that_is_not_there(empty_bus: NatsBus) -> None:
    """It is away, and says so."""
    queue = NatsQueue(empty_bus, "sidecar")
    for asked in (
        queue.put("acme", b"x", message_id="m"),
        queue.put_later("acme", 1, b"x", at=0),
        queue.open("acme"),
        queue.tenants(),
    ):
        with pytest.raises(StoreUnavailable):
            await asked


@pytest.mark.parametrize("gone", [pytest.param(False, id="while it waits"), pytest.param(True, id="before it asks")])
async def test_a_question_that_is_not_let_wait_is_not_asked_again(
    queue: NatsQueue, empty_bus: NatsBus, gone: bool
) -> None:
    """Where nobody gives words any more, who takes them is told so, and can open what is gone."""
    async with anyio.create_task_group() as group:
        if gone:
            await delete_consumer(empty_bus)
        else:
            group.start_soon(delete_when_asked, empty_bus)
        with pytest.raises(StoreUnavailable, match=r"no word is given: (503|409)"):
            await queue.take("acme", later=False, within=5)
    await queue.open("acme")
    await queue.put("acme", b"x", message_id="m")
    assert (await taken(queue)).body == b"x"


async def test_a_question_that_waited_its_time_is_asked_anew(queue: NatsQueue, empty_bus: NatsBus) -> None:
    """That nothing was there is no fault: who takes words waits on."""
    questions: list[Message] = []
    await empty_bus.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", questions.append)
    patient = NatsQueue(empty_bus, "sidecar", pull_seconds=0.2)
    async with anyio.create_task_group() as group:

        async def put() -> None:
            await until(lambda: len(questions) > 2)
            await patient.put("acme", b"x", message_id="m")

        group.start_soon(put)
        assert (await taken(patient)).body == b"x"
    await patient.close()


async def test_the_end_tells_only_words(queue: NatsQueue, empty_bus: NatsBus) -> None:
    """A consumer that is gone by then does not keep the queue from its end."""
    assert await queue.take("acme", later=False, within=0.05) is None  # its question stays open
    await delete_consumer(empty_bus)
    await empty_bus.round_trip(5)
    assert await queue.close() == []


async def delete_consumer(bus: NatsBus) -> None:
    await bus.request(f"$JS.API.CONSUMER.DELETE.{QUEUE}.acme", b"", timeout=5)


async def delete_when_asked(bus: NatsBus) -> None:
    while b'"num_waiting":1' not in (await bus.request(f"$JS.API.CONSUMER.INFO.{QUEUE}.acme", b"", timeout=5)).data:
        pass
    await delete_consumer(bus)
