"""`make real-auth`: tokens that end, on real servers and in real processes, with everything that goes wrong meanwhile.

Prints every figure; exit 1 when one is not as it must be. `tests/scenes.py` says what can be chosen.
"""

from __future__ import annotations

import sys

from tests import scenes
from tests.auth_real import cancels, deaths, expiries, idle, logins, outage, rejected
from tests.auth_real.scene import SHORT, Counts
from tests.auth_real.strict import GrantEnded, why_not
from tests.figure import say

Story = scenes.Story[Counts]

STORIES: dict[str, tuple[str, Story]] = {
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
    if (reason := why_not()) is not None:
        say(reason)
        return scenes.MISUSED
    return scenes.Scenes("real-auth", STORIES, Counts(), SHORT, (GrantEnded,)).run()


if __name__ == "__main__":
    sys.exit(main())
