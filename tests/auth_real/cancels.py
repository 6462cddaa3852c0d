"""Callers that lose patience while a token is renewed: their calls end, the refresh does not, and no grant is lost."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter

from tests.auth_real.expiries import connected, refused
from tests.auth_real.fleet import Fleet, fleet
from tests.auth_real.scene import Scene
from tests.auth_real.strict import strict_server
from tests.figure import Figure, at_least, equal, listed, told

TTL = 2
SLOW_MS = 1000  # about half of the time then is spent with a refresh under way and a token that is over
CONNECTIONS = 8
CALLERS = 48
PATIENCE = 0.08  # seconds, at most, until a caller cancels
CANCELLED = "CANCELLED_BY_CALLER"
OTHERWISE = 40  # calls for each one that must be cancelled, at most


async def cancelled_calls(scene: Scene) -> list[Figure]:
    counts = scene.counts
    async with (
        strict_server(scene.folder, ttl=TTL, delay_ms=SLOW_MS) as server,
        fleet(scene.folder / "fleet") as here,
    ):
        await here.grow(2)
        names = await connected(here, server, CONNECTIONS)
        outcomes: Counter[str] = Counter()
        dice = random.Random(4)
        await asyncio.gather(*(_caller(here, names, outcomes, dice, counts.cancels) for _ in range(CALLERS)))
        alive = [await here.call(name) for name in names]
        calls = await server.refreshes()
        others = outcomes.total() - outcomes[CANCELLED] - outcomes["ok"]
        return [
            at_least("calls cancelled", outcomes[CANCELLED], counts.cancels),
            told("  and the others", listed(Counter({k: v for k, v in outcomes.items() if k != CANCELLED}))),
            told("  refreshes meanwhile", len(calls) - CONNECTIONS),
            equal("calls that ended otherwise", others, 0),
            equal("grants lost", sum(reply.reason is not None for reply in alive), 0),
            equal("refresh tokens used twice, or refused", refused(calls), 0),
        ]


async def _caller(here: Fleet, names: list[str], outcomes: Counter[str], dice: random.Random, wanted: int) -> None:
    while outcomes[CANCELLED] < wanted and outcomes.total() < OTHERWISE * wanted:
        name, call_id = dice.choice(names), str(uuid.UUID(int=dice.getrandbits(128), version=4))
        call = asyncio.create_task(here.call(name, call_id=call_id))
        done, _ = await asyncio.wait({call}, timeout=dice.uniform(0, PATIENCE))
        if not done:
            await here.cancel(name, call_id)
        reply = await call
        outcomes[reply.reason or "ok"] += 1
        if done:
            await asyncio.sleep(PATIENCE)  # a fresh token: nothing to cancel now
