"""Tokens that live seconds, under load: each expiry is one refresh, whoever notices it, and no call fails of it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.auth_real.fleet import GET, TOUCH, Call, Fleet, Reply, fleet
from tests.auth_real.scene import Scene
from tests.auth_real.strict import GrantEnded, StrictServer, TokenCall, strict_server
from tests.figure import Figure, at_least, equal, listed, told

THINK_SECONDS = 0.15  # between two calls of one connection
POLL_SECONDS = 1.0
TOO_EARLY = 0.6  # of a token's life: a refresh so soon after the one before is a second one of the same expiry
STALLED_SECONDS = 60.0  # without a single refresh
BURST = 8
SLOW_MS = 100
BURST_TTL = 600
OVER = -1.0  # seconds from now at which a token ended
SIDE_BY_SIDE = 5


async def under_load(scene: Scene) -> list[Figure]:
    """Four sidecars, forty connections, tokens of five seconds, a thousand expiries."""
    counts = scene.counts
    async with strict_server(scene.folder, ttl=counts.ttl) as server, fleet(scene.folder / "fleet") as here:
        await here.grow(counts.members)
        names = await connected(here, server, counts.connections)
        already = len(await server.refreshes())
        load = Load(here, names)
        calls = await _until(server, already + counts.expiries, load)
        await load.stop()
        return [
            at_least("expiries", len(calls) - already, counts.expiries),
            equal("refreshes beyond one for each", doubles(calls, counts.ttl), 0),
            equal("refresh tokens used twice, or refused", refused(calls), 0),
            equal("failed calls", load.failed, 0),
            told("calls", f"{listed(load.outcomes)}; longest {load.longest:.2f} s; re-sent {load.resent}"),
        ]


async def bursts(scene: Scene) -> list[Figure]:
    """Two sidecars, a token endpoint that takes its time, eight calls at once on a token that is over."""
    counts = scene.counts
    async with (
        strict_server(scene.folder, ttl=BURST_TTL, delay_ms=SLOW_MS) as server,
        fleet(scene.folder / "fleet") as here,
    ):
        await here.grow(2)
        names = await connected(here, server, min(SIDE_BY_SIDE, counts.rounds))
        before = len(await server.refreshes())
        shares = [len(range(number, counts.rounds, len(names))) for number in range(len(names))]
        rounds = await asyncio.gather(*(_rounds(here, server, *share) for share in zip(names, shares, strict=True)))
        replies = [reply for each in rounds for reply in each]
        calls = await server.refreshes()
        alive = [await _lives(here, server, name) for name in names]
        return [
            equal("rounds", len(replies) // BURST, counts.rounds),
            equal("dead grants", alive.count(False), 0),
            equal("refreshes", len(calls) - before - counts.rounds, counts.rounds),  # one more of each was ours
            equal("refresh tokens used twice, or refused", refused(calls), 0),
            equal("failed calls", sum(reply.reason is not None for reply in replies), 0),
            told("a burst's longest call", f"{max(reply.seconds for reply in replies):.2f} s"),
        ]


async def connected(here: Fleet, server: StrictServer, number: int, base_url: str | None = None) -> list[str]:
    """So many connections, each allowed by a person of its own."""
    names = [f"c{index}" for index in range(number)]
    for name in names:
        await here.connect(name, await server.grant(), base_url or server.url)
    return names


def refused(calls: Sequence[TokenCall]) -> int:
    return sum(call.status != 200 for call in calls)


def doubles(calls: Iterable[TokenCall], ttl: float) -> int:
    """Refreshes that came while the token of the one before was in its first days."""
    moments: defaultdict[str | None, list[float]] = defaultdict(list)
    for call in calls:
        moments[call.grant_id].append(call.seconds)
    return sum(
        after - before < TOO_EARLY * ttl for each in moments.values() for before, after in itertools.pairwise(each)
    )


@dataclass
class Load:
    """One agent for each connection, reading and writing in turn, until told to stop."""

    here: Fleet
    names: Sequence[str]
    think: float = THINK_SECONDS
    what: Sequence[Call] = (GET, TOUCH)
    outcomes: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    resent: int = 0

    def __post_init__(self) -> None:
        self._stopped = asyncio.Event()
        self._agents = [asyncio.create_task(self._agent(name, number)) for number, name in enumerate(self.names)]

    @property
    def failed(self) -> int:
        return self.outcomes.total() - self.outcomes["ok"]

    async def stop(self) -> None:
        self._stopped.set()
        await asyncio.gather(*self._agents)

    async def _agent(self, name: str, number: int) -> None:
        await asyncio.sleep(self.think * number / len(self.names))
        while not self._stopped.is_set():
            self._note(await self.here.call(name, self.what[number % len(self.what)]))
            number += 1
            await asyncio.sleep(self.think)

    def _note(self, reply: Reply) -> None:
        self.outcomes[reply.reason or "ok"] += 1
        self.longest = max(self.longest, reply.seconds)
        self.resent += reply.attempts > 1


async def _until(server: StrictServer, number: int, load: Load) -> list[TokenCall]:
    """The refreshes, once there are so many; or no more come."""
    loop, seen = asyncio.get_running_loop(), 0
    moved = loop.time()
    while True:
        calls = await server.refreshes()
        if len(calls) > seen:
            seen, moved = len(calls), loop.time()
        if len(calls) >= number or loop.time() - moved > STALLED_SECONDS:
            return calls
        await asyncio.sleep(POLL_SECONDS)


async def _lives(here: Fleet, server: StrictServer, name: str) -> bool:
    """Whether the server takes what is stored of a connection."""
    try:
        await here.believe(name, server, BURST_TTL)
    except GrantEnded:
        return False
    return (await here.call(name)).reason is None


async def _rounds(here: Fleet, server: StrictServer, name: str, number: int) -> list[Reply]:
    replies: list[Reply] = []
    for _ in range(number):
        try:
            await here.believe(name, server, OVER)
        except GrantEnded:
            break
        replies += await asyncio.gather(*(here.call(name) for _ in range(BURST)))
    return replies
