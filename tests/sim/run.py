"""Run many simulated worlds: `python -m tests.sim.run --seeds 10000`, or one again: `--seed 4711 --trace`.

`--figures` prints what a world's protocol achieves under loads as in production.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.sim import calls, durable, once, quota, quota_figures, record, refresh, turns
from tests.sim.world import Violated, World

# A protocol comes in with one line: its name, and what runs the world of a seed.
WORLDS: Mapping[str, Callable[[int], World]] = {
    "record": record.simulate,
    "refresh": refresh.simulate,
    "once": once.simulate,
    "quota": quota.simulate,
    "durable": durable.simulate,
    "calls": calls.simulate,
    "turns": turns.simulate,
}
FIGURES: Mapping[str, Callable[[], Iterator[str]]] = {"quota": quota_figures.figures}
SAY_SECONDS = 10.0
AT_ONCE = 100  # worlds that one process runs in a row


def main() -> int:
    arguments = _arguments()
    names = [arguments.world] if arguments.world else list(WORLDS)
    if arguments.seed is not None:
        return _one(names, arguments.seed, show=arguments.trace)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    status = max(_many(name, seeds, arguments.jobs) for name in names)
    if arguments.figures:
        for line in (line for name in names if name in FIGURES for line in FIGURES[name]()):
            print(line, flush=True)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many worlds (default: 10000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--seed", type=int, help="this world alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happened")
    parser.add_argument("--figures", action="store_true", help="and what is achieved under loads as in production")
    parser.add_argument("--world", choices=list(WORLDS), help="worlds of this kind alone")
    return parser.parse_args()


def _many(name: str, seeds: range, jobs: int) -> int:
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    began = said = time.monotonic()
    done = 0
    for part in _parts(name, seeds, jobs):
        done += part.done
        if part.broken is not None:
            print(f"{name}: BROKEN after {done} seeds: {part.broken}")
            print(f"to see it again: python -m tests.sim.run --world {name} --seed {part.seed} --trace")
            return 1
        faults += part.faults
        checks += part.checks
        outcomes += part.outcomes
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            print(f"{name}: {done} of {len(seeds)} seeds, {faults.total()} faults, {checks.total()} checks", flush=True)
    print(f"{name}: {len(seeds)} seeds in {time.monotonic() - began:.0f} s, no promise broken")
    for title, counted in (("faults injected", faults), ("ended", outcomes), ("invariants checked", checks)):
        print(f"{title}: {counted.total()}")
        for what, number in counted.most_common():
            print(f"  {number:>10}  {what}")
    return 0


class Part(NamedTuple):
    """Worlds of some seeds: what was done in them, and the first that broke a promise."""

    done: int
    faults: Counter[str]
    checks: Counter[str]
    outcomes: Counter[str]
    seed: int = 0
    broken: str | None = None


def _parts(name: str, seeds: range, jobs: int) -> Iterator[Part]:
    """In the order of the seeds, whoever ran them."""
    parts = [seeds[at : at + AT_ONCE] for at in range(0, len(seeds), AT_ONCE)]
    if jobs == 1 or len(parts) == 1:
        yield from (_part(name, part) for part in parts)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_part, [name] * len(parts), parts)


def _part(name: str, seeds: range) -> Part:
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    for done, seed in enumerate(seeds):
        try:
            world = WORLDS[name](seed)
        except Violated as violated:
            return Part(done, faults, checks, outcomes, seed, str(violated))
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    return Part(len(seeds), faults, checks, outcomes)


def _one(names: list[str], seed: int, *, show: bool) -> int:
    status = 0
    for name in names:
        try:
            world = WORLDS[name](seed)
            said = f"{name}: seed {seed}: no promise broken"
        except Violated as violated:
            world, said, status = violated.world, f"{name}: BROKEN: {violated}", 1
        if show:
            sys.stdout.buffer.write(b"".join(line + b"\n" for line in world.trace))
            sys.stdout.flush()
        print(said)
    return status


if __name__ == "__main__":
    sys.exit(main())
