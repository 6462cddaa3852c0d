"""Records in JetStream KV: compare-and-set, deletion, listing, and every way in which the store can be away or full."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import cast

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_jetstream import JetStreamBus
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.ports import BusError, Entry, Message, NoResponders, StoreConflict, StoreFull, StoreUnavailable
from tests.fixtures_nats import frozen, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(bus: NatsBus, fresh_name: str) -> AsyncIterator[NatsStore]:
    """A store that has one bucket, called like `fresh_name`."""
    await provision(bus, (bucket(fresh_name),))
    yield NatsStore(bus, write_seconds=1)
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{fresh_name}", b"", timeout=2)


class Between:
    """A bus whose answers to writes a test replaces: what a cluster does during an election."""

    def __init__(self, bus: NatsBus, answers: list[Callable[[Message], Message]]) -> None:
        self.bus = bus
        self.answers = answers
        self.ids: list[str] = []

    @property
    def max_payload(self) -> int:
        return self.bus.max_payload

    async def request(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float
    ) -> Message:
        reply = await self.bus.request(subject, payload, headers=headers, timeout=timeout)
        if headers:
            self.ids.append(headers["Nats-Msg-Id"])
        return self.answers.pop(0)(reply) if headers and self.answers else reply


def lost(_reply: Message) -> Message:
    raise BusError("no reply within 2 s")


def nobody(_reply: Message) -> Message:
    raise NoResponders("nobody serves it")


def error(code: int, err_code: int, text: str) -> Callable[[Message], Message]:
    def replaced(reply: Message) -> Message:
        reply.data = json.dumps({"error": {"code": code, "err_code": err_code, "description": text}}).encode()
        return reply

    return replaced


async def test_get_returns_what_was_created(store: NatsStore, fresh_name: str) -> None:
    """A created value is read back with its revision; binary, and empty too."""
    for key, value in (("a.b.c", b"\x00\xff"), ("a.b.d", b"")):
        revision = await store.create(fresh_name, key, value)
        assert await store.get(fresh_name, key) == Entry(key, value, revision)


async def test_a_key_that_never_was(store: NatsStore, fresh_name: str) -> None:
    """A missing key is None."""
    assert await store.get(fresh_name, "a.b.c") is None


async def test_create_refuses_an_existing_key(store: NatsStore, fresh_name: str) -> None:
    """The second creator loses, and the first value stays."""
    await store.create(fresh_name, "k", b"1")
    with pytest.raises(StoreConflict, match="k of bucket"):
        await store.create(fresh_name, "k", b"2")
    entry = await store.get(fresh_name, "k")
    assert entry is not None
    assert entry.value == b"1"


async def test_update_replaces_exactly_its_revision(store: NatsStore, fresh_name: str) -> None:
    """An update over an older revision is refused; over the last one it gives a new revision."""
    first = await store.create(fresh_name, "k", b"1")
    second = await store.update(fresh_name, "k", b"2", first)
    assert second > first
    with pytest.raises(StoreConflict):
        await store.update(fresh_name, "k", b"3", first)
    assert await store.get(fresh_name, "k") == Entry("k", b"2", second)


async def test_one_of_many_writers_wins(store: NatsStore, fresh_name: str) -> None:
    """Of twenty updates over one revision one succeeds."""
    revision = await store.create(fresh_name, "k", b"")
    won: list[int] = []

    async def write(number: int) -> None:
        try:
            await store.update(fresh_name, "k", str(number).encode(), revision)
        except StoreConflict:
            return
        won.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)
    entry = await store.get(fresh_name, "k")
    assert entry is not None
    assert [entry.value] == [str(number).encode() for number in won]


async def test_a_deleted_key_reads_as_missing_and_can_be_created_again(store: NatsStore, fresh_name: str) -> None:
    """The marker of a deletion is neither an entry nor an obstacle."""
    revision = await store.create(fresh_name, "k", b"1")
    with pytest.raises(StoreConflict):
        await store.delete(fresh_name, "k", revision + 1)
    await store.delete(fresh_name, "k", revision)
    assert await store.get(fresh_name, "k") is None
    again = await store.create(fresh_name, "k", b"2")
    assert await store.get(fresh_name, "k") == Entry("k", b"2", again)
    with pytest.raises(StoreConflict):
        await store.create(fresh_name, "k", b"3")


async def test_only_the_last_value_is_kept(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """A secret that was replaced is not in the bucket any more."""
    revision = await store.create(fresh_name, "k", b"old")
    await store.update(fresh_name, "k", b"new", revision)
    info = json.loads((await bus.request(f"$JS.API.STREAM.INFO.KV_{fresh_name}", b"", timeout=2)).data)
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
        await store.create(fresh_name, key, b"v" * 100)
    await store.delete(fresh_name, "a.x.gone", await store.create(fresh_name, "a.x.gone", b""))
    assert await store.keys(fresh_name, pattern) == found


async def test_many_keys(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """More keys than one request of the consumer brings are listed whole."""
    store = NatsStore(bus, write_seconds=30)
    for number in range(4500):
        await bus.publish(f"$KV.{fresh_name}.t.k{number}", b"x")
    await store.create(fresh_name, "last", b"")  # acknowledged after all that came before
    assert len(await store.keys(fresh_name, "t.*")) == 4500


@pytest.mark.parametrize("key", ["", ".", "a..b", "a.", ".a", "a b", "a%40b", "a.*", "a.>", "ü"])
async def test_an_illegal_key_is_refused(store: NatsStore, fresh_name: str, key: str) -> None:
    """A key that NATS would take for something else never reaches it."""
    with pytest.raises(ValueError, match="not a key"):
        await store.create(fresh_name, key, b"")
    with pytest.raises(ValueError, match="not a key"):
        await store.get(fresh_name, key)


async def test_an_illegal_pattern_is_refused(store: NatsStore, fresh_name: str) -> None:
    """A pattern is keys with `*` and a last `>`."""
    with pytest.raises(ValueError, match="not a pattern"):
        await store.keys(fresh_name, "a.>.b")


async def test_a_missing_bucket_is_unavailable(bus: NatsBus, fresh_name: str) -> None:
    """Reading, writing and listing a bucket that does not exist says so."""
    store = NatsStore(bus, write_seconds=0.2)
    with pytest.raises(StoreUnavailable, match=f"{fresh_name} .*does not exist"):
        await store.get(fresh_name, "k")
    with pytest.raises(StoreUnavailable, match=f"{fresh_name} .*does not exist"):
        await store.create(fresh_name, "k", b"")
    with pytest.raises(StoreUnavailable, match=f"{fresh_name} .*not found"):
        await store.keys(fresh_name, ">")


async def test_a_store_that_is_away_is_unavailable_in_time(tmp_path: Path) -> None:
    """A stopped server is StoreUnavailable within the limits, not a hang."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, (bucket("b"),))
        store = NatsStore(bus, read_seconds=0.2, write_seconds=0.3)
        assert server.process is not None
        async with frozen(server.process.pid):
            with anyio.fail_after(2), pytest.raises(StoreUnavailable, match=r"0\.2 s"):
                await store.get("b", "k")
            with anyio.fail_after(2), pytest.raises(StoreUnavailable):
                await store.create("b", "k", b"")
        await bus.close()


