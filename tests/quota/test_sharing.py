"""Sidecars on a real nats-server: what one says the others hear, what nobody hears is known, records are fenced."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_streams import provision, required
from sidecar.adapters.system import elapsed
from sidecar.core.quota.event import Event, Get, Heard, Put, Refused, Send, SendAll, Stored, Undelivered
from sidecar.core.quota.limit import Limit, Window
from sidecar.core.quota.message import Beat, Closed, Item, Message, Request, Took
from tests.fixtures_nats import until
from tests.quota.place import Part, Place, placed

pytestmark = pytest.mark.anyio

SHARED = Limit("p|acme|all", "all", (Window(9, 1.0),))


@pytest.fixture
async def place(nats_url: str, bus: NatsBus, fresh_name: str) -> AsyncIterator[Place]:
    await provision(bus, required("sidecar"))
    async with placed(nats_url, fresh_name) as there:
        yield there


async def test_one_hears_what_is_said_to_it(place: Place) -> None:
    """In order, whole, with who said it; nobody else does."""
    a, b, c = [await place.part(name) for name in "abc"]
    said: list[Message] = [Took(3, 7), Beat(3, 1.5, ended=("7f",)), Took(4, 9)]
    for message in said:
        a.sharing.perform(Send("b", message))
    await until(lambda: len(b.heard) == 3)
    assert b.heard == [Heard("a", message) for message in said]
    assert (a.heard, c.heard) == ([], [])


def request(call: str, sent: float, partition: int = 3, late: float = 0.0) -> Request:
    limit = Limit(f"p|acme|{call}", call, (Window(5, 1.0),))
    return Request(partition, sent, (Item(call, ((limit.key, 1),), 2.0),), (limit, SHARED), late, ((f"{call}0", 0.1),))


async def test_what_is_asked_in_one_turn_is_one_message(place: Place) -> None:
    """Of one owner and one partition, in order, each limit once. It counts from the first; another message parts it."""
    a, b, c = [await place.part(name) for name in "abc"]
    first, second, other, last = request("1", 7.0), request("2", 7.5, late=0.1), request("3", 8.0, 4), request("4", 9.0)
    for message in (first, second, other, Took(3, 7), last):
        a.sharing.perform(Send("b", message, certain=True))
    a.sharing.perform(Send("c", last, certain=True))
    await until(lambda: len(b.heard) == 4 and c.heard)
    one = Request(
        3,
        7.0,
        first.items + second.items,
        (first.limits[0], SHARED, second.limits[0]),
        0.1,
        first.begun + second.begun,
    )
    assert b.heard == [Heard("a", message) for message in (one, other, Took(3, 7), last)]
    assert (c.heard, a.sharing.traffic.sent) == ([Heard("a", last)], 5)


async def test_nobody_hears_what_was_asked_in_one_turn(place: Place) -> None:
    """All of it comes back."""
    a = await place.part("a")
    for message in (request("1", 7.0), request("2", 7.5)):
        a.sharing.perform(Send("gone", message, certain=True))
    await until(lambda: a.heard)
    [undelivered] = a.heard
    assert isinstance(undelivered, Undelivered)
    assert isinstance(undelivered.message, Request)
    assert [item.call for item in undelivered.message.items] == ["1", "2"]


async def test_all_hear_but_who_said_it(place: Place) -> None:
    """What one says to all comes to every other one of its tenant, and to no other tenant's."""
    a, b, c = [await place.part(name) for name in "abc"]
    stranger = await place.part("a", f"{place.tenant}2")
    a.sharing.perform(SendAll(Closed(("github|told",), 2.5)))
    await until(lambda: b.heard and c.heard)
    assert b.heard == c.heard == [Heard("a", Closed(("github|told",), 2.5))]
    await a.bus.round_trip(20)
    assert (a.heard, stranger.heard) == ([], [])


