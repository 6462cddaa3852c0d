"""How much each scene is to do, and the scene as its story gets it."""

from __future__ import annotations

import msgspec

from tests import scenes


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of everything. The defaults are what the promises name. `call_ms`: the time of a call that may be hit;
    `overrun` and `overrun_most`: how late a reply may be, in seconds; `full`: how much of the bars for what is used of
    a quota is asked for.
    """

    members: int = 4
    seconds: float = 60.0
    posts: int = 10_000
    submits: int = 20_000
    waiting: int = 5_000
    overruns: int = 5_000
    moods: int = 6
    kills: int = 12
    outage_seconds: float = 20.0
    opens_again: float = 30.0
    call_ms: int = 5_000
    overrun: float = 0.050
    overrun_most: float = 0.250
    full: float = 1.0


SHORT = Counts(members=2, seconds=8.0, posts=400, submits=400, waiting=1_200, overruns=300, kills=2, outage_seconds=6.0)

Scene = scenes.Scene[Counts]
