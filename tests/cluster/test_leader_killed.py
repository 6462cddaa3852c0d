"""Three nodes and a leader that is killed: the smallest of the proofs that `make durability` gives at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.cluster import loopback, running_cluster
from tests.cluster.proof import connections, judge, trial

pytestmark = pytest.mark.anyio


async def test_what_was_acknowledged_outlives_its_leader(tmp_path: Path) -> None:
    """The leader is killed (-9) under load: writes go on under another, nothing acknowledged is lost on any node, and
    what was told as not written is not there.
    """
    async with (
        running_cluster(tmp_path, loopback(tmp_path)) as cluster,
        connections(cluster) as buses,
    ):
        async with trial(buses, warm=200) as running:
            leader = await cluster.leader(buses[0])
            async with running.fault(acks=200):
                leader.kill()
            leader.start()
        verdict = await judge(cluster, buses[0], running.load.ledger)
        assert verdict.kept, verdict
