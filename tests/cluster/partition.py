"""The leader cut off from its peers while its clients still reach it: it acknowledges nothing, and what is read from it
decides nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from sidecar.adapters.nats_bus import NatsBus
from tests.cluster.cluster import NAMES, running_cluster
from tests.cluster.ledger import Ledger
from tests.cluster.load import Known, Load, look, records
from tests.cluster.network import network
from tests.cluster.proof import Row, closing, connections, judge, trial

ROUNDS = 2
CUT_OFF_SECONDS = 12.0  # an election takes 4 to 9
ISOLATED_WRITERS = 8


async def partition(folder: Path, count: int) -> Row:
    """Twice the leader is cut off, writers go on at both sides, and the network heals."""
    with network(folder, NAMES) as net:
        async with running_cluster(folder, net.places) as cluster, connections(cluster) as buses:
            sides: list[Sides] = []
            healing: list[float] = []
            async with trial(buses, warm=count // 4) as running:
                for number in range(ROUNDS):
                    leader = await cluster.leader(buses[0])
                    other = next(node for node in cluster.nodes if node is not leader)
                    async with (
                        closing(await cluster.connect(leader)) as minority,
                        closing(await cluster.connect(other)) as majority,
                    ):
                        side = Sides(running.load.ledger, minority, majority, f"cut{number}")
                        await side.agree()
                        async with running.fault(acks=count // 4):
                            net.cut(leader.name)
                            try:
                                await side.disagree()
                            finally:
                                net.heal(leader.name)
                                healed = time.monotonic()
                        sides.append(side)
                    await cluster.caught_up(buses[0])
                    healing.append(time.monotonic() - healed)
            verdict = await judge(cluster, buses[0], running.load.ledger)
            broken = [said for side in sides for said in side.broken]
            stale = sum(side.stale for side in sides)
            note = f"{stale} of {ROUNDS} isolated leaders gave a stale reading; healed in {max(healing):.0f} s"
            return running.row("leader partitioned", verdict, broken=broken, note=note)


@dataclass(slots=True)
class Sides:
    """Both sides of a partition, and one record over which they part."""

    ledger: Ledger
    minority: NatsBus
    majority: NatsBus
    name: str
    stale: bool = False
    broken: list[str] = field(default_factory=list)
    _agreed: Known = field(default_factory=Known)

    async def agree(self) -> None:
        """Before the cut: the record is written."""
        self._agreed = await self._advance(Known())

    async def disagree(self) -> None:
        """During the cut: the majority changes the record, the minority reads it and would act on what it read."""
        healed = time.monotonic() + CUT_OFF_SECONDS
        isolated = Load(f"{self.name}.isolated", self.ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write_isolated, isolated)
            await self._advance(self._agreed)
            seen = await look(records(self.minority), self._key)
            if seen == self._agreed:
                self.stale = True
                await self._decide_by(seen)
            await anyio.sleep(max(0.0, healed - time.monotonic()))
            isolated.ended = True
        if isolated.acks:
            self.broken.append(f"an isolated leader acknowledged {len(isolated.acks)} writes")

    @property
    def _key(self) -> str:
        return f"{self.name}.decided"

    async def _advance(self, known: Known | None) -> Known:
        """The majority's next entry in the record, over what it knows; as often as it takes."""
        load, store = Load(ledger=self.ledger), records(self.majority)
        while True:
            known = await (load.append(store, self._key, known) if known else look(store, self._key))
            if load.acks and known:
                return known

    async def _decide_by(self, seen: Known) -> None:
        """A compare-and-set over a stale reading succeeds at neither side."""
        for side, bus in (("minority", self.minority), ("majority", self.majority)):
            load = Load(ledger=self.ledger)
            await load.append(records(bus), self._key, seen)
            if load.acks:
                self.broken.append(f"a stale reading decided at the {side}")

    async def _write_isolated(self, isolated: Load) -> None:
        await isolated.run([self.minority], own=ISOLATED_WRITERS, shared=0)
