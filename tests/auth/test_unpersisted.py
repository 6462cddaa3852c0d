"""The store is away or full when new tokens are to be stored: they serve, are stored later, and outlive the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.adapters.state_folder import StateFolder
from sidecar.auth.spill import Spill
from sidecar.model import Failure, Reason
from sidecar.sandbox.scripted import ManualClock
from tests.auth.renewing import KEYS, WHO, Sidecar, StrictEndpoint, access, credential, settled, stored
from tests.store.test_credential import MemoryStore

pytestmark = pytest.mark.anyio


async def test_new_tokens_serve_from_memory_and_are_stored_later(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, memory: MemoryStore
) -> None:
    """Calls go on; when the store is back they are there, by no further request."""
    await one.store.save(*WHO, credential(clock, left=-1))

    def away() -> None:
        memory.away = "refusing"

    endpoint.before = away
    async with one.serving():
        assert access(await one.load()) == "access-2"
        assert access(await one.load()) == "access-2"
        assert one.gauge.now == 1
        memory.away = "no"
        await settled(one)
        assert access(await stored(one)) == "access-2"
    assert one.gauge.now == 0
    assert endpoint.asked == ["refresh-1"]


async def test_a_full_store_loses_nothing(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, memory: MemoryStore
) -> None:
    """The same for one that has no room."""
    await one.store.save(*WHO, credential(clock, left=-1))

    def full() -> None:
        memory.full = True

    endpoint.before = full
    async with one.serving():
        assert access(await one.load()) == "access-2"
        memory.full = False
        await settled(one)
        assert access(await stored(one)) == "access-2"


async def test_nothing_is_spent_that_cannot_be_written_down(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, memory: MemoryStore
) -> None:
    """With the store full no token is asked for; the old one goes on."""
    await one.store.save(*WHO, credential(clock, left=100))
    memory.full = True
    async with one.serving():
        assert access(await one.load()) == "access-1"
        await settled(one)
        assert access(await one.load()) == "access-1"
    assert endpoint.asked == []


async def test_a_store_without_room_is_told_as_such(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, memory: MemoryStore
) -> None:
    """Who has no token left learns that there is no room, and how to make some; nothing was spent."""
    await one.store.save(*WHO, credential(clock, left=-1))
    memory.full = True
    async with one.serving():
        failed = await one.load()
        assert isinstance(failed, Failure)
        assert failed.reason is Reason.STORE_FULL
        assert failed.hint is not None
    assert endpoint.asked == []


async def test_what_is_not_stored_outlives_the_process(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock, tmp_path: Path
) -> None:
    """It lies sealed on the disk, and the next life of the process stores it."""
    spill = Spill(StateFolder(tmp_path), KEYS)
    before = Sidecar(memory, endpoint, clock, spill=spill)
    await before.store.save(*WHO, credential(clock, left=-1))

    def away() -> None:
        memory.away = "refusing"

    endpoint.before = away
    async with before.serving():
        await before.load()
        assert await before.refresher.stop(0.05) == 1
    [file] = list(tmp_path.iterdir())
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"access-2" not in file.read_bytes()
    memory.away = "no"
    after = Sidecar(memory, endpoint, clock, spill=spill)
    async with after.serving():
        await settled(after)
        assert access(await after.load()) == "access-2"
    assert list(tmp_path.iterdir()) == []
    assert endpoint.asked == ["refresh-1"]


async def test_what_is_on_the_disk_does_not_overwrite_what_came_after(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock, tmp_path: Path
) -> None:
    """Access was allowed again meanwhile: the file is dropped."""
    spill = Spill(StateFolder(tmp_path), KEYS)
    before = Sidecar(memory, endpoint, clock, spill=spill)
    await before.store.save(*WHO, credential(clock, left=-1))

    def away() -> None:
        memory.away = "refusing"

    endpoint.before = away
    async with before.serving():
        await before.load()
    memory.away = "no"
    after = Sidecar(memory, endpoint, clock, spill=spill)
    await after.store.save(*WHO, credential(clock, 77))
    async with after.serving():
        await settled(after)
        assert access(await after.load()) == "access-77"
    assert list(tmp_path.iterdir()) == []


WHOSE = '{"tenant": "a", "connection": "b", "provider": "acme", "sealed": "%s"}'


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[" * 2000, b"{}", (WHOSE % "\u00e9").encode(), (WHOSE % "QUJD").encode(), None]
)
async def test_what_cannot_be_read_from_the_disk_keeps_nobody_from_starting(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock, tmp_path: Path, content: bytes | None
) -> None:
    """A damaged file, or a folder of that name, stays where it is, and renewals run."""
    odd = tmp_path / "x.tokens"
    if content is None:
        odd.mkdir()
    else:
        odd.write_bytes(content)
    one = Sidecar(memory, endpoint, clock, spill=Spill(StateFolder(tmp_path), KEYS))
    await one.store.save(*WHO, credential(clock, left=-1))
    async with one.serving():
        assert access(await one.load()) == "access-2"
    assert odd.exists()
