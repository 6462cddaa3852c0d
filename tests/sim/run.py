"""Run many simulated worlds: `python -m tests.sim.run --seeds 10000`, or one again: `--seed 4711 --trace`.

`--figures` prints what a world's protocol achieves under loads as in production.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

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


def main() -> int:
    arguments = _arguments()
    names = [arguments.world] if arguments.world else list(WORLDS)
    if arguments.seed is not None:
        return _one(names, arguments.seed, show=arguments.trace)
    status = max(_many(name, range(arguments.first, arguments.first + arguments.seeds)) for name in names)
    if arguments.figures:
        for line in (line for name in names if name in FIGURES for line in FIGURES[name]()):
            print(line, flush=True)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many worlds (default: 10000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--seed", type=int, help="this world alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happened")
    parser.add_argument("--figures", action="store_true", help="and what is achieved under loads as in production")
    parser.add_argument("--world", choices=list(WORLDS), help="worlds of this kind alone")
    return parser.parse_args()


def _many(name: str, seeds: range) -> int:
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    began = said = time.monotonic()
    for done, seed in enumerate(seeds):
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            print(f"{name}: {done} of {len(seeds)} seeds, {faults.total()} faults, {checks.total()} checks", flush=True)
        try:
            world = WORLDS[name](seed)
        except Violated as violated:
            print(f"{name}: BROKEN after {done} seeds: {violated}")
            print(f"to see it again: python -m tests.sim.run --world {name} --seed {violated.seed} --trace")
            return 1
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    print(f"{name}: {len(seeds)} seeds in {time.monotonic() - began:.0f} s, no promise broken")
    for title, counted in (("faults injected", faults), ("ended", outcomes), ("invariants checked", checks)):
        print(f"{title}: {counted.total()}")
        for what, number in counted.most_common():
            print(f"  {number:>10}  {what}")
    return 0


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
