"""Watching records on a real nats-server: every change at once, and a watch that is lost is noticed and made again."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_jetstream import JetStreamBus
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.ports import Entry, Message, StoreUnavailable, Subscription
from tests.fixtures_nats import configured, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(bus: NatsBus, fresh_name: str) -> AsyncIterator[NatsStore]:
    """A store that has one bucket, called like `fresh_name`."""
    await provision(bus, (bucket(fresh_name),))
    yield NatsStore(bus, heartbeat_seconds=0.2)
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{fresh_name}", b"", timeout=5)


@asynccontextmanager
async def watched(store: NatsStore, name: str, pattern: str = ">") -> AsyncIterator[list[Entry | None]]:
    """What is told during the block, once the watch has begun."""
    told: list[Entry | None] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.watch, name, pattern, told.append)
        await until(lambda: told)
        yield told
        tasks.cancel_scope.cancel()


async def put(store: NatsStore, name: str, key: str, value: bytes | None, expected: int = 0) -> int:
    return await store.put(name, key, value, message_id=secrets.token_hex(8), expected=expected)


async def consumers(bus: NatsBus, name: str) -> list[str]:
    listed = json.loads((await bus.request(f"$JS.API.CONSUMER.NAMES.KV_{name}", b"", timeout=5)).data)
    return list(listed["consumers"] or [])


async def refused(store: NatsStore, bus: NatsBus, pattern: str) -> None:
    """Return when the server refused to let this be watched."""
    before = bus.counts.permission_violations
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.watch, "b", pattern, print)
        await until(lambda: bus.counts.permission_violations > before)
        tasks.cancel_scope.cancel()


async def test_every_change_is_told(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """None first; then each write and deletion, whole, in order; what was there before is not."""
    store = NatsStore(bus, heartbeat_seconds=30)  # a machine that stands still begins no watch anew meanwhile
    await put(store, fresh_name, "a.old", b"0")
    async with watched(store, fresh_name) as told:
        first = await put(store, fresh_name, "a.b", b"1")
        second = await put(store, fresh_name, "a.b", b"2", first)
        third = await put(store, fresh_name, "a.b", None, second)
        await until(lambda: sum(entry is not None for entry in told) == 3)
    assert told[0] is None
    found = [(entry.key, entry.value, entry.revision, entry.follows, entry.deleted) for entry in told if entry]
    assert found == [
        ("a.b", b"1", first, 0, False),
        ("a.b", b"2", second, first, False),
        ("a.b", b"", third, second, True),
    ]


async def test_only_what_the_pattern_names(store: NatsStore, fresh_name: str) -> None:
    """Another tenant's changes are not told."""
    async with watched(store, fresh_name, "acme.*.github") as told:
        for key in ("evil.alice.github", "acme.alice.slack", "acme.alice.github"):
            await put(store, fresh_name, key, b"1")
        await until(lambda: len(told) == 2)
    assert [entry and entry.key for entry in told] == [None, "acme.alice.github"]


async def test_a_consumer_that_is_deleted_is_made_again(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """Nobody tells that it is gone; its heartbeats stop. The new watch says that something may have been missed."""
    async with watched(store, fresh_name) as told:
        (name,) = await consumers(bus, fresh_name)
        await bus.request(f"$JS.API.CONSUMER.DELETE.KV_{fresh_name}.{name}", b"", timeout=5)
        await put(store, fresh_name, "missed", b"1")
        await until(lambda: len(told) == 2)
        await put(store, fresh_name, "seen", b"1")
        await until(lambda: len(told) == 3)
    assert [entry and entry.key for entry in told] == [None, None, "seen"]


class Losing:
    """The bus of a connection that loses the messages of one key."""

    def __init__(self, bus: NatsBus, key: str) -> None:
        self._bus = bus
        self._key = key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def subscribe(self, subject: str, callback: Callable[[Message], None], *, queue: str = "") -> Subscription:
        def deliver(message: Message) -> None:
            if not message.subject.endswith(f".{self._key}"):
                callback(message)

        return await self._bus.subscribe(subject, deliver, queue=queue)


@pytest.mark.parametrize("after", [["after"], []])
async def test_a_message_lost_on_the_way_is_noticed(
    store: NatsStore, bus: NatsBus, fresh_name: str, after: list[str]
) -> None:
    """By the gap before the next one, or by the next heartbeat: the watch begins again, and says so."""
    losing = NatsStore(cast("JetStreamBus", Losing(bus, "lost")), heartbeat_seconds=0.2)
    async with watched(losing, fresh_name) as told:
        for key in ("lost", *after):
            await put(store, fresh_name, key, b"1")
        await until(lambda: len(told) == 2)
    assert told[:2] == [None, None]


async def test_a_watch_leaves_nothing_behind(store: NatsStore, bus: NatsBus, fresh_name: str) -> None:
    """A cancelled watch's consumer goes by itself."""
    async with watched(store, fresh_name):
        assert len(await consumers(bus, fresh_name)) == 1
    with anyio.fail_after(20):
        while await consumers(bus, fresh_name):  # noqa: ASYNC110 - the server decides
            await anyio.sleep(0.1)


async def test_a_watch_on_nothing_begins_when_there_is_something(bus: NatsBus, fresh_name: str) -> None:
    """Without a bucket a watch waits for it, and ends at once when it is cancelled."""
    store, told = NatsStore(bus), list[Entry | None]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.watch, fresh_name, ">", told.append)
        await anyio.wait_all_tasks_blocked()
        await provision(bus, (bucket(fresh_name),))
        await until(lambda: told)
        tasks.cancel_scope.cancel()


