"""Another key takes over while calls have idempotency keys: what was done once is still not done again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import httpx
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.system import SystemRandom
from sidecar.model import Reason
from sidecar.run import Ended
from sidecar.store.idempotency import BELOW, BUCKET
from sidecar.store.record import record_pattern
from sidecar.store.rewrap import KeyUse, SealedRecords
from tests.once.house import KEYS, Blocked, Fleet, succeeded

pytestmark = pytest.mark.anyio

CREATED = httpx.Response(201, json={"id": 7})
OLD, NEW = bytes(32), bytes(31) + b"2"
ON_STANDBY = FileKeys({"k2": NEW, "k1": OLD})  # it seals with the last one, and opens what others moved already
BOTH, AFTER = FileKeys({"k1": OLD, "k2": NEW}), FileKeys({"k2": NEW})


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with anyio.create_task_group() as tasks:
        yield Fleet(tasks)
        tasks.cancel_scope.cancel()


async def rotated(fleet: Fleet) -> KeyUse:
    records = SealedRecords(fleet.memory, BOTH, fleet.clock, SystemRandom(), {BUCKET: BELOW})
    pattern = record_pattern("default", None, None)
    use = await records.batch("default", pattern, after=None, limit=100, within=100.0, rewrap=True)
    assert isinstance(use, KeyUse), use
    return use


async def test_a_repetition_is_answered_when_the_old_key_is_gone(fleet: Fleet) -> None:
    """Its record moves with all others; one that was not moved refuses its call, and sends nothing."""
    await fleet.sidecar(CREATED, keys=KEYS).run()
    last = fleet.sidecar(keys=AFTER)
    assert (await last.failure()).reason is Reason.KEY_UNAVAILABLE
    assert (await rotated(fleet)).records == {"k2": 1}
    again = await last.run()
    assert (succeeded(again.outcome).body, last.sent) == (CREATED.content, 0)


async def test_a_call_under_way_is_not_disturbed(fleet: Fleet) -> None:
    """Its record is written over while it is sent: it stays its own, and a repetition gets its answer."""
    slow, ended = Blocked(CREATED), list[Ended]()
    owner, other = fleet.sidecar(network=slow, keys=ON_STANDBY), fleet.sidecar(keys=BOTH)

    async def ends() -> None:
        ended.append(await owner.run())

    async with anyio.create_task_group() as calls:
        calls.start_soon(ends)
        await slow.has_it.wait()
        assert (await rotated(fleet)).rewrapped == 1
        slow.go_on.set()
    [first], again = ended, await other.run()
    assert succeeded(first.outcome) == succeeded(again.outcome)
    assert (len(slow.sent), other.sent) == (1, 0)
