"""A link that is bad for a while: what goes on, what is refused, what is counted; and that nothing hangs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import pytest

from sidecar.adapters.nats_bus import BUFFER_BYTES
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.prometheus_metrics import Metrics
from sidecar.ports import BusError, Message, StoreUnavailable
from sidecar.trace.publish import TracePublisher
from tests.fixtures_nats import until
from tests.nats.place import LOGIN, QUICK, place
from tests.nats.proxy import Way

pytestmark = pytest.mark.anyio

FLOOD = 10_000
MEGABYTE = 1024 * 1024


def figures() -> Metrics:
    return Metrics(lambda _provider, _operation: True, "digest")


def value(metrics: Metrics, name: str) -> float:
    found = metrics.registry.get_sample_value(name)
    assert found is not None
    return found


async def test_a_partition_is_noticed_and_survived(tmp_path: Path) -> None:
    """Cut off: not connected in the time of the pace, nothing decided, every request ends; then all works again
    without a restart, and the figures say what happened.
    """
    async with place(tmp_path) as here:
        metrics = figures()
        metrics.watch(here.bus)
        assert value(metrics, "sidecar_nats_up") == 1
        here.proxy.partition()
        began = time.monotonic()
        await until(lambda: not here.bus.connected)
        assert time.monotonic() - began < 15
        assert value(metrics, "sidecar_nats_up") == 0
        await until(lambda: here.bus.counts.heals)
        for _ in range(3):
            with anyio.fail_after(10), pytest.raises(BusError):
                await here.bus.request(f"{here.name}.agent", b"decide", timeout=0.5)
        assert here.bus.counts.reconnects == 0
        here.proxy.release()
        await here.healed()
        assert value(metrics, "sidecar_nats_up") == 1
        assert value(metrics, "sidecar_nats_heals_total") >= 1
        assert value(metrics, "sidecar_nats_reconnects_total") >= 1
        await until(lambda: here.bus.check_seconds)
        assert value(metrics, "sidecar_nats_check_seconds") > 0


async def test_a_request_on_a_dead_link_ends_with_it(tmp_path: Path) -> None:
    """A request that was under way when the link went silent fails when the link is left, long before its own limit."""
    async with place(tmp_path) as here:
        here.proxy.hold(*Way)
        with anyio.fail_after(20), pytest.raises(BusError, match="the connection broke before the reply came"):
            await here.bus.request(f"{here.name}.agent", b"", timeout=300)


async def test_no_write_begins_on_a_link_that_does_not_answer(tmp_path: Path) -> None:
    """Once the link is in doubt `started` counts as not handed over, at once, though the kernel would take it."""
    async with place(tmp_path, replace(QUICK, silent=60.0)) as here:
        trace = TracePublisher(here.bus, "sidecar", figures())
        assert await trace.handed_over()
        here.proxy.hold(*Way)
        await until(lambda: not here.bus.connected)
        assert here.bus._client.is_connected
        with anyio.fail_after(5):
            assert not await trace.handed_over()
        here.proxy.release()
        await until(lambda: here.bus.connected)  # a late answer is an answer
        assert await trace.handed_over()
        assert here.bus.counts.heals == 0


async def test_what_was_in_flight_when_the_server_died_is_counted(tmp_path: Path) -> None:
    """Replies given to a connection that broke count as lost: never more than were given, never none in silence. What
    waited with us is carried to the next connection and does not count.
    """
    async with place(tmp_path, replace(QUICK, check=30.0, silent=30.0)) as here:
        received: list[Message] = []
        await here.agent.subscribe(f"{here.name}.replies", received.append)
        await here.agent.round_trip(10)
        await here.bus.round_trip(10)
        assert here.bus.counts.lost == 0
        here.proxy.hold(Way.OUT)
        for _ in range(20):
            here.bus.publish(f"{here.name}.replies", b"given")
        await here.bus.handed_over()
        here.proxy.reset()
        await until(lambda: not here.bus.connected)
        for _ in range(7):
            here.bus.publish(f"{here.name}.replies", b"kept")
        await here.healed()
        await here.bus.round_trip(10)
        await here.agent.round_trip(10)
        assert [message.data for message in received] == [b"kept"] * 7
        assert here.bus.counts.lost == 20


async def test_there_is_an_end_to_what_waits(tmp_path: Path) -> None:
    """Without a server what is published waits up to a bound; beyond it each is refused, at once, and counted."""
    async with place(tmp_path) as here:
        here.server.kill()
        await until(lambda: not here.bus.connected)
        for _ in range(BUFFER_BYTES // MEGABYTE + 1):
            here.bus.publish(f"{here.name}.nobody", bytes(MEGABYTE - 1000))
        for _ in range(9):
            with pytest.raises(BusError, match="the buffer is full"):
                here.bus.publish(f"{here.name}.nobody", b"")
        assert here.bus.counts.refused == 9
        await here.server.start()
        await here.healed()
        assert here.bus.counts.refused == 9


async def test_a_flood_is_answered_to_the_last(tmp_path: Path) -> None:
    """10,000 requests at once to a process that stood still meanwhile: each is handed over, and what is refused is
    refused in a reply; none is dropped in silence.
    """
    async with place(tmp_path, replace(QUICK, doubt=5.0, silent=20.0)) as here:
        seen: list[Message] = []

        def refuse(message: Message) -> None:
            seen.append(message)
            here.bus.publish(message.reply, b"RESOURCE_EXHAUSTED")

        await here.bus.subscribe(f"{here.name}.flood", refuse)
        replies: list[Message] = []
        await here.agent.subscribe(f"_INBOX.{here.name}", replies.append)
        await here.agent.round_trip(10)
        await here.bus.round_trip(10)
        for _ in range(FLOOD):
            here.agent.publish(f"{here.name}.flood", b"x" * 200, reply=f"_INBOX.{here.name}")
        await here.agent.handed_over()
        time.sleep(0.5)  # noqa: ASYNC251 - the loop stands still: that is the fault
        await until(lambda: len(replies) == FLOOD, seconds=40)
        assert len(seen) == FLOOD
        counts = here.bus.counts
        assert (counts.lost, counts.refused, counts.slow_consumer_drops, counts.heals) == (0, 0, 0, 0)


async def test_says_when_it_cannot_heal(tmp_path: Path) -> None:
    """When the time stated is over `beyond_healing` returns with how long it was and what went wrong last; not before
    something is wrong.
    """
    async with place(tmp_path, replace(QUICK, heal=0.5)) as here:
        with anyio.move_on_after(1) as patience:
            await here.bus.beyond_healing()
        assert patience.cancelled_caught
        here.server.kill()
        with anyio.fail_after(20):
            why = await here.bus.beyond_healing()
        assert why.startswith("no connection to NATS could be had for ")
        assert "(last: " in why


async def test_nothing_durable_is_decided_in_a_partition(tmp_path: Path) -> None:
    """A write of a record that is cut off never reads as done, nor one begun while cut off; afterwards the record is as
    it was, or as written once.
    """
    (tmp_path / "store").mkdir()
    config = {**LOGIN, "jetstream": {"store_dir": str(tmp_path / "store")}}
    async with place(tmp_path, config=config) as here:
        bucket = {"name": "KV_b", "subjects": ["$KV.b.>"], "max_msgs_per_subject": 1, "allow_direct": True}
        await here.agent.request("$JS.API.STREAM.CREATE.KV_b", msgspec.json.encode(bucket), timeout=10)
        store = NatsStore(here.bus)
        revision = await store.put("b", "k", b"before", message_id="1", expected=0)
        here.proxy.partition()
        for number in range(3):
            with anyio.fail_after(30), pytest.raises(StoreUnavailable):
                await store.put("b", "k", b"cut off", message_id=f"cut-{number}", expected=revision)
        here.proxy.release()
        await here.healed()
        entry = await store.get("b", "k")
        assert entry is not None
        assert entry.value in {b"before", b"cut off"}
        assert entry.revision in {revision, revision + 1}
        again = await store.put("b", "k", b"after", message_id="2", expected=entry.revision)
        assert again > entry.revision
