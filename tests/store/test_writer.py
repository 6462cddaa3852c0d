"""Writes driven to their end against a real nats-server: answers lost, errors of an election, a server that stalls."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.ports import Clock
from sidecar.sandbox.scripted import ManualClock
from sidecar.store.write import Conflict, Doubt, Full, Unknown, Unreached, Written
from sidecar.store.writer import Writer
from tests.fixtures_nats import frozen
from tests.nats.between import Between, Replaced, api_error, lost, nobody

pytestmark = pytest.mark.anyio


def writer_on(
    bus: NatsBus, *answers: Replaced, attempt_seconds: float = 2.0, clock: Clock | None = None
) -> tuple[Writer, Between]:
    between = Between(bus, list(answers))
    store = NatsStore(between, attempt_seconds=attempt_seconds)
    return Writer(store, clock or SystemClock(), SystemRandom()), between


class UntilTheThirdPause(ManualClock):
    """Stands still but for pauses, and the third takes an hour."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(3600 if len(self.slept) == 2 else seconds)


@pytest.fixture
async def writer(bus: NatsBus, fresh_name: str) -> AsyncIterator[Writer]:
    """A writer on a server that has a bucket called like `fresh_name`."""
    await provision(bus, (bucket(fresh_name),))
    yield writer_on(bus)[0]
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{fresh_name}", b"", timeout=5)


async def made(writer: Writer, name: str, value: bytes = b"1") -> int:
    written = await writer.create(name, "k", value, within=30)
    assert isinstance(written, Written), written
    return written.revision


IN_PROCESS = api_error(409, 10158, "duplicate message id is in process")
ELECTION = api_error(503, 10008, "JetStream system temporarily unavailable")


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([lost], id="answer-lost"),
        pytest.param([lost, lost, nobody], id="answers-lost"),
        pytest.param([IN_PROCESS], id="in-process"),
        pytest.param([ELECTION, nobody], id="election"),
        pytest.param([nobody, nobody], id="nobody"),
        pytest.param([lost, api_error(503, 10077, "maximum bytes exceeded")], id="lost-then-full"),
    ],
)
@pytest.mark.parametrize("over_another", [False, True])
async def test_a_write_in_trouble_is_known_in_the_end(
    writer: Writer, bus: NatsBus, fresh_name: str, trouble: list[Replaced], over_another: bool
) -> None:
    """The write happened, its answers did not come: it is found to be our own, under one id, and is there once."""
    revision = await made(writer, fresh_name) if over_another else None
    troubled, between = writer_on(bus, *trouble)
    outcome = await troubled.replace(fresh_name, "k", b"ours", revision, within=30)
    assert isinstance(outcome, Written)
    assert len(set(between.ids)) == 1
    entry = await NatsStore(bus).get(fresh_name, "k")
    assert entry is not None
    assert (entry.value, entry.revision) == (b"ours", outcome.revision)
    assert outcome.revision == (revision or 0) + 1


async def test_a_lost_answer_and_a_write_that_came_before_is_a_conflict(
    writer: Writer, bus: NatsBus, fresh_name: str
) -> None:
    """What stands there replaced the very revision that we named: ours did not happen."""
    first = await made(writer, fresh_name)
    second = await writer.replace(fresh_name, "k", b"theirs", first, within=30)
    assert isinstance(second, Written)
    troubled, _ = writer_on(bus, lost)
    assert await troubled.replace(fresh_name, "k", b"ours", first, within=30) == Conflict(second.revision)


async def test_a_lost_answer_and_a_write_that_came_after_is_unknown(
    writer: Writer, bus: NatsBus, fresh_name: str
) -> None:
    """Ours may have been the one that theirs replaced: nobody can tell any more, and nobody claims to."""
    first = await made(writer, fresh_name)

    class Meanwhile(NatsStore):
        async def put(self, bucket: str, key: str, value: bytes | None, **named: object) -> int:
            try:
                return await super().put(bucket, key, value, **named)  # type: ignore[arg-type] # passed on as it is
            finally:
                there = await NatsStore(bus).get(bucket, key)
                assert there is not None
                if there.value == b"ours":
                    await writer.replace(bucket, key, b"theirs", there.revision, within=30)

    troubled = Writer(Meanwhile(Between(bus, [lost])), SystemClock(), SystemRandom())
    outcome = await troubled.replace(fresh_name, "k", b"ours", first, within=30)
    assert outcome == Unknown(Doubt.OVERTAKEN)


async def test_a_creation_over_a_deletion(writer: Writer, bus: NatsBus, fresh_name: str) -> None:
    """A deleted key is free again; the mark that said so is replaced, not jumped over."""
    assert isinstance(await writer.delete(fresh_name, "k", await made(writer, fresh_name), within=30), Written)
    again = await made(writer, fresh_name, b"2")
    assert isinstance(await writer.create(fresh_name, "k", b"3", within=30), Conflict)
    entry = await NatsStore(bus).get(fresh_name, "k")
    assert entry is not None
    assert (entry.value, entry.revision) == (b"2", again)


async def test_the_mark_of_a_deletion_does_not_stay_for_ever(writer: Writer, bus: NatsBus, fresh_name: str) -> None:
    """It goes after a day: long after any write that it could be mistaken for."""
    await writer.delete(fresh_name, "k", await made(writer, fresh_name), within=30)
    entry = await NatsStore(bus).get(fresh_name, "k")
    assert entry is not None
    assert (entry.deleted, entry.ttl) == (True, 86_400)


async def test_a_full_bucket(bus: NatsBus, fresh_name: str) -> None:
    """No room is told at once, and nothing is thrown away."""
    await provision(bus, (bucket(fresh_name, max_bytes=2000),))
    writer, between = writer_on(bus)
    first = await made(writer, fresh_name, b"x" * 1500)
    assert isinstance(await writer.create(fresh_name, "other", b"x" * 1500, within=30), Full)
    assert len(between.ids) == 2
    assert isinstance(await writer.delete(fresh_name, "k", first, within=30), Written)
    assert isinstance(await writer.create(fresh_name, "other", b"x" * 1500, within=30), Written)


async def test_a_bucket_that_is_not_there(bus: NatsBus, fresh_name: str) -> None:
    """Nobody to receive it until the end: nothing was written, and that is known."""
    writer, between = writer_on(bus, attempt_seconds=60, clock=UntilTheThirdPause())
    outcome = await writer.create(fresh_name, "k", b"v", within=60)
    assert isinstance(outcome, Unreached)
    assert f"{fresh_name} does not exist" in outcome.said
    assert len(between.ids) == 3


async def test_a_server_that_stalls(tmp_path: Path) -> None:
    """A write that gets no answer ends in time as unknown; when the server goes on, what was begun is carried out, and
    the next writer meets it.
    """
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, (bucket("b"),))
        writer, _ = writer_on(bus, attempt_seconds=0.2)
        assert server.process is not None
        async with frozen(server.process.pid):
            with anyio.fail_after(20):
                outcome = await writer.create("b", "k", b"v", within=0.5)
            assert isinstance(outcome, Unknown)
            assert outcome.doubt is Doubt.NO_ANSWER
        store = NatsStore(bus, read_seconds=20)
        with anyio.fail_after(20):
            while await store.get("b", "k") is None:  # noqa: ASYNC110 - the server decides
                await anyio.sleep(0.02)
        assert isinstance(await writer.create("b", "k", b"w", within=20), Conflict)
        await bus.close()
