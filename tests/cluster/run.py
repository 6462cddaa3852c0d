"""Every proof of durability, one after the other, as a table: `python -m tests.cluster.run [SCENARIO ...]`.

COUNT (100,000) is how many writes the kills must let through; the other scenarios take a part of it. Exits with 1 when
a promise fails. A scenario that this machine cannot run says why and proves nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.cluster import disk, network, partition, scenario, single
from tests.cluster.ledger import Outcome
from tests.cluster.proof import Row

COUNT = 100_000
LEAST = 400
HEAD = (
    f"{'scenario':30} {'faults':>6} {'acked':>8} {'unknown':>8} {'happened':>8} {'conflict':>8} {'refused':>8} "
    f"{'lost':>6} {'pause s':>8}  verdict"
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run; `part` of COUNT is what it writes, `why_not` says why it cannot run here."""

    run: Callable[[Path, int], Awaitable[Row]]
    part: float
    why_not: Callable[[], str] = str


SCENARIOS = {
    "kill": Scenario(scenario.kills, 1.0),
    "pause": Scenario(scenario.paused, 0.1),
    "term": Scenario(scenario.orderly, 0.1),
    "lame-duck": Scenario(scenario.lame_duck, 0.1),
    "partition": Scenario(partition.partition, 0.1, network.why_not),
    "power": Scenario(scenario.power_cut, 0.2, disk.why_not),
    "power-control": Scenario(scenario.power_cut_control, 0.05, disk.why_not),
    "single-kill": Scenario(single.killed, 0.1),
    "single-power": Scenario(single.power_cut, 0.1, disk.why_not),
}


async def main(names: list[str], count: int) -> int:
    print(HEAD, flush=True)
    broken = 0
    for name in names:
        chosen = SCENARIOS[name]
        if why := chosen.why_not():
            print(f"{name:30} not run: {why}", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="durability-") as folder:
            try:
                row = await chosen.run(Path(folder), max(LEAST, int(count * chosen.part)))
            except Exception:  # noqa: BLE001 - whatever it is, it is told, and the other scenarios still say something
                print(f"{name:30} BROKEN: it did not come to its end\n{traceback.format_exc()}", flush=True)
                broken += 1
                continue
        print(line(row), flush=True)
        broken += bool(row.broken)
    return 1 if broken else 0


def line(row: Row) -> str:
    told = row.verdict.told
    unknown, conflict, refused = (
        told.get(outcome, 0) for outcome in (Outcome.UNKNOWN, Outcome.CONFLICT, Outcome.REFUSED)
    )
    verdict = f"BROKEN: {'; '.join(row.broken)}" if row.broken else "kept"
    note = f" ({row.note})" if row.note else ""
    return (
        f"{row.scenario:30} {row.faults:6} {row.written:8} {unknown:8} {row.verdict.happened:8} {conflict:8} "
        f"{refused:8} {len(row.verdict.lost):6} {row.pause_seconds:8.2f}  {verdict}{note}"
    )


async def interruptible(names: list[str], count: int) -> int:
    """As `main`; SIGINT and SIGTERM end it with everything stopped, unmounted and removed."""
    status = 1
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        status = await main(names, count)
        tasks.cancel_scope.cancel()
    return status


if __name__ == "__main__":
    logging.disable()  # connections are lost on purpose
    wanted = sys.argv[1:] or list(SCENARIOS)
    if unknown_names := [name for name in wanted if name not in SCENARIOS]:
        sys.exit(f"no scenario {', '.join(unknown_names)}; there are {', '.join(SCENARIOS)}")
    options = {"use_uvloop": True}
    sys.exit(anyio.run(interruptible, wanted, int(os.environ.get("COUNT", COUNT)), backend_options=options))
