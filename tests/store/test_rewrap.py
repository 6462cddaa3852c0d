"""Another key takes over while records are in use: nothing is lost, nothing is guessed, everything is counted."""

from __future__ import annotations

import anyio
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import CREDENTIALS, bucket, provision
from sidecar.credential import Credential
from sidecar.model import Failure, Reason
from sidecar.ports import Entry
from sidecar.sandbox.scripted import ManualClock
from sidecar.store.credential import BUCKET, CredentialStore
from sidecar.store.record import record_pattern
from sidecar.store.rewrap import KeyUse, SealedRecords, Unopened
from tests.store.test_credential import DICE, MemoryStore, credential, reason_of, token_of

pytestmark = pytest.mark.anyio

OLD, NEW, OTHER = bytes(32), bytes(31) + b"1", bytes(31) + b"2"
BEFORE = FileKeys({"old": OLD})
BOTH = FileKeys({"old": OLD, "new": NEW})
AFTER = FileKeys({"new": NEW})


class House:
    """Records of acme and evil, sealed with the old key."""

    def __init__(self) -> None:
        self.memory, self.clock = MemoryStore(), ManualClock()

    def credentials(self, keys: FileKeys) -> CredentialStore:
        return CredentialStore(self.memory, keys, self.clock, DICE, capacity=1)

    async def save(self, *names: str, tenant: str = "acme", keys: FileKeys = BEFORE) -> None:
        for name in names:
            assert await self.credentials(keys).save(tenant, name, "github", credential(f"token of {name}")) is None

    async def token(self, name: str, keys: FileKeys) -> str | Reason:
        loaded = await self.credentials(keys).load("acme", name, "github")
        return token_of(loaded) if isinstance(loaded, Credential) else reason_of(loaded)

    async def batch(
        self,
        keys: FileKeys = BOTH,
        *,
        after: str | None = None,
        limit: int = 100,
        within: float = 100.0,
        rewrap: bool = True,
        connection: str | None = None,
    ) -> KeyUse:
        found = await self.asked(
            keys,
            after=after,
            limit=limit,
            within=within,
            rewrap=rewrap,
            pattern=record_pattern("acme", connection, None),
        )
        assert isinstance(found, KeyUse), found
        return found

    async def asked(
        self,
        keys: FileKeys = BOTH,
        *,
        after: str | None = None,
        limit: int = 100,
        within: float = 100.0,
        rewrap: bool = True,
        pattern: str = "acme.*.*",
    ) -> KeyUse | Failure:
        records = SealedRecords(self.memory, keys, self.clock, DICE, {BUCKET: ""})
        return await records.batch("acme", pattern, after=after, limit=limit, within=within, rewrap=rewrap)

    def spoil(self, name: str, value: bytes) -> None:
        key = f"acme.{name}.github"
        self.memory.entries[key] = Entry(key, value, self.memory.entries[key].revision)


def spot(name: str) -> str:
    return f"{BUCKET}|acme.{name}.github"


async def test_every_record_moves_under_the_newest_key() -> None:
    """Afterwards the old key is not needed; other tenants' records are not touched."""
    here = House()
    await here.save("alice", "bob", "carol")
    await here.save("mallory", tenant="evil")
    evil = here.memory.entries["evil.mallory.github"]
    found = await here.batch()
    assert (found.rewrapped, found.left, found.failed, found.next) == (3, 0, (), None)
    assert (found.key, found.held, found.records) == ("new", ("old", "new"), {"new": 3})
    assert [await here.token(name, AFTER) for name in ("alice", "bob", "carol")] == [
        "token of alice",
        "token of bob",
        "token of carol",
    ]
    assert here.memory.entries["evil.mallory.github"] == evil


async def test_a_second_time_changes_nothing() -> None:
    """An answer that was lost may be asked for again."""
    here = House()
    await here.save("alice", "bob")
    await here.batch()
    revision = here.memory.revision
    assert (await here.batch()).rewrapped == 0
    assert here.memory.revision == revision


async def test_looking_changes_nothing() -> None:
    """It counts the records under each key, also under one that is not at hand."""
    here = House()
    await here.save("alice", "bob")
    await here.save("carol", keys=AFTER)
    await here.save("dave", keys=FileKeys({"lost": OTHER}))
    revision = here.memory.revision
    found = await here.batch(rewrap=False)
    assert found.records == {"lost": 1, "new": 1, "old": 2}
    assert (found.rewrapped, found.left, found.failed) == (0, 3, ())
    assert here.memory.revision == revision


async def test_batches_follow_each_other() -> None:
    """Each goes on behind the last; together they see every record once."""
    here = House()
    await here.save(*(f"n{number:02}" for number in range(25)))
    counts, after = [], None
    while True:
        found = await here.batch(after=after, limit=10)
        counts.append(found.rewrapped)
        after = found.next
        if after is None:
            break
    assert counts == [10, 10, 5]


async def test_a_batch_ends_in_time() -> None:
    """It answers with what it has done, and where to go on; it always does something."""
    here = House()
    await here.save(*(f"n{number:02}" for number in range(25)))
    found = await here.batch(within=0.0)
    assert (found.rewrapped, found.next) == (8, spot("n07"))


async def test_one_connection_alone() -> None:
    """Where a sidecar serves a part of the tenant, that part is asked for."""
    here = House()
    await here.save("alice", "bob")
    assert (await here.batch(connection="alice")).records == {"new": 1}


