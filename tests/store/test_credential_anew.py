"""The bucket was lost and made anew, as after a disk: what is written into it holds, whatever was known before."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.credential import Status
from sidecar.model import Reason
from sidecar.sandbox.scripted import ManualClock
from sidecar.store.credential import BUCKET, FRESH_SECONDS, CredentialStore
from tests.store.test_credential import DICE, KEY, KEYS, WHO, MemoryStore, credential, reason_of, token_of

pytestmark = pytest.mark.anyio


async def in_use(bus: NatsBus, clock: ManualClock) -> CredentialStore:
    """A sidecar's credentials, one of them used; then their bucket is gone, and an empty one in its place."""
    await provision(bus, (bucket(BUCKET),))
    here = CredentialStore(NatsStore(bus), KEYS, clock, DICE, capacity=10)
    for connection in ("a", "b", "c"):
        await here.save("acme", connection, "github", credential())
    await here.save(*WHO, credential("old"))
    assert token_of(await here.load(*WHO)) == "old"
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{BUCKET}", b"", timeout=5)
    await provision(bus, (bucket(BUCKET),))
    return here


async def test_what_is_written_into_a_bucket_made_anew_holds_at_once(empty_bus: NatsBus) -> None:
    """An import, and a revocation, through this sidecar: their revisions are lower than the one in memory."""
    here = await in_use(empty_bus, ManualClock())
    assert await here.save(*WHO, credential("new")) is None
    assert token_of(await here.load(*WHO)) == "new"
    await here.set_status(*WHO, Status.REVOKED)
    assert reason_of(await here.load(*WHO)) is Reason.CONNECTION_REVOKED


async def test_what_is_written_into_a_bucket_made_anew_holds(empty_bus: NatsBus) -> None:
    """The same through another sidecar: within thirty seconds, though nothing was told of it."""
    clock = ManualClock()
    here = await in_use(empty_bus, clock)
    there = CredentialStore(NatsStore(empty_bus), KEYS, ManualClock(), DICE, capacity=10)
    await there.save(*WHO, credential("new"))
    clock.advance(FRESH_SECONDS)
    assert token_of(await here.load(*WHO)) == "new"
    await there.set_status(*WHO, Status.REVOKED)
    clock.advance(FRESH_SECONDS)
    assert reason_of(await here.load(*WHO)) is Reason.CONNECTION_REVOKED


async def test_what_is_told_of_a_bucket_made_anew_is_looked_at(memory: MemoryStore, clock: ManualClock) -> None:
    """A lower revision may be an older one that was told late: the store is asked before the next use."""
    here = CredentialStore(memory, KEYS, clock, DICE, capacity=10)
    memory.revision = 9
    await here.save(*WHO, credential("old"))
    memory.entries[KEY] = msgspec.structs.replace(memory.entries[KEY], written=clock.wall())
    there = MemoryStore()
    await CredentialStore(there, KEYS, clock, DICE, capacity=10).save(*WHO, credential("new"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.follow)
        await anyio.wait_all_tasks_blocked()
        assert token_of(await here.load(*WHO)) == "old"
        anew = memory.entries[KEY] = msgspec.structs.replace(there.entries[KEY], written=clock.wall() + 1)
        for _, told in memory.watchers:
            told(msgspec.structs.replace(anew, written=None))
        assert token_of(await here.load(*WHO)) == "new"
        tasks.cancel_scope.cancel()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
