"""Credentials: kept sealed, read through a bounded memory, changed by compare-and-set, and never another's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import anyio
import msgspec
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import CREDENTIALS, bucket, provision
from sidecar.adapters.system import SystemRandom
from sidecar.credential import Credential, Refreshing, Status, Tokens
from sidecar.model import Failure, Reason
from sidecar.ports import Entry, StoreConflict, StoreFull, StoreUnavailable
from sidecar.sandbox.scripted import ManualClock
from sidecar.secret import Secret
from sidecar.store.credential import BUCKET, CredentialStore
from sidecar.store.record import record_key

pytestmark = pytest.mark.anyio

DICE = SystemRandom()
KEYS = FileKeys({"k1": bytes(32)})
WHO = ("acme", "alice@example.com", "github")
KEY = "acme.alice=40example=2Ecom.github"


def credential(token: str = "hunter2", *, changed: float = 1.0) -> Credential:
    return Credential(kind="bearer", fields={"token": Secret(token)}, base_url=None, created=changed, changed=changed)


def token_of(loaded: Credential | Failure) -> str:
    assert isinstance(loaded, Credential), loaded
    return loaded.fields["token"].reveal()


def reason_of(loaded: object) -> Reason:
    assert isinstance(loaded, Failure), loaded
    return loaded.reason


class MemoryStore:
    """`ports.Store` in a dictionary. It counts reads; a test sets what goes wrong and what happens before a write."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self.reads = 0
        self.away: Literal["no", "silent", "refusing"] = "no"
        self.before_write: Callable[[], None] = lambda: None
        self.full = False
        self.watchers: list[tuple[str, Callable[[Entry | None], None]]] = []

    async def get(self, bucket: str, key: str) -> Entry | None:
        self.reads += 1
        await self._answer()
        return self.entries.get(key)

    async def put(
        self, bucket: str, key: str, value: bytes | None, *, message_id: str, expected: int, ttl: int | None = None
    ) -> int:
        self.before_write()
        await self._answer()
        if self.full:
            raise StoreFull("maximum bytes exceeded")
        current = self.entries.get(key)
        if (current.revision if current else 0) != expected:
            raise StoreConflict(key, current.revision if current else 0)
        self.revision += 1
        entry = Entry(key, value or b"", self.revision, message_id, expected, ttl, deleted=value is None)
        self.entries[key] = entry
        for pattern, told in self.watchers:
            if _matches(pattern, key):
                told(entry)
        return self.revision

    async def keys(self, bucket: str, pattern: str) -> list[str]:
        await self._answer()
        return sorted(key for key, entry in self.entries.items() if _matches(pattern, key) and not entry.deleted)

    async def watch(self, bucket: str, pattern: str, told: Callable[[Entry | None], None]) -> None:
        self.watchers.append((pattern, told))
        told(None)
        try:
            await anyio.sleep_forever()
        finally:
            self.watchers.remove((pattern, told))

    async def _answer(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.away == "silent":
            await anyio.sleep_forever()
        if self.away == "refusing":
            raise StoreUnavailable("nobody answers")


def _matches(pattern: str, key: str) -> bool:
    words = pattern.replace(".", r"\.").replace("*", r"[^.]+").replace(">", ".+")
    return re.fullmatch(words, key) is not None


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(memory: MemoryStore, clock: ManualClock) -> CredentialStore:
    return CredentialStore(memory, KEYS, clock, DICE, capacity=100)


@pytest.fixture
async def on_nats(bus: NatsBus) -> NatsStore:
    await provision(bus, (bucket(BUCKET),))
    return NatsStore(bus)


def other_process(memory: MemoryStore, clock: ManualClock) -> CredentialStore:
    return CredentialStore(memory, KEYS, clock, DICE, capacity=100)


async def test_comes_back_as_it_was_saved(on_nats: NatsStore, fresh_name: str, clock: ManualClock) -> None:
    """What one sidecar saved another one loads, every field of it."""
    saved = Credential(
        kind="basic",
        fields={"user": Secret("u"), "password": Secret("pässword")},
        base_url="https://git.acme.example",
        account="u@acme",
        created=1.5,
        changed=2.5,
    )
    assert (
        await CredentialStore(on_nats, KEYS, clock, DICE, capacity=1).save(fresh_name, "alice", "github", saved) is None
    )
    assert await CredentialStore(on_nats, KEYS, clock, DICE, capacity=1).load(fresh_name, "alice", "github") == saved


async def test_nothing_readable_is_stored(on_nats: NatsStore, fresh_name: str, clock: ManualClock) -> None:
    """Neither secret nor account stands in the stored bytes; the key is readable."""
    await CredentialStore(on_nats, KEYS, clock, DICE, capacity=1).save(fresh_name, "a@b", "github", credential())
    entry = await on_nats.get(BUCKET, f"{fresh_name}.a=40b.github")
    assert entry is not None
    assert b"hunter2" not in entry.value
    assert b"bearer" not in entry.value


async def test_status_and_list_on_nats(on_nats: NatsStore, fresh_name: str, clock: ManualClock) -> None:
    """Disabled, listed and revoked in JetStream as in memory; another tenant's are not listed."""
    store = CredentialStore(on_nats, KEYS, clock, DICE, capacity=10)
    for connection, provider in (("a@b.c", "github"), ("a@b.c", "slack"), ("bob", "github")):
        await store.save(fresh_name, connection, provider, credential())
    await store.save(f"{fresh_name}x", "eve", "github", credential())
    await store.set_status(fresh_name, "bob", "github", Status.DISABLED)
    await store.set_status(fresh_name, "a@b.c", "slack", Status.REVOKED)
    listed = await store.list(fresh_name, None, None)
    assert not isinstance(listed, Failure)
    assert [
        (named.connection, named.provider, named.credential.status)
        for named in listed
        if isinstance(named.credential, Credential)
    ] == [("a@b.c", "github", "active"), ("a@b.c", "slack", "revoked"), ("bob", "github", "disabled")]


def test_the_bucket_is_the_one_that_is_provisioned() -> None:
    """The store writes where `dev` and `run` look."""
    assert BUCKET == CREDENTIALS


def test_the_key_is_readable_and_legal() -> None:
    """The key names tenant, connection and provider, with `=` for `%`."""
    assert record_key(*WHO) == KEY
    assert record_key("a=b", "x.y", "p") == "a=3Db.x=2Ey.p"


async def test_there_is_no_fallback(store: CredentialStore) -> None:
    """A connection without a credential fails, whatever others have one."""
    await store.save("acme", "default", "github", credential())
    await store.save("default", "alice", "github", credential())
    loaded = await store.load("acme", "alice", "github")
    assert reason_of(loaded) is Reason.NO_CREDENTIAL
    assert "alice of github" in loaded.detail  # type: ignore[union-attr] # reason_of proved it


@pytest.mark.parametrize(
    ("status", "reason"),
    [(Status.DISABLED, Reason.CONNECTION_DISABLED), (Status.REVOKED, Reason.CONNECTION_REVOKED)],
)
async def test_a_status_is_obeyed_at_once(store: CredentialStore, status: Status, reason: Reason) -> None:
    """After disable or revoke the same sidecar does not use the connection any more, though it was in memory."""
    await store.save(*WHO, credential())
    await store.load(*WHO)
    await store.set_status(*WHO, status)
    assert reason_of(await store.load(*WHO)) is reason


async def test_enabled_again(store: CredentialStore) -> None:
    """A disabled connection can be enabled, with its secret."""
    await store.save(*WHO, credential())
    await store.set_status(*WHO, Status.DISABLED)
    await store.set_status(*WHO, Status.ACTIVE)
    assert token_of(await store.load(*WHO)) == "hunter2"


async def test_revoked_is_for_good(store: CredentialStore, memory: MemoryStore) -> None:
    """A revoked record holds no secret and cannot be enabled; an import makes the connection anew."""
    await store.save(*WHO, credential())
    revoked = await store.set_status(*WHO, Status.REVOKED)
    assert isinstance(revoked, Credential)
    assert revoked.fields == {}
    assert b"hunter2" not in KEYS.open("acme", f"{BUCKET}|{KEY}", memory.entries[KEY].value)
    assert reason_of(await store.set_status(*WHO, Status.ACTIVE)) is Reason.CONNECTION_REVOKED
    assert await store.save(*WHO, credential("new")) is None
    assert token_of(await store.load(*WHO)) == "new"


async def test_a_status_of_nothing(store: CredentialStore) -> None:
    """What is not there cannot be disabled."""
    assert reason_of(await store.set_status(*WHO, Status.DISABLED)) is Reason.NO_CREDENTIAL


async def test_an_import_over_an_older_one_keeps_when_it_was_made(store: CredentialStore) -> None:
    """`created` is the first import's, `changed` the last one's."""
    await store.save(*WHO, credential(changed=1.0))
    await store.save(*WHO, credential("new", changed=9.0))
    loaded = await store.load(*WHO)
    assert isinstance(loaded, Credential)
    assert (loaded.created, loaded.changed, token_of(loaded)) == (1.0, 9.0, "new")


async def test_memory_answers_for_thirty_seconds(
    store: CredentialStore, memory: MemoryStore, clock: ManualClock
) -> None:
    """A known credential costs no read; after 30 s one read, and what another sidecar changed is seen."""
    await store.save(*WHO, credential())
    before = memory.reads
    await other_process(memory, clock).set_status(*WHO, Status.DISABLED)
    changed_reads = memory.reads
    await clock.sleep(29)
    assert token_of(await store.load(*WHO)) == "hunter2"
    assert memory.reads == changed_reads > before
    await clock.sleep(1)
    assert reason_of(await store.load(*WHO)) is Reason.CONNECTION_DISABLED
    assert memory.reads == changed_reads + 1


async def test_one_call_looks_the_others_go_on(store: CredentialStore, memory: MemoryStore, clock: ManualClock) -> None:
    """Of a hundred calls at once with an aged credential one reads."""
    await store.save(*WHO, credential())
    await clock.sleep(60)
    before = memory.reads
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(store.load, *WHO)
    assert memory.reads == before + 1


@pytest.mark.parametrize("away", ["silent", "refusing"])
async def test_a_known_credential_goes_on_without_the_store(
    store: CredentialStore, memory: MemoryStore, clock: ManualClock, away: Literal["silent", "refusing"]
) -> None:
    """With the store away a known credential is used on, for hours, with one short look every 30 s."""
    await store.save(*WHO, credential())
    memory.away = away
    before = memory.reads
    with anyio.fail_after(5):
        for _ in range(5):
            await clock.sleep(1800)
            assert token_of(await store.load(*WHO)) == "hunter2"
            assert token_of(await store.load(*WHO)) == "hunter2"
    assert memory.reads == before + 5


async def test_an_unknown_credential_without_the_store(store: CredentialStore, memory: MemoryStore) -> None:
    """With the store away a credential that is not in memory is STORE_UNAVAILABLE, not missing."""
    memory.away = "refusing"
    assert reason_of(await store.load(*WHO)) is Reason.STORE_UNAVAILABLE
    assert reason_of(await store.list("acme", None, None)) is Reason.STORE_UNAVAILABLE
    assert reason_of(await store.save(*WHO, credential())) is Reason.STORE_UNAVAILABLE
    assert reason_of(await store.set_status(*WHO, Status.DISABLED)) is Reason.STORE_UNAVAILABLE


async def test_an_unknown_credential_without_any_time(store: CredentialStore) -> None:
    """A store that is not waited for says nothing of itself: the failure's cause is the time that was given."""
    found = await store.load(*WHO, within=0.0)
    assert isinstance(found, Failure)
    assert isinstance(found.cause, TimeoutError)


async def test_memory_is_bounded(memory: MemoryStore, clock: ManualClock) -> None:
    """Of more connections than fit those used last are kept."""
    store = CredentialStore(memory, KEYS, clock, DICE, capacity=2)
    for name in ("a", "b", "c"):
        await store.save("acme", name, "github", credential())
    await store.load("acme", "b", "github")
    await store.load("acme", "a", "github")
    before = memory.reads
    await store.load("acme", "a", "github")
    await store.load("acme", "b", "github")
    assert memory.reads == before
    await store.load("acme", "c", "github")
    assert memory.reads == before + 1
    assert len(store._cache) == 2


async def test_memory_forgets_what_is_not_used(store: CredentialStore, clock: ManualClock) -> None:
    """A secret that no call used for an hour does not stay in memory."""
    await store.save(*WHO, credential())
    await clock.sleep(3601)
    await store.save("acme", "bob", "github", credential())
    assert list(store._cache) == ["acme.bob.github"]


async def test_a_late_read_does_not_bring_back_a_revoked_one(
    store: CredentialStore, memory: MemoryStore, clock: ManualClock
) -> None:
    """A read that began before a revocation and ends after it does not put the old credential into memory."""
    await store.save(*WHO, credential())
    await clock.sleep(60)
    old = memory.entries[KEY]
    await store.set_status(*WHO, Status.REVOKED)
    memory.entries[KEY] = old  # as a replica that lags answers
    await clock.sleep(60)
    assert reason_of(await store.load(*WHO)) is Reason.CONNECTION_REVOKED


async def test_a_damaged_record_is_never_used(store: CredentialStore, memory: MemoryStore, clock: ManualClock) -> None:
    """A flipped bit is CREDENTIAL_CORRUPT, also when the credential was in memory before."""
    await store.save(*WHO, credential())
    damage(memory, KEY)
    assert reason_of(await other_process(memory, clock).load(*WHO)) is Reason.CREDENTIAL_CORRUPT
    await clock.sleep(31)
    assert reason_of(await store.load(*WHO)) is Reason.CREDENTIAL_CORRUPT
    assert reason_of(await store.load(*WHO)) is Reason.CREDENTIAL_CORRUPT


async def test_a_record_of_another_tenant_is_never_used(memory: MemoryStore, clock: ManualClock) -> None:
    """A record copied under another tenant, connection or provider does not open there."""
    await other_process(memory, clock).save("evil", "alice", "github", credential())
    stolen = memory.entries["evil.alice.github"]
    for key in ("acme.alice.github", "evil.bob.github", "evil.alice.slack"):
        memory.entries[key] = msgspec.structs.replace(stolen, key=key)
        loaded = await other_process(memory, clock).load(*key.split("."))
        assert reason_of(loaded) is Reason.CREDENTIAL_CORRUPT


async def test_a_missing_key_is_told_as_such(store: CredentialStore, memory: MemoryStore, clock: ManualClock) -> None:
    """Without the key that sealed it a record is KEY_UNAVAILABLE: the same call may do later."""
    await store.save(*WHO, credential())
    others = CredentialStore(memory, FileKeys({"k2": bytes(31) + b"2"}), clock, DICE, capacity=1)
    loaded = await others.load(*WHO)
    assert reason_of(loaded) is Reason.KEY_UNAVAILABLE
    assert "'k1'" in loaded.detail  # type: ignore[union-attr] # reason_of proved it


async def test_records_of_today_open_for_ever(store: CredentialStore, memory: MemoryStore) -> None:
    """The form in which records are stored now is read by every later version."""
    await memory.put(BUCKET, KEY, stored(), message_id="m", expected=0)
    assert await store.load(*WHO) == credential()


async def test_records_of_the_format_before_open(store: CredentialStore, memory: MemoryStore) -> None:
    """What was stored before kinds had tokens is read, and written on in today's form."""
    await memory.put(BUCKET, KEY, stored_before(), message_id="m", expected=0)
    assert await store.load(*WHO) == credential()
    await store.set_status(*WHO, Status.DISABLED)
    assert b'"format":2' in KEYS.open("acme", f"{BUCKET}|{KEY}", memory.entries[KEY].value)


async def test_tokens_are_kept_whole(store: CredentialStore, memory: MemoryStore, clock: ManualClock) -> None:
    """What a provider issued, who renews it, and what stays with the connection come back as they were."""
    tokens = Tokens(access=Secret("at"), refresh=Secret("rt"), expires=99.0, lifetime=60.0, scopes=("a", "b"))
    whole = msgspec.structs.replace(
        credential(),
        tokens=tokens,
        refreshing=Refreshing(owner="me", attempt="1"),
        client_id="app",
        kept={"cloud_id": "x"},
        why="because",
    )
    await store.save(*WHO, whole)
    assert await other_process(memory, clock).load(*WHO) == whole


async def test_a_record_of_a_later_version_is_not_guessed_at(store: CredentialStore, memory: MemoryStore) -> None:
    """A format that this version does not know is refused."""
    await memory.put(BUCKET, KEY, stored(format=3), message_id="m", expected=0)
    loaded = await store.load(*WHO)
    assert reason_of(loaded) is Reason.CREDENTIAL_CORRUPT
    assert "a newer version wrote it, in format 3; this one reads up to 2: upgrade it" in str(loaded)


async def test_what_does_not_open_is_listed_and_can_be_replaced(store: CredentialStore, memory: MemoryStore) -> None:
    """One damaged record does not hide the others; it can be revoked or imported again, not enabled or disabled."""
    for name in ("alice", "bob", "carol"):
        await store.save("acme", name, "github", credential())
    damage(memory, "acme.bob.github")
    listed = await store.list("acme", None, "github")
    assert not isinstance(listed, Failure)
    assert [(named.connection, isinstance(named.credential, Credential)) for named in listed] == [
        ("alice", True),
        ("bob", False),
        ("carol", True),
    ]
    assert reason_of(await store.set_status("acme", "bob", "github", Status.DISABLED)) is Reason.CREDENTIAL_CORRUPT
    assert isinstance(await store.set_status("acme", "bob", "github", Status.REVOKED), Credential)
    assert reason_of(await store.load("acme", "bob", "github")) is Reason.CONNECTION_REVOKED
    damage(memory, "acme.bob.github")
    assert await store.save("acme", "bob", "github", credential("new")) is None
    assert token_of(await store.load("acme", "bob", "github")) == "new"


async def test_a_change_of_another_sidecar_is_not_lost(
    store: CredentialStore, memory: MemoryStore, clock: ManualClock
) -> None:
    """A change that comes between read and write is read again, not written over blindly."""
    await store.save(*WHO, credential())

    def account_is_found_meanwhile() -> None:
        memory.before_write = lambda: None
        memory.revision += 1
        sealed = stored(account="alice", fields={"token": "theirs"})
        memory.entries[KEY] = Entry(KEY, sealed, memory.revision)

    memory.before_write = account_is_found_meanwhile
    changed = await store.set_status(*WHO, Status.DISABLED)
    assert isinstance(changed, Credential)
    assert (changed.status, changed.account, token_of(changed)) == (Status.DISABLED, "alice", "theirs")


async def test_a_change_that_others_always_win(store: CredentialStore, memory: MemoryStore) -> None:
    """After a few lost races the change is given up as CAS_CONFLICT, which may be tried again."""
    await store.save(*WHO, credential())

    def others() -> None:
        memory.revision += 1
        memory.entries[KEY] = msgspec.structs.replace(memory.entries[KEY], revision=memory.revision)

    memory.before_write = others
    assert reason_of(await store.set_status(*WHO, Status.DISABLED)) is Reason.CAS_CONFLICT


async def test_a_full_store(store: CredentialStore, memory: MemoryStore) -> None:
    """A store without room is STORE_FULL, and the old credential stays."""
    await store.save(*WHO, credential())
    memory.full = True
    assert reason_of(await store.save(*WHO, credential("new"))) is Reason.STORE_FULL
    assert token_of(await store.load(*WHO)) == "hunter2"


async def test_a_change_whose_outcome_is_unknown_is_looked_up(store: CredentialStore, memory: MemoryStore) -> None:
    """When a revocation was not confirmed the old credential is not used from memory."""
    await store.save(*WHO, credential())

    def go_away() -> None:
        memory.away = "refusing"

    memory.before_write = go_away
    assert reason_of(await store.set_status(*WHO, Status.REVOKED)) is Reason.STORE_UNAVAILABLE
    assert reason_of(await store.load(*WHO)) is Reason.STORE_UNAVAILABLE


def stored(**changes: object) -> bytes:
    """A sealed record as its bytes are today, with changes."""
    later: dict[str, object] = {"tokens": None, "refreshing": None, "client_id": None, "kept": {}, "why": None}
    return stored_before(**{"format": 2, **later, **changes})


def stored_before(**changes: object) -> bytes:
    """The same as the version before wrote it."""
    record = {"format": 1, "kind": "bearer", "fields": {"token": "hunter2"}, "base_url": None, "status": "active"}
    record |= {"account": None, "created": 1.0, "changed": 1.0}
    return KEYS.seal("acme", f"{BUCKET}|{KEY}", msgspec.json.encode({**record, **changes}))


def damage(memory: MemoryStore, key: str) -> None:
    entry = memory.entries[key]
    value = bytearray(entry.value)
    value[len(value) // 2] ^= 1
    memory.entries[key] = msgspec.structs.replace(entry, value=bytes(value))
