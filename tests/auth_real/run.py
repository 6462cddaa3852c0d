"""`make real-auth`: tokens that end, on real servers and in real processes, with everything that goes wrong meanwhile.

Prints every figure; exit 1 when one is not as it must be. SCENES names some of the scenes, SHORT=1 makes each small,
COUNTS="expiries=300 kills=10" changes single counts.
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

import httpx
import msgspec
from nats.errors import Error as NatsError

from tests.auth_real import cancels, deaths, expiries, idle, logins, outage, rejected
from tests.auth_real.figure import SHORT, Counts, Figure, Scene, say, table
from tests.auth_real.strict import GrantEnded, why_not
from tests.real.servers import CannotStart

Story = Callable[[Scene], Awaitable[list[Figure]]]

SCENES: dict[str, tuple[str, Story]] = {
    "expiries": ("Tokens of seconds, under load, in several sidecars", expiries.under_load),
    "bursts": ("Eight calls at once on a token that is over, two sidecars, a slow token endpoint", expiries.bursts),
    "rejected": ("A 401 on a token that the clock calls valid", rejected.rejected),
    "kill-before": ("SIGKILL of who refreshes, before the provider has the request", deaths.before_it_sends),
    "kill-after": ("SIGKILL of who refreshes, after rotation and before the store", deaths.after_rotation),
    "pause": ("SIGSTOP between rotation and store, and on", deaths.paused_for_a_moment),
    "pause-long": ("SIGSTOP for longer than others wait, before the provider has the request", deaths.paused_for_long),
    "pause-answer": ("SIGSTOP for longer than others wait, after rotation", deaths.paused_with_the_answer),
    "outage": ("JetStream away, refreshes under way", outage.jetstream_away),
    "spill": ("SIGKILL while a result cannot be stored", outage.killed_with_results),
    "end": ("SIGTERM while a result cannot be stored", outage.ended_with_results),
    "cancels": ("Calls that are cancelled while a token is renewed", cancels.cancelled_calls),
    "idle": ("Many idle sidecars, many connections", idle.idle_sidecars),
    "synapse": ("Refresh tokens of a real Synapse", logins.synapse),
    "pocketbase": ("Login tokens of a real PocketBase", logins.pocketbase),
}


def main() -> int:
    reason = why_not()
    if reason is not None:
        say(reason)
        return 2
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
    with tempfile.TemporaryDirectory(prefix="real-auth-") as folder:
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
    scene.folder.mkdir(parents=True)
    try:
        return await story(scene)
    except (AssertionError, CannotStart, GrantEnded, OSError, httpx.HTTPError, NatsError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__} in {where.name}: {error}"[:600]
        return [Figure("ends here", why, "told to its end", holds=False)]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and sidecars are stopped then too
    sys.exit(main())
