"""How much each scene is to do, and the scene as its story gets it."""

from __future__ import annotations

import msgspec

from tests import scenes


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of everything. The defaults are what the promises name."""

    expiries: int = 1000
    members: int = 4
    connections: int = 40
    ttl: int = 5
    rounds: int = 50
    kills: int = 4
    outage_seconds: float = 60.0
    cancels: int = 10_000
    idle_members: int = 20
    idle_connections: int = 10_000


SHORT = Counts(
    expiries=60,
    members=2,
    connections=6,
    ttl=3,
    rounds=8,
    kills=2,
    outage_seconds=8.0,
    cancels=300,
    idle_members=3,
    idle_connections=200,
)

Scene = scenes.Scene[Counts]