async def test_a_watch_stays_within_its_rights(tmp_path: Path) -> None:
    """With no more rights than the table of the adapter names, confined to a tenant: its records are watched, listed,
    read and written; another's are none of this.
    """
    mine = "acme.>"
    may_publish = [
        f"$JS.API.DIRECT.GET.KV_b.$KV.b.{mine}",
        f"$KV.b.{mine}",
        f"$JS.API.CONSUMER.CREATE.KV_b.*.$KV.b.{mine}",
        "$JS.FC.KV_b.>",
        "_INBOX.acme.>",
    ]
    users = [
        {"user": "admin", "password": "p"},
        {
            "user": "acme",
            "password": "p",
            "permissions": {"publish": {"allow": may_publish}, "subscribe": {"allow": ["_INBOX.acme.>"]}},
        },
    ]
    config = {"jetstream": {"store_dir": str(tmp_path / "js")}, "accounts": {"A": {"jetstream": True, "users": users}}}
    async with configured(tmp_path, config) as server:
        admin = await connect(server.url("admin:p"))
        await provision(admin, (bucket("b"),))
        every = NatsStore(admin)
        await put(every, "b", "evil.k", b"x")
        bus = await connect(server.url("acme:p"), inbox_prefix="_INBOX.acme")
        store = NatsStore(bus, read_seconds=0.3, attempt_seconds=0.3)
        patient = NatsStore(bus, read_seconds=20, attempt_seconds=20)
        async with watched(patient, "b", mine) as told:
            revision = await put(patient, "b", "acme.k", b"v")
            await until(lambda: len(told) == 2)
            found = await patient.get("b", "acme.k")
            assert found is not None
            assert found.revision == revision
            assert await patient.keys("b", mine) == ["acme.k"]
            for pattern in (">", "evil.>", "*.k"):
                await refused(store, bus, pattern)
            with pytest.raises(StoreUnavailable, match="permissions violation"):
                await store.get("b", "evil.k")
            with pytest.raises(StoreUnavailable, match="permissions violation"):
                await put(store, "b", "evil.k", b"y", 1)
            await put(every, "b", "evil.k", b"z", 1)
            await put(every, "b", "acme.k", b"w", revision)
            await until(lambda: len(told) == 3)
            assert [entry and entry.key for entry in told] == [None, "acme.k", "acme.k"]
        await bus.close()
        await admin.close()


async def test_a_server_that_was_killed(tmp_path: Path) -> None:
    """After the server was away the watch goes on, and says that something may have been missed."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, (bucket("b"),))
        store = NatsStore(bus, attempt_seconds=20, heartbeat_seconds=0.2)
        async with watched(store, "b") as told:
            assert server.process is not None
            os.kill(server.process.pid, signal.SIGKILL)
            await until(lambda: len(told) == 2, 50)
            await put(store, "b", "k", b"v")
            await until(lambda: len(told) == 3)
            assert [entry and entry.key for entry in told] == [None, None, "k"]
        await bus.close()
