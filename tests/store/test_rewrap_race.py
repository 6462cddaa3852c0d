"""A rotation meets records that others write, and records that expire."""

from __future__ import annotations

import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.ports import Entry
from sidecar.sandbox.scripted import ManualClock
from sidecar.store.rewrap import KeyUse, SealedRecords
from tests.store.test_credential import DICE, MemoryStore

pytestmark = pytest.mark.anyio

BUCKET, KEY = "B", "acme.alice.github"
OLD, NEW = bytes(32), bytes(31) + b"1"
BEFORE, BOTH, AFTER = FileKeys({"old": OLD}), FileKeys({"old": OLD, "new": NEW}), FileKeys({"new": NEW})


class Racing(MemoryStore):
    """Somebody writes the record right after it was read for the first time."""

    async def get(self, bucket: str, key: str) -> Entry | None:
        found = await super().get(bucket, key)
        if self.reads == 1:
            await self.put(bucket, key, sealed("newer"), message_id="theirs", expected=found.revision if found else 0)
        return found


def sealed(text: str) -> bytes:
    return BEFORE.seal("acme", f"{BUCKET}|{KEY}", text.encode())


async def rotated(store: MemoryStore) -> KeyUse:
    records = SealedRecords(store, BOTH, ManualClock(), DICE, {BUCKET: ""})
    found = await records.batch("acme", "acme.>", after=None, limit=10, within=10.0, rewrap=True)
    assert isinstance(found, KeyUse)
    return found


async def test_what_is_written_between_read_and_write_stays() -> None:
    """What was read is not put over it: it is read again, and that moves under the newest key."""
    store = Racing()
    await store.put(BUCKET, KEY, sealed("older"), message_id="ours", expected=0)
    assert (await rotated(store)).records == {"new": 1}
    assert AFTER.open("acme", f"{BUCKET}|{KEY}", store.entries[KEY].value) == b"newer"


async def test_a_record_keeps_its_time_to_live() -> None:
    """A lease that moves under another key is a lease still."""
    store = MemoryStore()
    await store.put(BUCKET, KEY, sealed("lease"), message_id="ours", expected=0, ttl=30)
    assert (await rotated(store)).rewrapped == 1
    assert store.entries[KEY].ttl == 30