async def test_what_nobody_hears_is_known(place: Place) -> None:
    """A message to one who is gone comes back with what it was, at once; the one that was heard does not."""
    a, b = [await place.part(name) for name in "ab"]
    a.sharing.perform(Send("b", Took(1, 1), certain=True))
    a.sharing.perform(Send("gone", Took(2, 1), certain=True))
    a.sharing.perform(Send("gone", Took(3, 1)))
    await until(lambda: a.heard and b.heard)
    await a.bus.round_trip(20)
    assert a.heard == [Undelivered("gone", Took(2, 1))]
    assert b.heard == [Heard("a", Took(1, 1))]


async def test_a_connection_that_ends_is_one_who_is_gone(place: Place) -> None:
    """Who closed its connection hears no more, and the next message to it comes back."""
    a, b = [await place.part(name) for name in "ab"]
    await b.bus.close()
    with anyio.fail_after(20):
        while not a.heard:  # the server may notice a moment later
            a.sharing.perform(Send("b", Took(1, 1), certain=True))
            await a.bus.round_trip(20)
    assert a.heard[0] == Undelivered("b", Took(1, 1))


async def test_what_makes_no_sense_is_counted(place: Place, bus: NatsBus) -> None:
    """Nothing that comes on our subjects ends anything."""
    a = await place.part("a")
    b = await place.part("b")
    for payload in (b"", b"{}", b"[]", b'["x",["gr"]]', b'["x",["new",1]]', b"\xff" * 100):
        bus.publish(f"sidecar.quota.{place.tenant}.all", payload)
    bus.publish(f"sidecar.quota.{place.tenant}.undelivered.a.1", b"")
    await bus.round_trip(20)
    b.sharing.perform(Send("a", Took(1, 1)))
    await until(lambda: a.heard == [Heard("b", Took(1, 1))])
    assert a.sharing.traffic.malformed == 6


async def answer(part: Part, effect: Put | Get) -> Event:
    before = len(part.heard)
    part.sharing.perform(effect)
    await until(lambda: len(part.heard) > before)
    return part.heard[-1]


async def test_a_record_is_taken_once(place: Place) -> None:
    """Of two who claim it one has it; the other learns by whom it was overtaken, and reads who."""
    a, b = [await place.part(name) for name in "ab"]
    key = f"{place.tenant}.own.3"
    took = await answer(a, Put(1, key, b"a", 0, 4))
    assert isinstance(took, Stored)
    assert await answer(b, Put(1, key, b"b", 0, 4)) == Refused(1, took.revision)
    read = await answer(b, Get(2, key))
    assert isinstance(read, Stored)
    assert (read.ticket, read.revision, read.value) == (2, took.revision, b"a")
    renewed = await answer(a, Put(2, key, b"a", took.revision, 4))
    assert isinstance(renewed, Stored)
    assert renewed.revision > took.revision


async def test_a_record_given_up_is_free(place: Place) -> None:
    """A deleted record reads as none, and another sidecar takes it over that revision."""
    a, b = [await place.part(name) for name in "ab"]
    key = f"{place.tenant}.own.4"
    took = await answer(a, Put(1, key, b"a", 0, 4))
    assert isinstance(took, Stored)
    await answer(a, Put(2, key, None, took.revision))
    read = await answer(b, Get(1, key))
    assert isinstance(read, Stored)
    assert read.value is None
    assert isinstance(await answer(b, Put(2, key, b"b", read.revision, 4)), Stored)


async def test_the_age_is_by_the_stores_clock(place: Place) -> None:
    """After a write of our own a record's age is known, and never more than it is."""
    a, b = [await place.part(name) for name in "ab"]
    began = elapsed()
    await answer(a, Put(1, f"{place.tenant}.st.3", b"marks", 0))
    unknown = await answer(b, Get(1, f"{place.tenant}.st.3"))
    assert isinstance(unknown, Stored)
    assert unknown.age is None
    await answer(b, Put(2, f"{place.tenant}.own.3", b"b", 0, 4))
    read = await answer(b, Get(3, f"{place.tenant}.st.3"))
    assert isinstance(read, Stored)
    assert read.age is not None
    assert 0 <= read.age <= elapsed() - began
