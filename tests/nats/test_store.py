"""Records in JetStream KV, request by request: what is written, refused, deleted, expired and listed; every failure."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.ports import (
    Entry,
    StoreConflict,
    StoreFull,
    StoreInProcess,
    StoreUnavailable,
    StoreUntouched,
)
from tests.fixtures_nats import frozen, until
from tests.nats.between import Between, api_error

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(bus: NatsBus, fresh_name: str) -> AsyncIterator[NatsStore]:
    """A store that has one bucket, called like `fresh_name`."""
    await provision(bus, (bucket(fresh_name),))
    yield NatsStore(bus)
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{fresh_name}", b"", timeout=2)


async def put(
    store: NatsStore, name: str, key: str, value: bytes | None, expected: int = 0, *, ttl: int | None = None
) -> int:
    return await store.put(name, key, value, message_id=secrets.token_hex(8), expected=expected, ttl=ttl)


async def test_what_was_put_comes_back(store: NatsStore, fresh_name: str) -> None:
    """Value, revision, whose write it was, what it replaced and how long it lives; binary, and empty too."""
    first = await store.put(fresh_name, "a.b.c", b"\x00\xff", message_id="m1", expected=0)
    assert await found(store, fresh_name) == Entry("a.b.c", b"\x00\xff", first, "m1", 0)
    second = await store.put(fresh_name, "a.b.c", b"", message_id="m2", expected=first, ttl=90)
    assert second > first
    assert await found(store, fresh_name) == Entry("a.b.c", b"", second, "m2", first, ttl=90)


async def found(store: NatsStore, bucket: str) -> Entry | None:
    """The record without the moment that it was written."""
    entry = await store.get(bucket, "a.b.c")
    return entry and msgspec.structs.replace(entry, written=None)


async def test_the_server_says_when_it_was_written(store: NatsStore, fresh_name: str) -> None:
    """By its own clock, in the order of the writes."""
    written: list[float] = []
    for key in ("a", "b"):
        await store.put(fresh_name, key, b"", message_id=key, expected=0)
        entry = await store.get(fresh_name, key)
        assert entry is not None
        assert entry.written is not None
        written.append(entry.written)
    assert written[0] <= written[1] < written[0] + 60


async def test_a_key_that_never_was(store: NatsStore, fresh_name: str) -> None:
    """A missing key is None."""
    assert await store.get(fresh_name, "a.b.c") is None


async def test_a_message_of_another_writer(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """What somebody wrote by other means is an entry that names nothing."""
    await bus.request(f"$KV.{fresh_name}.k", b"x", timeout=5)
    entry = await store.get(fresh_name, "k")
    assert entry is not None
    assert (entry.value, entry.message_id, entry.follows) == (b"x", "", None)


@pytest.mark.parametrize("expected", [0, 1_000_000])
async def test_another_revision_is_a_conflict_that_names_the_last(
    store: NatsStore, fresh_name: str, expected: int
) -> None:
    """What stands there stays; the server says which it is (10071)."""
    revision = await put(store, fresh_name, "k", b"1")
    with pytest.raises(StoreConflict, match="10071") as conflict:
        await put(store, fresh_name, "k", b"2", expected)
    assert conflict.value.last == revision
    entry = await store.get(fresh_name, "k")
    assert entry is not None
    assert entry.value == b"1"


async def test_one_of_many_writers_wins(store: NatsStore, fresh_name: str) -> None:
    """Of twenty writes over one revision one succeeds."""
    revision = await put(store, fresh_name, "k", b"")
    won: list[int] = []

    async def write(number: int) -> None:
        try:
            await put(store, fresh_name, "k", str(number).encode(), revision)
        except StoreConflict:
            return
        won.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)
    entry = await store.get(fresh_name, "k")
    assert entry is not None
    assert [entry.value] == [str(number).encode() for number in won]


async def test_the_server_compares_the_revision_before_the_message_id(store: NatsStore, fresh_name: str) -> None:
    """So a repeated creation that was carried out is refused: only a look tells that it is our own."""
    first = await store.put(fresh_name, "k", b"v", message_id="m", expected=0)
    with pytest.raises(StoreConflict):
        await store.put(fresh_name, "k", b"v", message_id="m", expected=0)
    assert await store.put(fresh_name, "k", b"v", message_id="m", expected=first) == first


async def test_a_deletion_reads_as_one_and_is_written_over(store: NatsStore, fresh_name: str) -> None:
    """By its own revision, by compare-and-set as every write; what it deleted is gone from the bucket."""
    first = await put(store, fresh_name, "k", b"1")
    with pytest.raises(StoreConflict):
        await put(store, fresh_name, "k", None, first + 1)
    deletion = await put(store, fresh_name, "k", None, first)
    entry = await store.get(fresh_name, "k")
    assert entry is not None
    assert (entry.deleted, entry.value, entry.revision) == (True, b"", deletion)
    with pytest.raises(StoreConflict):
        await put(store, fresh_name, "k", b"2")
    assert await put(store, fresh_name, "k", b"2", deletion) > deletion


async def test_what_expired_is_not_there(store: NatsStore, fresh_name: str) -> None:
    """A record put with a ttl vanishes without a trace: it reads as nothing, and can be made again at once."""
    await put(store, fresh_name, "lease", b"1", ttl=1)
    with anyio.fail_after(20):
        while await store.get(fresh_name, "lease") is not None:  # noqa: ASYNC110 - the server decides
            await anyio.sleep(0.05)
    assert await store.keys(fresh_name, ">") == []
    assert await put(store, fresh_name, "lease", b"2", ttl=1) > 0


async def test_a_write_without_a_ttl_is_for_good(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """Also over a record that had one: a lease is renewed with its ttl or not at all."""
    leases = [await put(store, fresh_name, key, b"1", ttl=1) for key in ("renewed", "kept")]
    await put(store, fresh_name, "kept", b"2", leases[1])
    await put(store, fresh_name, "renewed", b"2", leases[0], ttl=1)
    with anyio.fail_after(20):
        while await store.get(fresh_name, "renewed") is not None:  # noqa: ASYNC110 - the server decides
            await anyio.sleep(0.05)
    assert await store.get(fresh_name, "kept") is not None


async def test_an_impossible_ttl_writes_nothing(store: NatsStore, fresh_name: str) -> None:
    """The server refuses what is not a second at least, and says so: nothing was written."""
    with pytest.raises(StoreUntouched, match="invalid per-message TTL"):
        await put(store, fresh_name, "k", b"v", ttl=0)
    assert await store.get(fresh_name, "k") is None


async def test_only_the_last_value_is_kept(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """A secret that was replaced is not in the bucket any more."""
    revision = await put(store, fresh_name, "k", b"old")
    await put(store, fresh_name, "k", b"new", revision)
    info = json.loads((await bus.request(f"$JS.API.STREAM.INFO.KV_{fresh_name}", b"", timeout=5)).data)
    assert info["state"]["messages"] == 1


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (">", ["a.x.github", "a.x.slack", "a.y=40.github", "b.x.github"]),
        ("a.>", ["a.x.github", "a.x.slack", "a.y=40.github"]),
        ("a.*.github", ["a.x.github", "a.y=40.github"]),
        ("a.x.slack", ["a.x.slack"]),
        ("c.>", []),
        ("a.x.gone", []),
    ],
)
async def test_keys_by_pattern(store: NatsStore, fresh_name: str, pattern: str, found: list[str]) -> None:
    """Keys are listed by pattern, in order, without those that were deleted."""
    for key in ("b.x.github", "a.y=40.github", "a.x.slack", "a.x.github"):
        await put(store, fresh_name, key, b"v" * 100)
    await put(store, fresh_name, "a.x.gone", None, await put(store, fresh_name, "a.x.gone", b""))
    assert await store.keys(fresh_name, pattern) == found


async def test_many_keys(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """More keys than one request of the consumer brings are listed whole."""
    for number in range(4500):
        bus.publish(f"$KV.{fresh_name}.t.k{number}", b"x")
    await NatsStore(bus, attempt_seconds=30).put(fresh_name, "last", b"", message_id="m", expected=0)  # after them all
    assert len(await store.keys(fresh_name, "t.*")) == 4500


@pytest.mark.parametrize("key", ["", ".", "a..b", "a.", ".a", "a b", "a%40b", "a.*", "a.>", "ü"])
async def test_an_illegal_key_is_refused(store: NatsStore, fresh_name: str, key: str) -> None:
    """A key that NATS would take for something else never reaches it."""
    with pytest.raises(ValueError, match="not a key"):
        await put(store, fresh_name, key, b"")
    with pytest.raises(ValueError, match="not a key"):
        await store.get(fresh_name, key)


async def test_an_illegal_pattern_is_refused(store: NatsStore, fresh_name: str) -> None:
    """A pattern is keys with `*` and a last `>`."""
    with pytest.raises(ValueError, match="not a pattern"):
        await store.keys(fresh_name, "a.>.b")
    with pytest.raises(ValueError, match="not a pattern"):
        await store.watch(fresh_name, "", print)


async def test_nobody_there(bus: NatsBus, fresh_name: str) -> None:
    """A bucket that does not exist, as JetStream that is away (503), is told at once, and that nothing was written."""
    store = NatsStore(bus)
    with pytest.raises(StoreUntouched, match=f"{fresh_name} does not exist"):
        await store.get(fresh_name, "k")
    with pytest.raises(StoreUntouched, match=f"{fresh_name} does not exist"):
        await put(store, fresh_name, "k", b"")
    with pytest.raises(StoreUnavailable, match=f"{fresh_name} .*not found"):
        await store.keys(fresh_name, ">")


async def test_a_store_that_stands_still_is_unavailable_in_time(tmp_path: Path) -> None:
    """A stopped server is StoreUnavailable within the limits, not a hang; a write may have happened."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, (bucket("b"),))
        store = NatsStore(bus, read_seconds=0.2, attempt_seconds=0.3)
        assert server.process is not None
        async with frozen(server.process.pid):
            with pytest.raises(StoreUnavailable, match=r"0\.2 s"):
                await store.get("b", "k")
            with pytest.raises(StoreUnavailable, match=r"0\.3 s") as told:
                await put(store, "b", "k", b"")
            assert not isinstance(told.value, StoreUntouched)
        await bus.close()


