"""Several sidecars renew the same connections over one real nats-server: once for each expiry, whatever happens."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import msgspec
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.adapters.system import SystemClock
from sidecar.credential import Refreshing
from sidecar.store.credential import BUCKET
from tests.auth.renewing import WHO, Sidecar, StrictEndpoint, access, credential, settled

pytestmark = pytest.mark.anyio

CALLS = 8
EXPIRIES = 10
LIFETIME = 600.0


class MovedClock(SystemClock):
    """The real one, that can be put forward; a sleep puts it forward, and lets the others run meanwhile."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def wall(self) -> float:
        return super().wall() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.ahead += seconds
        await anyio.sleep(0.01)


async def test_bursts_on_ended_tokens_renew_them_once(bus: NatsBus, nats_url: str, fresh_name: str) -> None:
    """Four sidecars, eight calls each at every end of a token, a slow endpoint that takes reuse as theft."""
    await provision(bus, (bucket(BUCKET),))
    clock = MovedClock()
    endpoint = StrictEndpoint(clock, lifetime=LIFETIME, slow=0.1)
    who = (fresh_name, *WHO[1:])
    got: list[str] = []

    async with AsyncExitStack() as stack:
        sidecars: list[Sidecar] = []
        for _ in range(4):
            own = await connect(nats_url)
            stack.push_async_callback(own.close)
            sidecars.append(await stack.enter_async_context(Sidecar(NatsStore(own), endpoint, clock).serving()))
        await sidecars[0].store.save(*who, credential(clock, left=-1, lifetime=LIFETIME))

        async def call(sidecar: Sidecar) -> None:
            got.append(access(await sidecar.live.load(*who, within=30)))

        for _ in range(EXPIRIES):
            async with anyio.create_task_group() as calls:
                for sidecar in sidecars:
                    for _ in range(CALLS):
                        calls.start_soon(call, sidecar)
            for sidecar in sidecars:
                await settled(sidecar)
            clock.ahead += LIFETIME  # the token has ended
    assert len(got) == EXPIRIES * 4 * CALLS
    assert len(endpoint.asked) == len(set(endpoint.asked)) == EXPIRIES
    assert not endpoint.revoked


async def test_one_that_dies_before_it_sends_holds_up_nobody_for_long(
    bus: NatsBus, nats_url: str, fresh_name: str
) -> None:
    """Its attempt is taken over after patience, by one sidecar, with one request."""
    await provision(bus, (bucket(BUCKET),))
    clock = MovedClock()
    endpoint = StrictEndpoint(clock)
    who = (fresh_name, *WHO[1:])
    dead = msgspec.structs.replace(credential(clock, left=-1), refreshing=Refreshing(owner="dead", attempt="dead.1.1"))
    async with AsyncExitStack() as stack:
        sidecars: list[Sidecar] = []
        for _ in range(2):
            own = await connect(nats_url)
            stack.push_async_callback(own.close)
            sidecars.append(await stack.enter_async_context(Sidecar(NatsStore(own), endpoint, clock).serving()))
        await sidecars[0].store.save(*who, dead)
        got: list[str] = []

        async def call(sidecar: Sidecar) -> None:
            got.append(access(await sidecar.live.load(*who, within=3600)))

        async with anyio.create_task_group() as calls:
            for sidecar in sidecars:
                calls.start_soon(call, sidecar)
    assert got == ["access-2"] * 2
    assert endpoint.asked == ["refresh-1"]
