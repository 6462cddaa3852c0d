"""What another sidecar changes is taken in at once where the store tells it, and within 30 s where it does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.credential import Status
from sidecar.model import Failure, Reason
from sidecar.ports import Entry
from sidecar.sandbox.scripted import ManualClock
from sidecar.scope import Scope
from sidecar.store.credential import BUCKET, FRESH_SECONDS, CredentialStore
from tests.fixtures_nats import until
from tests.store.test_credential import DICE, KEY, KEYS, WHO, MemoryStore, credential, damage, reason_of, token_of

pytestmark = pytest.mark.anyio


class Two:
    """Two sidecars on one store, of which the first follows what the other one does."""

    def __init__(self, store: MemoryStore | NatsStore, scope: Scope = Scope()) -> None:  # noqa: B008 - it is frozen
        self.clock = ManualClock()
        self.here = CredentialStore(store, KEYS, self.clock, DICE, capacity=10, scope=scope)
        self.there = CredentialStore(store, KEYS, ManualClock(), DICE, capacity=10)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.here.follow)
            await anyio.wait_all_tasks_blocked()
            yield
            tasks.cancel_scope.cancel()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def two(memory: MemoryStore) -> Two:
    return Two(memory)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(Status.DISABLED, Reason.CONNECTION_DISABLED), (Status.REVOKED, Reason.CONNECTION_REVOKED)],
)
async def test_a_status_set_elsewhere_holds_at_once(
    two: Two, memory: MemoryStore, status: Status, reason: Reason
) -> None:
    """With no time gone by and without a read."""
    await two.here.save(*WHO, credential())
    async with two.following():
        await two.here.load(*WHO)
        await two.there.set_status(*WHO, status)
        memory.reads = 0
        assert reason_of(await two.here.load(*WHO)) is reason
        assert memory.reads == 0


async def test_a_new_secret_holds_at_once(two: Two) -> None:
    """The next call uses what was imported through another sidecar."""
    await two.here.save(*WHO, credential())
    async with two.following():
        await two.there.save(*WHO, credential("new"))
        assert token_of(await two.here.load(*WHO)) == "new"


async def test_what_does_not_open_is_not_used_on(two: Two, memory: MemoryStore) -> None:
    """A change that cannot be opened drops what was known; the next call is told why."""
    await two.here.save(*WHO, credential())
    async with two.following():
        damage(memory, KEY)
        revision = memory.entries[KEY].revision
        await memory.put(BUCKET, KEY, memory.entries[KEY].value, message_id="m", expected=revision)
        assert reason_of(await two.here.load(*WHO)) is Reason.CREDENTIAL_CORRUPT


async def test_a_key_that_is_not_at_hand(two: Two, memory: MemoryStore) -> None:
    """So is one that was sealed with a key that this sidecar has not got yet."""
    await two.here.save(*WHO, credential())
    newer = CredentialStore(memory, FileKeys({"k1": bytes(32), "k2": bytes(31) + b"2"}), two.clock, DICE, capacity=1)
    async with two.following():
        await newer.save(*WHO, credential("new"))
        assert reason_of(await two.here.load(*WHO)) is Reason.KEY_UNAVAILABLE


async def test_a_deleted_record(two: Two, memory: MemoryStore) -> None:
    """What was deleted is not used on."""
    await two.here.save(*WHO, credential())
    async with two.following():
        await memory.put(BUCKET, KEY, None, message_id="m", expected=memory.entries[KEY].revision)
        assert reason_of(await two.here.load(*WHO)) is Reason.NO_CREDENTIAL


async def test_only_what_is_in_use_is_kept(two: Two) -> None:
    """Changes of connections that nobody calls here do not come into memory."""
    async with two.following():
        await two.there.save(*WHO, credential())
        assert two.here._cache == {}


async def test_an_older_change_told_late(two: Two, memory: MemoryStore) -> None:
    """What is told does not undo something newer."""
    await two.here.save(*WHO, credential())
    old = memory.entries[KEY]
    await two.here.set_status(*WHO, Status.REVOKED)
    async with two.following():
        for _, told in memory.watchers:
            told(old)
        assert reason_of(await two.here.load(*WHO)) is Reason.CONNECTION_REVOKED


async def test_after_a_gap_everything_is_looked_at_again(two: Two, memory: MemoryStore) -> None:
    """When changes may have been missed, the next call of each connection reads."""
    await two.here.save(*WHO, credential())
    await two.there.set_status(*WHO, Status.DISABLED)
    assert token_of(await two.here.load(*WHO)) == "hunter2"
    async with two.following():
        assert reason_of(await two.here.load(*WHO)) is Reason.CONNECTION_DISABLED


class Passing(MemoryStore):
    """Something happens once between a read and its answer."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def get(self, bucket: str, key: str) -> Entry | None:
        found = await super().get(bucket, key)
        if (meanwhile := self.meanwhile) is not None:
            self.meanwhile = None
            await meanwhile()
        return found


