"""Reading the trace: in order, from a moment to now, however much it is."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_reader import read_trace
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_streams import provision, required
from sidecar.ports import StoreUnavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[NatsBus]:
    """A server with an empty trace stream."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, required("sidecar"))
        yield bus
        await bus.close()


async def record(bus: NatsBus, tenant: str, payload: bytes) -> None:
    """One event that the stream has acknowledged."""
    await bus.request(f"sidecar.trace.{tenant}.c.github.started", payload, timeout=30)


async def consumers(bus: NatsBus) -> int:
    reply = await bus.request("$JS.API.STREAM.INFO.SIDECAR_TRACE", b"", timeout=2)
    count: int = json.loads(reply.data)["state"]["consumer_count"]
    return count


async def payloads(bus: NatsBus, pattern: str, since: float | None = None) -> list[bytes]:
    return [entry.payload async for entry in read_trace(bus, pattern, since=since)]


async def test_an_empty_trace(traced: NatsBus) -> None:
    """Nothing recorded, nothing read, and no waiting."""
    with anyio.fail_after(2):
        assert await payloads(traced, "sidecar.trace.>") == []


async def test_in_order_and_by_pattern(traced: NatsBus) -> None:
    """Events come as published, oldest first, and only those that match."""
    for number in range(10):
        await record(traced, f"t{number % 2}", str(number).encode())
    entries = [entry async for entry in read_trace(traced, "sidecar.trace.t1.>")]
    assert [entry.payload for entry in entries] == [b"1", b"3", b"5", b"7", b"9"]
    assert {entry.subject for entry in entries} == {"sidecar.trace.t1.c.github.started"}


async def test_from_a_moment(traced: NatsBus) -> None:
    """`since` leaves out what came before it."""
    await record(traced, "t", b"before")
    reply = await traced.request("$JS.API.DIRECT.GET.SIDECAR_TRACE.sidecar.trace.t.c.github.started", b"", timeout=2)
    stamp = (reply.headers or {})["Nats-Time-Stamp"]
    await record(traced, "t", b"after")
    moment = datetime.fromisoformat(stamp).timestamp() + 1e-5
    assert await payloads(traced, "sidecar.trace.>", moment) == [b"after"]
    assert await payloads(traced, "sidecar.trace.>", 0) == [b"before", b"after"]
    assert await payloads(traced, "sidecar.trace.>", 4e9) == []


async def test_ends_at_now_though_events_keep_coming(traced: NatsBus) -> None:
    """What is recorded while reading is not waited for."""
    for number in range(3):
        await record(traced, "t", str(number).encode())
    seen: list[bytes] = []
    async for entry in read_trace(traced, "sidecar.trace.>"):
        seen.append(entry.payload)
        await record(traced, "t", b"later")
    assert seen == [b"0", b"1", b"2"]


async def test_more_than_one_batch(traced: NatsBus) -> None:
    """Thousands of events come whole and in order."""
    for number in range(5000):
        traced.publish("sidecar.trace.t.c.github.started", str(number).encode())
    await record(traced, "t", b"5000")
    assert await payloads(traced, "sidecar.trace.>") == [str(number).encode() for number in range(5001)]


async def test_events_larger_than_a_batch_takes(traced: NatsBus) -> None:
    """A batch that ends early for its bytes is followed by another."""
    big = bytes(900_000)
    for _ in range(40):
        await record(traced, "t", big)
    assert [len(payload) for payload in await payloads(traced, "sidecar.trace.>")] == [900_000] * 40


async def test_leaves_nothing_behind(traced: NatsBus) -> None:
    """After reading, to the end or not, the bus has no subscription left, and soon the server no consumer."""
    for number in range(3):
        await record(traced, "t", str(number).encode())
    await payloads(traced, "sidecar.trace.>")
    async with aclosing(read_trace(traced, "sidecar.trace.>")) as entries:
        async for _ in entries:
            break
    assert len(traced._client._subs) == 2  # replies and our own echo
    with anyio.fail_after(30):
        while await consumers(traced):  # noqa: ASYNC110 - the server decides
            await anyio.sleep(0.1)


async def test_a_missing_stream_is_told(tmp_path: Path) -> None:
    """Without the stream the reader says what is not there."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        with pytest.raises(StoreUnavailable, match="SIDECAR_TRACE cannot be read: stream not found"):
            await payloads(bus, "sidecar.trace.>")
        await bus.close()
