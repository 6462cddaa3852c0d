"""Two sidecars, one quota, a real nats-server: never above the limit, whoever goes away meanwhile."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import provision, required
from sidecar.adapters.system import LoopTimer, SystemClock, SystemRandom, elapsed
from sidecar.core.quota.event import Wait
from sidecar.core.quota.limit import Demand, Limit, Want, Window
from sidecar.core.quota.node import Node
from sidecar.core.quota.pace import Pace
from sidecar.model import Failure, Reason
from sidecar.permit import Permit
from sidecar.ports import Entry, StoreUnavailable
from sidecar.quota import Quotas
from sidecar.scope import Scope
from sidecar.sharing import Sharing
from sidecar.wire.quota import quota_subjects, record_scope
from tests.fixtures_nats import until

pytestmark = pytest.mark.anyio

QUICK = Pace(lease=1.4, ttl=2, renew=0.45, silence=0.3)  # elections that a test can wait for
CLOCK = SystemClock()


class Store(NatsStore):
    """One that can be away."""

    away = False

    async def get(self, bucket: str, key: str) -> Entry | None:
        if self.away:
            raise StoreUnavailable("away")
        return await super().get(bucket, key)

    async def put(
        self, bucket: str, key: str, value: bytes | None, *, message_id: str, expected: int, ttl: int | None = None
    ) -> int:
        if self.away:
            raise StoreUnavailable("away")
        return await super().put(bucket, key, value, message_id=message_id, expected=expected, ttl=ttl)


@dataclass
class One:
    """One sidecar of the two. `sent` are the moments of its exchanges."""

    bus: NatsBus
    store: Store
    quotas: Quotas
    sharing: Sharing
    serving: anyio.CancelScope
    sent: list[float] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    def tell(self, wait: Wait) -> None:
        self.waits.append(wait)

    async def reserve(self, demand: Demand, within: float) -> Permit | Failure:
        given = self.quotas.reserve("run", demand, CLOCK.now() + within, self.tell)
        return given if isinstance(given, Permit | Failure) else await given

    async def send(self, demand: Demand, within: float = 20) -> bool:
        """One exchange; whether there was leave for it in time."""
        given = await self.reserve(demand, within)
        if isinstance(given, Failure):
            return False
        if given.may_send():
            self.sent.append(elapsed())
        given.ended()
        return True

    async def keep_sending(self, demand: Demand, enough: Callable[[], bool]) -> None:
        while not enough():
            if not await self.send(demand, 1):
                await anyio.sleep(0.05)

    async def die(self) -> None:
        """As a process that is killed: nothing is handed over."""
        self.serving.cancel()
        await self.bus.close()


@dataclass
class Two:
    """The sidecars of one tenant, and a quota of this test's own."""

    first: One
    second: One


@asynccontextmanager
async def one(url: str, tenant: str, name: str, tasks: anyio.abc.TaskGroup) -> AsyncIterator[One]:
    scope, bus = Scope(tenant), await connect(url)
    store = Store(bus)
    sharing = Sharing(bus=bus, store=store, subjects=quota_subjects("sidecar", scope), me=name, elapsed=elapsed)
    node, timer = Node(name, record_scope(scope), QUICK), LoopTimer()
    quotas = Quotas(node, sharing, timer, CLOCK, SystemRandom(), elapsed)
    await sharing.start()
    await bus.round_trip(20)

    async def serve(*, task_status: anyio.abc.TaskStatus[anyio.CancelScope]) -> None:
        with anyio.CancelScope() as scope:
            task_status.started(scope)
            await sharing.serve()

    serving = await tasks.start(serve)
    yield One(bus, store, quotas, sharing, serving)
    timer.stop()
    serving.cancel()
    await bus.close()


@pytest.fixture
async def two(nats_url: str, bus: NatsBus, fresh_name: str) -> AsyncIterator[Two]:
    await provision(bus, required("sidecar"))
    async with (
        anyio.create_task_group() as tasks,
        one(nats_url, fresh_name, f"{fresh_name}a", tasks) as first,
        one(nats_url, fresh_name, f"{fresh_name}b", tasks) as second,
    ):
        yield Two(first, second)


def quota(units: int, seconds: float = 1.0, *, slots: int | None = None) -> Demand:
    limit = Limit("acme||calls", "calls", (Window(units, seconds),) if units else (), slots=slots)
    return Demand("acme", "acme|told", (Want(limit),))


