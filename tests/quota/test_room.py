"""Records of quotas on a nats-server that takes smaller messages than others do."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from sidecar.adapters.nats_bus import connect
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import provision, required
from sidecar.adapters.system import LoopTimer, SystemClock, SystemRandom, elapsed
from sidecar.core.quota.limit import Demand, Limit, Want, Window
from sidecar.core.quota.pace import Pace, paced
from sidecar.model import Failure
from sidecar.permit import Permit
from sidecar.scope import Scope
from sidecar.shared_quotas import shared_quotas
from tests.fixtures_nats import configured

pytestmark = pytest.mark.anyio

LARGEST = 16_384  # bytes of a message
USERS = 300  # whose records together would be larger


def daily(user: int) -> Demand:
    limit = Limit(f"p|acme|user-{user}|calls", "calls", (Window(50, 86_400.0),))
    return Demand("p|acme", "p|acme|told", (Want(limit),))


async def test_a_record_keeps_to_what_the_server_takes(tmp_path: Path) -> None:
    """More long budgets than a small message can name: everybody is served, and no record is refused for its size."""
    config: dict[str, object] = {"max_payload": LARGEST, "jetstream": {"store_dir": str(tmp_path / "store")}}
    async with configured(tmp_path, config) as server, anyio.create_task_group() as tasks:
        bus = await connect(server.url("sidecar:any"))
        await provision(bus, required("sidecar"))
        timer, clock = LoopTimer(), SystemClock()
        shared = shared_quotas(
            prefix="sidecar",
            scope=Scope("acme"),
            me="a",
            bus=bus,
            store=NatsStore(bus),
            timer=timer,
            clock=clock,
            random=SystemRandom(),
            elapsed=elapsed,
        )
        await shared.start()
        tasks.start_soon(shared.sharing.serve)

        async def one(user: int) -> None:
            given = shared.quotas.reserve("run", daily(user), clock.now() + 15, lambda _wait: None)
            assert isinstance(given if isinstance(given, Permit | Failure) else await given, Permit)

        async with anyio.create_task_group() as users:
            for user in range(USERS):
                users.start_soon(one, user)
        assert shared.sharing.traffic.unanswered == 0
        assert shared.sharing.traffic.written > 0
        timer.stop()
        tasks.cancel_scope.cancel()
    await bus.close()


def test_a_larger_message_makes_no_larger_record() -> None:
    """A record is written every second or so: what it may hold follows a small limit, and not a large one."""
    assert paced(1 << 24) == Pace()
    assert paced(1 << 16).room < 1 << 16
