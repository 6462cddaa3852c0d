"""SIGTERM under load, again and again: two sidecars share the calls, one of them is always about to end.

`python -m tests.app.drain [TIMES]` prints what became of the calls and how long each end took.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sidecar.app import connected
from sidecar.settings import Settings
from sidecar.wire.event import Event, Finished
from tests.app.fleet import Load, fleet
from tests.late_trace import all_told

AGENTS = 16
DELAY = 0.03  # of the upstream


@dataclass(frozen=True)
class Drained:
    """What became of the calls and of the processes, how often the upstream was asked for the same twice, and how many
    calls have no end in the trace.
    """

    outcomes: Counter[str]
    codes: Counter[int]
    seconds: list[float]
    twice: int
    untold: int


async def drained(folder: Path, times: int) -> Drained:
    """Two sidecars under load; as many SIGTERMs, each followed by a new sidecar."""
    codes: Counter[int] = Counter()
    seconds: list[float] = []
    async with fleet(folder, delay=DELAY) as (here, port):
        members = [await here.member(), await here.member()]
        await here.connection(port)
        load = Load(here, AGENTS)
        for _ in range(times):
            calls = load.outcomes.total()
            while load.outcomes.total() < calls + 2 * AGENTS:  # noqa: ASYNC110 - others make the calls
                await asyncio.sleep(0.01)
            oldest = members.pop(0)
            assert oldest.child.returncode is None, await oldest.ended()
            oldest.signal()
            code, took, _log = await oldest.ended()
            codes[code] += 1
            seconds.append(took)
            members.append(await here.member())
        await load.stop()
        for member in members:
            member.signal()
            await member.ended()
        twice = sum(number - 1 for number in Counter(here.upstream.seen).values())
        async with connected(Settings(), here.environment["SIDECAR_NATS_URL"]) as bus:
            told = await all_told(bus, lambda events: untold_of(load, events) == 0)
    return Drained(load.outcomes, codes, seconds, twice, untold_of(load, told))


def untold_of(load: Load, events: Iterable[Event]) -> int:
    """How many calls have no end among the events."""
    return load.outcomes.total() - sum(isinstance(event, Finished) for event in events)


async def main(times: int) -> int:
    """Print it; whether anything went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        result = await drained(Path(folder), times)
    print(f"SIGTERM x{times} under load of {AGENTS} agents, two sidecars")
    print(f"  calls: {', '.join(f'{number} {word}' for word, number in result.outcomes.most_common())}")
    print(f"  sent twice: {result.twice}; without an end in the trace: {result.untold}")
    print(f"  exit codes: {dict(result.codes)}; seconds to the end: longest {max(result.seconds):.2f}")
    return int(set(result.outcomes) != {"ok"} or set(result.codes) != {0} or result.twice > 0 or result.untold > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)))