async def test_what_does_not_open_is_named_and_left() -> None:
    """The key is lost, the record damaged, or another's put in its place: each is told, none is written."""
    here = House()
    await here.save("alice", "bob", "carol", "dave", "erin")
    await here.save("bob", keys=FileKeys({"lost": OTHER}))
    here.spoil("carol", here.memory.entries["acme.alice.github"].value)
    here.spoil("dave", here.memory.entries["acme.dave.github"].value[:-1] + b"x")
    here.spoil("erin", b"nonsense")
    before = {name: here.memory.entries[f"acme.{name}.github"] for name in ("bob", "carol", "dave", "erin")}
    found = await here.batch()
    assert found.rewrapped == 1
    assert found.records == {"lost": 1, "new": 1, "old": 1}
    assert found.left == 2
    assert found.failed == (
        Unopened(spot("bob"), "KEY_UNAVAILABLE: key 'lost' is not in the key file; put it back"),
        Unopened(spot("carol"), "CREDENTIAL_CORRUPT: the record was changed, or belongs to another place"),
        Unopened(spot("dave"), "CREDENTIAL_CORRUPT: the record was changed"),
        Unopened(spot("erin"), "CREDENTIAL_CORRUPT: the record is not in the sealed form"),
    )
    assert {name: here.memory.entries[f"acme.{name}.github"] for name in before} == before


@pytest.mark.parametrize(("writer", "rewrapped", "key"), [(BEFORE, 1, "new"), (AFTER, 0, "new")])
async def test_who_writes_meanwhile_is_not_overwritten(writer: FileKeys, rewrapped: int, key: str) -> None:
    """A record that changed between reading and writing keeps the change, and ends under the newest key."""
    here = House()
    await here.save("alice")
    fresh = House()
    await fresh.credentials(writer).save("acme", "alice", "github", credential("the newer token"))
    newer = fresh.memory.entries["acme.alice.github"].value

    def first() -> None:
        here.memory.before_write = lambda: None
        here.memory.revision += 1
        here.memory.entries["acme.alice.github"] = Entry("acme.alice.github", newer, here.memory.revision)

    here.memory.before_write = first
    found = await here.batch()
    assert (found.rewrapped, found.left, found.records) == (rewrapped, 0, {key: 1})
    assert await here.token("alice", AFTER) == "the newer token"


async def test_who_writes_all_the_time_is_left_for_the_next_round() -> None:
    """It is counted as left, not as failed."""
    here = House()
    await here.save("alice")

    def again() -> None:
        here.memory.revision += 1
        entry = here.memory.entries["acme.alice.github"]
        here.memory.entries[entry.key] = Entry(entry.key, entry.value, here.memory.revision)

    here.memory.before_write = again
    found = await here.batch()
    assert (found.rewrapped, found.left, found.failed) == (0, 1, ())


async def test_a_store_that_is_away_or_full_ends_the_batch() -> None:
    """With the reason; what was moved is moved, and the batch may be asked for again."""
    here = House()
    await here.save("alice")
    here.memory.full = True
    assert reason_of(await here.asked()) is Reason.STORE_FULL
    here.memory.away = "refusing"
    assert reason_of(await here.asked()) is Reason.STORE_UNAVAILABLE


async def test_a_record_deleted_meanwhile_is_nobody_s() -> None:
    """It is not counted."""
    here = House()
    await here.save("alice", "bob")

    def gone() -> None:
        here.memory.entries.pop("acme.bob.github", None)

    here.memory.before_write = gone
    assert (await here.batch()).records == {"new": 1}


async def test_under_load_on_a_real_server(bus: NatsBus, fresh_name: str) -> None:
    """Some hundred records re-wrapped while calls read and write them: no call fails, nothing is left."""
    await provision(bus, (bucket(CREDENTIALS, replicas=1),))
    store, clock, tenant = NatsStore(bus), ManualClock(), fresh_name
    before = CredentialStore(store, BEFORE, clock, DICE, capacity=1)
    names = [f"user{number}" for number in range(300)]
    async with anyio.create_task_group() as group:
        for part in range(10):
            group.start_soon(_save, before, tenant, names[part::10])
    records = SealedRecords(store, BOTH, clock, DICE, {BUCKET: ""})
    failed: list[Failure] = []
    calls = 0

    async def call(mine: list[str]) -> None:
        nonlocal calls
        reader = CredentialStore(store, BOTH, clock, DICE, capacity=1)
        while not over:
            for name in mine:
                found = await reader.load(tenant, name, "github")
                failed.extend([found] if isinstance(found, Failure) else [])
                calls += 1
            written = await reader.save(tenant, mine[0], "github", credential("rotated"))
            failed.extend([written] if isinstance(written, Failure) else [])

    over = False
    rewrapped, after = 0, None
    async with anyio.create_task_group() as group:
        for part in range(4):
            group.start_soon(call, names[part::4])
        while True:
            found = await records.batch(tenant, f"{tenant}.*.*", after=after, limit=50, within=100.0, rewrap=True)
            assert isinstance(found, KeyUse), found
            assert (found.left, found.failed) == (0, ())
            rewrapped, after = rewrapped + found.rewrapped, found.next
            if after is None:
                break
        over = True
    assert failed == []
    assert calls > 0
    last = await records.batch(tenant, f"{tenant}.*.*", after=None, limit=1000, within=100.0, rewrap=False)
    assert isinstance(last, KeyUse)
    assert last.records == {"new": len(names)}
    assert 0 < rewrapped <= len(names)


async def _save(store: CredentialStore, tenant: str, names: list[str]) -> None:
    for name in names:
        assert await store.save(tenant, name, "github", credential()) is None