def most_in(seconds: float, *sidecars: One) -> int:
    """The most exchanges in any so many seconds."""
    moments = sorted(moment for sidecar in sidecars for moment in sidecar.sent)
    return max(bisect_left(moments, moment + seconds) - at for at, moment in enumerate(moments))


async def both(two: Two, demand: Demand, each: int, callers: int = 30) -> None:
    """Both want as much as they can get, until each of them has had so much."""

    def enough() -> bool:
        return min(len(two.first.sent), len(two.second.sent)) >= each

    with anyio.fail_after(50):
        async with anyio.create_task_group() as tasks:
            for sidecar in (two.first, two.second):
                for _ in range(callers):
                    tasks.start_soon(sidecar.keep_sending, demand, enough)


async def lent(sidecar: One, demand: Demand) -> None:
    """Return when it may send without asking anybody."""
    with anyio.fail_after(20):
        while True:
            before = sidecar.sharing.traffic.sent
            assert await sidecar.send(demand)
            await sidecar.bus.round_trip(20)
            if sidecar.sharing.traffic.sent == before:
                return


async def test_together_they_keep_one_quota(two: Two) -> None:
    """Both want more than there is: in no second is there more than the quota, and both have a part of it, however long
    a busy machine takes for that.
    """
    await both(two, quota(100), each=100)
    assert most_in(1.0, two.first, two.second) <= 100


async def test_what_cannot_be_served_in_time_is_refused_at_once(two: Two) -> None:
    """By whichever sidecar: with the bucket's name, and when it could be."""
    demand = quota(1, 8)
    assert await two.first.send(demand)
    for sidecar in (two.first, two.second):
        refused = await sidecar.reserve(demand, 2)
        assert isinstance(refused, Failure)
        assert (refused.reason, refused.bucket) == (Reason.LOCAL_RATE_LIMITED, "calls")
        assert refused.retry_after is not None
        assert 2 < refused.retry_after < 9


async def test_an_owner_that_is_killed_is_followed(two: Two) -> None:
    """The other one takes over by itself, and what the first had used counts."""
    demand = quota(20)
    await two.first.send(demand)
    assert await two.second.send(demand)
    for _ in range(10):
        await two.first.send(demand)
    await two.first.die()
    for _ in range(40):
        assert await two.second.send(demand)
    assert most_in(1.0, two.first, two.second) <= 20


async def test_who_leaves_hands_over(two: Two) -> None:
    """An owner that ends in order says so to the store: the other one need not wait for its lease."""
    demand = quota(20)
    await two.first.send(demand)
    assert await two.first.quotas.leave(20)
    await two.first.die()
    assert await two.second.send(demand)
    assert most_in(1.0, two.first, two.second) <= 20


async def test_without_the_store_credits_go_on(two: Two) -> None:
    """What was lent before may be used; what nobody can be asked for is refused with a time, and nothing hangs."""
    demand = quota(400)
    assert await two.first.send(demand)
    await lent(two.second, demand)
    two.first.store.away = two.second.store.away = True
    await anyio.sleep(QUICK.lease + 0.2)  # the lease is over: nobody grants
    given = await two.second.reserve(demand, 0.2)
    assert isinstance(given, Permit)
    stranger = Demand("other", "other|told", (Want(Limit("other||calls", "calls", (Window(5, 1),))),))
    refused = await two.first.reserve(stranger, 0.3)
    assert isinstance(refused, Failure)
    assert refused.retry_after is not None
    two.first.store.away = two.second.store.away = False
    assert await two.first.send(stranger)


async def test_slots_are_shared(two: Two) -> None:
    """Of two slots each sidecar may have one, and the third exchange begins when one of them is over."""
    demand = quota(0, slots=2)
    held = [await two.first.reserve(demand, 20), await two.second.reserve(demand, 20)]
    assert all(isinstance(permit, Permit) for permit in held)
    assert isinstance(await two.first.reserve(demand, 0.4), Failure)
    assert isinstance(held[1], Permit)
    held[1].ended()
    assert isinstance(await two.first.reserve(demand, 20), Permit)


async def test_what_one_was_told_the_other_obeys(two: Two) -> None:
    """A provider's "not before" closes the quota at every sidecar, without the owner or the store."""
    demand = quota(100)
    assert await two.first.send(demand)
    assert await two.second.send(demand)
    two.first.quotas.told(demand.blamed, 60, "429")
    await until(lambda: two.second.quotas.closed(demand.blamed))
    refused = await two.second.reserve(demand, 1)
    assert isinstance(refused, Failure)
    assert refused.reason is Reason.PROVIDER_RATE_LIMITED
