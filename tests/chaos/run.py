"""`make chaos`: what breaks while calls are made, in real processes, and what it does to them.

Prints every figure beside what it must be; exit 1 when one is not. SCENES names some of the scenes, SHORT=1 makes each
small, COUNTS="seconds=20 posts=1000" changes single counts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from nats.errors import Error as NatsError

from tests.auth_real.figure import Figure, say, table
from tests.chaos import core_cost, durable, failing, kills, late, noisy, quotas
from tests.chaos.scene import SHORT, Counts, Scene
from tests.real.servers import CannotStart

Story = Callable[[Scene], Awaitable[list[Figure]]]

SCENES: dict[str, tuple[str, Story]] = {
    "window": ("Three times the quota of 250 in any second", quotas.sliding),
    "bucket": ("Three times the quota of a bucket of 50 a second, burst 10", quotas.bucket),
    "two-windows": ("Two windows at once", quotas.two_windows),
    "costly": ("Calls of 100 units of 250", quotas.costly),
    "quota-killed": ("Three times the quota, SIGKILL of a sidecar", quotas.killed),
    "owner-killed": ("Three times the quota, SIGKILL of its owner", quotas.owner_killed),
    "quota-paused": ("Three times the quota, SIGSTOP of a sidecar and of the owner", quotas.paused),
    "quota-skewed": ("Three times the quota, wall clocks 2 s off", quotas.skewed),
    "quota-store": ("Three times the quota, JetStream away", quotas.store_away),
    "quota-cost": ("What a quota adds to a call", quotas.cheap),
    "quota-core": ("What the pure part of a quota costs", core_cost.core),
    "down": ("A provider that fails every request", failing.provider_down),
    "plain-kills": ("SIGKILL of sidecars, writes without a key", kills.plain_calls),
    "keyed-kills": ("SIGKILL of sidecars, writes with a key", kills.keyed_calls),
    "cluster-kills": ("SIGKILL of sidecars and of nats-servers, writes with a key", kills.keyed_calls_on_a_cluster),
    "durable-kills": ("SIGKILL of sidecars, durable calls", durable.kept),
    "durable-cluster-kills": ("SIGKILL of sidecars and of nats-servers, durable calls", durable.kept_on_a_cluster),
    "long-queue": ("A tenant with a long queue beside one with a short one", durable.beside_a_long_queue),
    "noisy": ("A tenant at ten times its share", noisy.neighbours),
    "late": ("Deadlines, whatever the provider does", late.overrun),
}


def main() -> int:
    wanted = os.environ.get("SCENES", "").replace(",", " ").split() or list(SCENES)
    unknown = sorted(set(wanted) - set(SCENES))
    if unknown:
        say(f"SCENES: there is no {', '.join(unknown)}; there are: {' '.join(SCENES)}")
        return 2
    changed = dict(word.split("=", 1) for word in os.environ.get("COUNTS", "").split())
    usual = SHORT if os.environ.get("SHORT") else Counts()
    try:
        counts = msgspec.convert({**msgspec.to_builtins(usual), **changed}, Counts, strict=False)
    except msgspec.ValidationError as error:
        say(f"COUNTS: {error}; there are: {' '.join(Counts.__struct_fields__)}")
        return 2
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return asyncio.run(_all(wanted, Path(folder), counts))


async def _all(wanted: list[str], folder: Path, counts: Counts) -> int:
    wrong: list[str] = []
    for name in wanted:
        title, story = SCENES[name]
        began = time.monotonic()
        figures = await _figures(story, Scene(folder / name, counts))
        say(table(f"\n{name}: {title} ({time.monotonic() - began:.0f} s)", figures))
        wrong += [f"{name}: {figure.what}: {figure.seen}" for figure in figures if not figure.holds]
    say(f"\n{len(wanted)} scenes; {len(wrong)} figures not as they must be")
    for line in wrong:
        say(f"!! {line}")
    return 1 if wrong else 0


async def _figures(story: Story, scene: Scene) -> list[Figure]:
    """Its figures; one that cannot be told to its end does not keep the others from being told."""
    try:
        return await story(scene)
    except (AssertionError, CannotStart, OSError, NatsError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__} in {where.name}: {error}"[:600]
        return [Figure("ends here", why, "told to its end", holds=False)]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and sidecars are stopped then too
    sys.exit(main())
