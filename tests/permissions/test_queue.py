"""The queue under the rights of the shipped configuration: a tenant's sidecar has all of its own, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.nats_queue import NatsQueue
from sidecar.adapters.nats_store import NatsStore
from sidecar.nats_config import OWN, SHARED
from sidecar.permissions import CALLS
from sidecar.ports import StoreUnavailable
from tests.permissions.place import Form, Place, place

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One server for all."""
    made = place(Form.SINGLE, tmp_path_factory.mktemp("queue"))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(made) as there:
        yield there


@pytest.mark.parametrize("user", [f"{OWN}-sidecar", "sidecar"])
async def test_a_durable_call_needs_no_right_that_is_not_there(single: Place, user: str) -> None:
    """Of the tenant's sidecar, and of the one that serves all: made, put in, taken, held, given back, acknowledged."""
    bus = await single.bus(user)
    queue, store = NatsQueue(bus, "sidecar"), NatsStore(bus)
    await queue.open(OWN)
    await queue.put(OWN, b"now", message_id=user)
    assert await queue.put_later(OWN, len(user), b"later", at=time.time() + 3600)
    assert await queue.say_now(OWN, len(user), b"later")
    for later, body in ((False, b"now"), (True, b"later")):
        word = await queue.take(OWN, later=later, within=20)
        assert word is not None
        assert word.body == body
        await queue.hold(word)
        await queue.give_back(word)
        again = await queue.take(OWN, later=later, within=20)
        assert again is not None
        await queue.ack(again)
    key = f"{OWN}.alice.{user}"
    await store.put(CALLS, key, b"sealed", message_id=user, expected=0, ttl=60)
    assert await store.get(CALLS, key) is not None
    assert key in await store.keys(CALLS, f"{OWN}.*.*")
    assert bus.counts.permission_violations == 0, bus.last_error
    await queue.close()
    await bus.close()


@pytest.mark.parametrize("user", [f"{SHARED}-sidecar", f"{OWN}-alice-sidecar", f"{OWN}-agent", f"{OWN}-operator"])
async def test_nobody_else_has_it(single: Place, user: str) -> None:
    """Not another tenant's sidecar, one that serves a part, an agent or an operator; nobody but who serves all sees
    whose queues there are.
    """
    bus = await single.bus(user)
    queue = NatsQueue(bus, "sidecar")
    for asked in (
        queue.open(OWN),
        queue.put(OWN, b"x", message_id=user),
        queue.put_later(OWN, 1, b"x", at=time.time()),
        queue.say_now(OWN, 1, b"x"),
        queue.tenants(),
    ):
        with pytest.raises(StoreUnavailable, match="permissions"):
            await asked
    assert bus.counts.permission_violations >= 5
    await bus.close()
