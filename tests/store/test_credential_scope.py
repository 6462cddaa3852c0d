"""Credentials of a scoped sidecar: its own alone; and what a missing key does to a call, and to nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.key_file import add_key
from sidecar.adapters.tenant_keys import TenantKeys
from sidecar.credential import Status
from sidecar.key_places import KeyPlaces
from sidecar.model import MEANINGS, Again, Code, Failure, Reason
from sidecar.ports import Entry
from sidecar.sandbox.scripted import ManualClock
from sidecar.scope import Scope
from sidecar.store.credential import CredentialStore
from tests.store.test_credential import DICE, KEYS, MemoryStore, credential, reason_of, token_of

pytestmark = pytest.mark.anyio

OUTSIDE = [("evil", "alice", "github"), ("acme", "mallory", "github"), ("acme", "alice", "slack")]
ASKED: dict[str, Callable[[CredentialStore, tuple[str, str, str]], Awaitable[object]]] = {
    "load": lambda store, who: store.load(*who),
    "save": lambda store, who: store.save(*who, credential()),
    "set_status": lambda store, who: store.set_status(*who, Status.REVOKED),
    "list": lambda store, who: store.list(*who),
}


@pytest.fixture
async def memory() -> MemoryStore:
    """Records inside and outside of the scope, all sealed with a key that the sidecar holds."""
    memory = MemoryStore()
    for who in [("acme", "alice", "github"), *OUTSIDE]:
        assert await CredentialStore(memory, KEYS, ManualClock(), DICE, capacity=1).save(*who, credential()) is None
    return memory


@pytest.fixture
def scoped(memory: MemoryStore) -> CredentialStore:
    scope = Scope("acme", ("alice",), ("github",))
    return CredentialStore(memory, KEYS, ManualClock(), DICE, capacity=10, scope=scope)


@pytest.mark.parametrize("who", OUTSIDE)
@pytest.mark.parametrize("verb", ASKED)
async def test_what_is_outside_is_refused(
    memory: MemoryStore, scoped: CredentialStore, verb: str, who: tuple[str, str, str]
) -> None:
    """Before the store is asked, also where the key is at hand."""
    memory.reads, revision = 0, memory.revision
    assert reason_of(await ASKED[verb](scoped, who)) is Reason.TENANT_DENIED
    assert (memory.reads, memory.revision) == (0, revision)


async def test_what_is_inside_is_served(scoped: CredentialStore) -> None:
    """And a list shows nothing else."""
    assert token_of(await scoped.load("acme", "alice", "github")) == "hunter2"
    listed = await scoped.list("acme", None, None)
    assert not isinstance(listed, Failure)
    assert [(item.connection, item.provider) for item in listed] == [("alice", "github")]


@pytest.fixture
def keys(tmp_path: Path) -> TenantKeys:
    """Keys for acme, none for newco."""
    add_key(tmp_path / "acme")
    clock = ManualClock()
    return TenantKeys(KeyPlaces(files={}, folder=tmp_path).files_of, clock.now)


async def test_a_tenant_without_a_key_is_told_and_alone_in_it(keys: TenantKeys, tmp_path: Path) -> None:
    """Nothing can be stored or used for him until the file is there, which is named; others are served."""
    store = CredentialStore(MemoryStore(), keys, ManualClock(), DICE, capacity=1)
    for asked in (await store.save("newco", "a", "github", credential()),):
        assert isinstance(asked, Failure)
        assert asked.reason is Reason.KEY_UNAVAILABLE
        assert f"key file {tmp_path}/newco is not there" in asked.detail
    assert await store.save("acme", "a", "github", credential()) is None
    add_key(tmp_path / "newco")
    assert await store.save("newco", "a", "github", credential()) is None
    assert token_of(await store.load("newco", "a", "github")) == "hunter2"


async def test_a_key_taken_away_in_use(keys: TenantKeys, tmp_path: Path) -> None:
    """What is sealed with it is unavailable, and may be asked for again; put back, it opens."""
    memory, newest = MemoryStore(), add_key(tmp_path / "acme")
    old = FileKeys({"old": bytes(32)})
    assert (
        await CredentialStore(memory, old, ManualClock(), DICE, capacity=1).save("acme", "a", "github", credential())
        is None
    )
    store = CredentialStore(memory, keys, ManualClock(), DICE, capacity=1)
    assert reason_of(await store.load("acme", "a", "github")) is Reason.KEY_UNAVAILABLE
    assert await store.save("acme", "b", "github", credential()) is None
    assert keys.held("acme")[-1] == newest
    file = tmp_path / "acme"
    file.write_text(f"old {'A' * 43}=\n{file.read_text()}")
    assert token_of(await store.load("acme", "a", "github")) == "hunter2"
    meaning = MEANINGS[Reason.KEY_UNAVAILABLE]
    assert (meaning.code, meaning.again) == (Code.UNAVAILABLE, Again.YES)


async def test_another_tenants_record_in_the_place_of_ones_own(tmp_path: Path) -> None:
    """It does not open, though both keys are at hand: it is told as damage, and no call is made with it."""
    for tenant in ("acme", "evil"):
        add_key(tmp_path / tenant)
    clock, memory = ManualClock(), MemoryStore()
    keys = TenantKeys(KeyPlaces(files={}, folder=tmp_path).files_of, clock.now)
    (tmp_path / "evil").write_text((tmp_path / "acme").read_text() + (tmp_path / "evil").read_text())
    store = CredentialStore(memory, keys, clock, DICE, capacity=1)
    assert await store.save("acme", "alice", "github", credential()) is None
    stolen = memory.entries["acme.alice.github"].value
    memory.entries["evil.alice.github"] = Entry("evil.alice.github", stolen, 1)
    assert keys.key_of(stolen) in keys.held("evil")
    assert reason_of(await store.load("evil", "alice", "github")) is Reason.CREDENTIAL_CORRUPT
