"""`make chaos`: what breaks while calls are made, in real processes, and what it does to them.

Prints every figure beside what it must be; exit 1 when one is not. `tests/scenes.py` says what can be chosen.
"""

from __future__ import annotations

import sys

from tests import scenes
from tests.chaos import core_cost, durable, failing, flood, kills, late, noisy, quotas
from tests.chaos.scene import SHORT, Counts

Story = scenes.Story[Counts]

STORIES: dict[str, tuple[str, Story]] = {
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
    "flood": ("Ten thousand calls at once, at a sidecar that is stuck", flood.flood),
    "noisy": ("A tenant at ten times its share", noisy.neighbours),
    "late": ("Deadlines, whatever the provider does", late.overrun),
}


if __name__ == "__main__":
    sys.exit(scenes.Scenes("chaos", STORIES, Counts(), SHORT).run())
