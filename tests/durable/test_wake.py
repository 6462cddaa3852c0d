"""Durable calls whose words are gone are woken; what waits its turn or has ended is left."""

from __future__ import annotations

import pytest

from sidecar import wake
from tests.durable.house import OK, House, until

pytestmark = pytest.mark.anyio

SOON = "2026-11-21T12:05:00Z"


async def forgotten(house: House, number: int = 1) -> None:
    """So many calls were put off, and somebody emptied the stream of later work."""
    for _ in range(number):
        await house.taken(Not_Before=SOON)
        assert house.queue.later
        house.queue.later.clear()


async def test_a_call_whose_word_is_gone_runs() -> None:
    """Ten minutes after its time, without anybody driving it again."""
    house = House([OK], sweep_seconds=0.01)
    await forgotten(house)
    house.clock.advance(24 * 3600)
    async with house.serving():
        await until(lambda: house.results)
    assert house.results[0].body == {"id": 1}


async def test_whose_time_has_not_come_waits_on() -> None:
    """Nor is anything said of what waits for a little, or has ended."""
    house = House([OK])
    await house.taken()
    async with house.serving():
        await until(lambda: house.results)
    await forgotten(house)
    assert await house.forgotten.wake("acme") == 0
    assert house.queue.words["acme"] == []


async def test_a_sweep_says_few_words() -> None:
    """Those that follow are the next one's, and after the last it begins anew."""
    house = House(depth=1_000)
    await forgotten(house, wake.MOST_WOKEN + 10)
    house.clock.advance(24 * 3600)
    assert [await house.forgotten.wake("acme") for _ in range(3)] == [wake.MOST_WOKEN, 10, wake.MOST_WOKEN]
    said = [body for body, _ in house.queue.words["acme"]]
    assert len(set(said)) == wake.MOST_WOKEN + 10


async def test_a_full_queue_takes_no_more() -> None:
    """What could not be said is tried again by the next sweep."""
    house = House(depth=1_000)
    await forgotten(house, 5)
    house.clock.advance(24 * 3600)
    house.queue.depth = 3
    assert await house.forgotten.wake("acme") == 3
    house.queue.words["acme"].clear()
    assert await house.forgotten.wake("acme") == 3