async def test_records_survive_kill_9_of_the_server(tmp_path: Path) -> None:
    """What was acknowledged is there after the server was killed and came back."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, (bucket("b"),))
        store = NatsStore(bus, read_seconds=20, attempt_seconds=20)
        revisions = [await put(store, "b", f"k{number}", b"v") for number in range(50)]
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGKILL)
        await until(lambda: bus.counts.reconnects)
        found = [await store.get("b", f"k{number}") for number in range(50)]
        assert [entry and entry.revision for entry in found] == revisions
        await bus.close()


async def test_a_full_bucket_is_full(bus: NatsBus, fresh_name: str) -> None:
    """A bucket at its size limit refuses a write with StoreFull (10077), and nothing is thrown away."""
    await provision(bus, (bucket(fresh_name, max_bytes=2000),))
    store = NatsStore(bus)
    await put(store, fresh_name, "first", b"x" * 1500)
    with pytest.raises(StoreFull, match=r"maximum bytes exceeded \(10077\)"):
        await put(store, fresh_name, "second", b"x" * 1500)
    assert await store.get(fresh_name, "first") is not None


async def test_a_record_larger_than_a_message(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """A record that NATS cannot carry is StoreFull at once."""
    with pytest.raises(StoreFull, match="more than NATS takes"):
        await put(store, fresh_name, "k", bytes(bus.max_payload + 1))


@pytest.mark.parametrize(
    ("code", "number", "told"),
    [
        (400, 10164, StoreConflict),
        (409, 10158, StoreInProcess),
        (503, 10077, StoreFull),
        (500, 10047, StoreFull),
        (503, 10023, StoreFull),  # what nats-server 2.15 says when its disk is full; reads are answered on
        (400, 10166, StoreUntouched),
        (503, 10008, StoreUnavailable),
    ],
)
async def test_what_the_server_says(
    store: NatsStore, bus: NatsBus, fresh_name: str, code: int, number: int, told: type[Exception]
) -> None:
    """Each error number by what it says of the write."""
    between = Between(bus, [api_error(code, number, "as in errors.json")])
    with pytest.raises(told, match=str(number)) as raised:
        await put(NatsStore(between), fresh_name, "k", b"v")
    assert raised.type is told


async def test_nonsense_for_an_answer(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """An answer that makes no sense tells nothing of the write."""

    def garbled(reply: object) -> bytes:
        return b"+OK"

    with pytest.raises(StoreUnavailable, match="makes no sense"):
        await put(NatsStore(Between(bus, [garbled])), fresh_name, "k", b"v")