async def test_a_change_told_while_it_is_read() -> None:
    """A read that may have passed the change on its way is not trusted for the next call."""
    memory = Passing()
    two = Two(memory)
    await two.there.save(*WHO, credential())
    async with two.following():
        memory.meanwhile = partial(two.there.set_status, *WHO, Status.REVOKED)
        assert token_of(await two.here.load(*WHO)) == "hunter2"
        assert reason_of(await two.here.load(*WHO)) is Reason.CONNECTION_REVOKED


async def test_a_gap_while_the_store_is_away(two: Two, memory: MemoryStore) -> None:
    """What is known goes on being used, with one look."""
    await two.here.save(*WHO, credential())
    async with two.following():
        memory.away, memory.reads = "refusing", 0
        for _ in range(3):
            assert token_of(await two.here.load(*WHO)) == "hunter2"
        assert memory.reads == 1


async def test_a_scoped_sidecar_watches_its_own(memory: MemoryStore) -> None:
    """Nothing else is asked for."""
    two = Two(memory, Scope("acme", ("alice@example.com",), ("github",)))
    async with two.following():
        assert [pattern for pattern, _ in memory.watchers] == [KEY]


async def consumers(bus: NatsBus) -> set[str]:
    listed = json.loads((await bus.request(f"$JS.API.CONSUMER.NAMES.KV_{BUCKET}", b"", timeout=5)).data)
    return set(listed["consumers"] or [])


async def effective(two: Two, who: tuple[str, str, str]) -> None:
    """Return when calls are refused because the connection was revoked."""
    with anyio.fail_after(20):
        while True:
            loaded = await two.here.load(*who)
            if isinstance(loaded, Failure) and loaded.reason is Reason.CONNECTION_REVOKED:
                return
            await anyio.sleep(0.01)


async def test_a_revocation_on_nats(bus: NatsBus, fresh_name: str) -> None:
    """With the watch a revocation through another sidecar holds while the clock stands still; with the watch's consumer
    deleted it holds after 30 s by the clock.
    """
    await provision(bus, (bucket(BUCKET),))
    two = Two(NatsStore(bus), Scope(fresh_name))
    watched, unwatched = (fresh_name, "alice", "github"), (fresh_name, "bob", "github")
    for who in (watched, unwatched):
        await two.here.save(*who, credential())
    before = await consumers(bus)
    async with two.following():
        with anyio.fail_after(20):
            while not (mine := await consumers(bus) - before):  # noqa: ASYNC110 - the server decides
                await anyio.sleep(0.01)
        await until(lambda: all(cached.asked < 0 for cached in two.here._cache.values()))  # the watch has begun
        for who in (watched, unwatched):
            assert token_of(await two.here.load(*who)) == "hunter2"
        await two.there.set_status(*watched, Status.REVOKED)
        await effective(two, watched)
        for name in mine:
            await bus.request(f"$JS.API.CONSUMER.DELETE.KV_{BUCKET}.{name}", b"", timeout=5)
        await two.there.set_status(*unwatched, Status.REVOKED)
        assert token_of(await two.here.load(*unwatched)) == "hunter2"
        two.clock.advance(FRESH_SECONDS)
        assert reason_of(await two.here.load(*unwatched)) is Reason.CONNECTION_REVOKED
