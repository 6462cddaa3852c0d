"""One server as `sidecar dev` runs it: killed, and with its power cut."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_server import EmbeddedServer, embedded_server
from sidecar.adapters.nats_streams import provision, required
from tests.cluster.disk import disk
from tests.cluster.ledger import Ledger
from tests.cluster.load import Load
from tests.cluster.proof import CONNECTIONS, Row, closing, judge_by, trial, wrong
from tests.fixtures_nats import state_of, until

KILLS = 4
CUTS = 3
LOG = logging.getLogger(__name__)


async def killed(folder: Path, count: int) -> Row:
    """By kill -9, again and again; what watches the server starts it again."""
    async with embedded_server(folder / "data", LOG) as server, _provisioned(server) as buses:
        share = count // (KILLS + 1)
        async with trial(buses, warm=share) as running:
            for _ in range(KILLS):
                async with running.fault(acks=share):
                    os.kill(_pid(server), signal.SIGKILL)
        return running.row("single server: kill -9", await judge_by(buses[0], running.load.ledger))


async def power_cut(folder: Path, count: int) -> Row:
    """The power of the machine goes, and all that runs on it; the next start finds what was acknowledged."""
    ledger = Ledger()
    with disk(folder, "disk") as drive:
        data = drive.root / "data"
        for life in range(CUTS):
            async with embedded_server(data, LOG) as server, _provisioned(server) as buses:
                pid = _pid(server)
                async with trial(buses, warm=count // CUTS, load=Load(f"life{life}", ledger)):
                    os.kill(pid, signal.SIGSTOP)
                    await until(lambda: state_of(pid).startswith("T"))  # noqa: B023 - awaited in this very turn
                    drive.cut()
            drive.power_on()
        async with embedded_server(data, LOG) as server, _provisioned(server) as buses:
            verdict = await judge_by(buses[0], ledger)
    return Row("single server: power cut", CUTS, verdict, 0.0, tuple(wrong(verdict)))


@asynccontextmanager
async def _provisioned(server: EmbeddedServer) -> AsyncIterator[list[NatsBus]]:
    """Connections to a server that has our buckets, as `sidecar dev` makes them at each start."""
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(closing(await connect(server.url))) for _ in range(CONNECTIONS)]
        await provision(buses[0], required("sidecar"))
        yield buses


def _pid(server: EmbeddedServer) -> int:
    assert server.process is not None
    return server.process.pid
