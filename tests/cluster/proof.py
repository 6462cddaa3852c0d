"""What every scenario does around its faults: write, go on until enough was acknowledged, read back, judge."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from sidecar.adapters.nats_bus import NatsBus
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger, Outcome, Verdict
from tests.cluster.load import Load, read_back
from tests.fixtures_nats import until

CONNECTIONS = 3
PROGRESS_SECONDS = 180.0
SHOWN = 3
LATE_SECONDS = 5.0  # a follower may still be applying what it was told is committed


@dataclass(frozen=True, slots=True)
class Row:
    """What one scenario proved; `broken` says which promises failed."""

    scenario: str
    faults: int
    verdict: Verdict
    pause_seconds: float  # the longest for which nobody got an acknowledgement
    broken: tuple[str, ...]
    note: str = ""

    @property
    def written(self) -> int:
        return self.verdict.told.get(Outcome.WRITTEN, 0)


class Trial:
    """A load that runs, the faults so far, and the longest pause after each of them."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.pauses: list[float] = []

    async def progress(self, acks: int) -> None:
        """Return when so many more writes were acknowledged."""
        wanted = len(self.load.acks) + acks
        await until(lambda: len(self.load.acks) >= wanted, PROGRESS_SECONDS)

    @asynccontextmanager
    async def fault(self, acks: int) -> AsyncIterator[None]:
        """The block provokes a fault; then writes go on."""
        began = time.monotonic()
        yield
        await self.progress(acks)
        self.pauses.append(self.load.longest_pause(began))

    def row(self, scenario: str, verdict: Verdict, *, broken: Sequence[str] = (), note: str = "") -> Row:
        return Row(scenario, len(self.pauses), verdict, max(self.pauses, default=0.0), (*broken, *wrong(verdict)), note)


def wrong(verdict: Verdict) -> list[str]:
    """What the accounting promises and this verdict does not keep."""
    found = (("lost", verdict.lost), ("told as not written, but there", verdict.denied), ("strange", verdict.strange))
    return [f"{len(writes)} {what} ({', '.join(writes[:SHOWN])})" for what, writes in found if writes]


@asynccontextmanager
async def trial(buses: Sequence[NatsBus], *, warm: int, load: Load | None = None) -> AsyncIterator[Trial]:
    """Writers run during the block, which begins when `warm` writes were acknowledged."""
    running = Trial(load or Load())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(running.load.run, buses)
        try:
            await running.progress(warm)
            yield running
        finally:
            running.load.ended = True


@asynccontextmanager
async def connections(cluster: Cluster, count: int = CONNECTIONS) -> AsyncIterator[list[NatsBus]]:
    """So many connections, closed with the block."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(closing(await cluster.connect())) for _ in range(count)]


async def judge(cluster: Cluster, watcher: NatsBus, ledger: Ledger) -> Verdict:
    """The verdict on what each node holds by itself: the worst of the three."""
    await cluster.caught_up(watcher)
    verdicts: list[Verdict] = []
    for node in cluster.nodes:
        async with closing(await cluster.connect(node)) as bus:
            verdicts.append(await judge_by(bus, ledger))
    return max(verdicts, key=lambda verdict: len(verdict.lost + verdict.denied + verdict.strange))


async def judge_by(bus: NatsBus, ledger: Ledger) -> Verdict:
    """The verdict on what is read over one connection."""
    give_up = time.monotonic() + LATE_SECONDS
    while True:
        verdict = ledger.verdict(await read_back(bus, list(ledger.writes)))
        if verdict.kept or time.monotonic() > give_up:
            return verdict
        await anyio.sleep(1)


@asynccontextmanager
async def closing(bus: NatsBus) -> AsyncIterator[NatsBus]:
    try:
        yield bus
    finally:
        await bus.close()