async def test_records_survive_kill_9_of_the_server(tmp_path: Path) -> None:
    """What was acknowledged is there after the server was killed and came back."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, (bucket("b"),))
        store = NatsStore(bus, read_seconds=10, write_seconds=10)
        revisions = [await store.create("b", f"k{number}", b"v") for number in range(50)]
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGKILL)
        await until(lambda: bus.counts.reconnects)
        found = [await store.get("b", f"k{number}") for number in range(50)]
        assert [entry and entry.revision for entry in found] == revisions
        await bus.close()


async def test_a_full_bucket_is_full(bus: NatsBus, fresh_name: str) -> None:
    """A bucket at its size limit refuses a write with StoreFull, and nothing is thrown away."""
    await provision(bus, (bucket(fresh_name, max_bytes=2000),))
    store = NatsStore(bus)
    await store.create(fresh_name, "first", b"x" * 1500)
    with pytest.raises(StoreFull, match="maximum bytes exceeded"):
        await store.create(fresh_name, "second", b"x" * 1500)
    assert await store.get(fresh_name, "first") is not None


async def test_a_record_larger_than_a_message(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """A record that NATS cannot carry is StoreFull at once."""
    with pytest.raises(StoreFull, match="more than NATS takes"):
        await store.create(fresh_name, "k", bytes(bus.max_payload + 1))


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lost, id="answer-lost"),
        pytest.param(error(409, 10158, "duplicate message id is in process"), id="in-process"),
        pytest.param(error(503, 10008, "JetStream system temporarily unavailable"), id="election"),
    ],
)
async def test_a_write_whose_answer_was_lost_is_not_a_conflict(
    store: NatsStore, bus: NatsBus, fresh_name: str, trouble: Callable[[Message], Message]
) -> None:
    """The write happened, its answer did not come: repeated under the same id, it is known as our own."""
    between = Between(bus, [trouble])
    revision = await NatsStore(cast("JetStreamBus", between)).create(fresh_name, "k", b"v")
    assert await store.get(fresh_name, "k") == Entry("k", b"v", revision)
    assert len(between.ids) == 2
    assert len(set(between.ids)) == 1


async def test_a_lost_answer_and_another_writer_is_a_conflict(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """When the last value is not ours after all, it is a conflict."""
    first = await store.create(fresh_name, "k", b"1")
    await store.update(fresh_name, "k", b"2", first)
    with pytest.raises(StoreConflict):
        await NatsStore(cast("JetStreamBus", Between(bus, [lost]))).update(fresh_name, "k", b"3", first)


async def test_a_server_without_jetstream_for_a_moment(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """No responders during an election is waited out."""
    between = Between(bus, [nobody, nobody])
    assert await NatsStore(cast("JetStreamBus", between)).create(fresh_name, "k", b"v") > 0
