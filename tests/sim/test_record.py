"""The record's write protocol keeps its promises in simulated worlds; each promise is looked at where it can break."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from sidecar.store.write import (
    Acked,
    Conflict,
    Done,
    Doubt,
    Effect,
    Event,
    Found,
    InProcess,
    NoAnswer,
    Put,
    Sleep,
    Unknown,
    Unreached,
    Woke,
    Writing,
    Written,
)
from tests.sim.record import simulate
from tests.sim.world import Violated
from tests.sim.writer import record_step

SEEDS = range(300)
Stepped = tuple[Writing, tuple[Effect, ...]]


def test_every_promise_holds_in_every_world() -> None:
    """Some hundred seeds: no promise is broken, every kind of trouble was made, every promise was looked at."""
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    for seed in SEEDS:
        world = simulate(seed)
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    assert set(faults) == {
        "lost request",
        "late request",
        "lost answer",
        "late answer",
        "slow commit",
        "look at a lagging replica",
        "look at an isolated leader",
        "nobody",
        "silence",
        "unavailable",
        "full",
        "restart",
        "isolated",
        "leader change",
        "refused by a deposed leader",
        "kill",
        "pause",
    }
    assert len(checks) == 13
    assert set(outcomes) == {"Written", "Conflict", "Unknown", "Full", "Unreached"}


def test_a_seed_is_one_world() -> None:
    """The same seed gives the same bytes, also in another process that hashes otherwise; another seed gives others."""
    trace = simulate(7).trace
    assert simulate(7).trace == trace
    assert simulate(8).trace != trace
    program = (
        "import sys; from tests.sim.record import simulate; sys.stdout.buffer.write(b'\\n'.join(simulate(7).trace))"
    )
    for hashes in ("1", "2"):
        elsewhere = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        )
        assert elsewhere.stdout.split(b"\n") == trace


def another_id(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """Each attempt has an id of its own."""
    state, [effect] = record_step(state, event, now, jitter)
    return state, (replace(effect, message_id=f"{effect.message_id}+{now}") if isinstance(effect, Put) else effect,)


def conflict_believed(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """A refused revision is a conflict, whatever became of the attempts before."""
    return (state, (Done(event),)) if isinstance(event, Conflict) else record_step(state, event, now, jitter)


def stale_look_believed(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """What a look does not show did not happen."""
    if isinstance(event, Found) and (event.entry is None or event.entry.message_id != state.wanted.message_id):
        return state, (Done(Conflict()),)
    return record_step(state, event, now, jitter)


def revision_dropped(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """Refused, it writes over what stands there now."""
    if isinstance(event, Conflict) and event.last:
        wanted = replace(state.wanted, expected=event.last)
        return record_step(replace(state, wanted=wanted), Woke(), now, jitter)
    return record_step(state, event, now, jitter)


def in_process_is_done(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """An id in process counts as written."""
    done = Done(Written(state.wanted.expected or 0))
    return (state, (done,)) if isinstance(event, InProcess) else record_step(state, event, now, jitter)


def silence_is_none(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """An attempt without an answer did not happen."""
    silent = isinstance(event, NoAnswer)
    return (state, (Done(Unreached()),)) if silent else record_step(state, event, now, jitter)


def always_unknown(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """It never commits itself."""
    known = isinstance(event, Acked)
    return (state, (Done(Unknown(Doubt.NO_ANSWER)),)) if known else record_step(state, event, now, jitter)


def dawdles(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """It waits once more before it gives up."""
    state, [effect] = record_step(state, event, now, jitter)
    if isinstance(effect, Done) and isinstance(effect.outcome, Unknown) and state.said != "waited":
        return replace(state, said="waited"), (Sleep(0.5),)
    return state, (effect,)


def no_deadline(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """It goes on trying."""
    state, effects = record_step(state, event, now, jitter)
    return replace(state, until=1e9), effects


def silent_end(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """It ends without an outcome."""
    state, [effect] = record_step(state, event, now, jitter)
    over = isinstance(effect, Done) and isinstance(effect.outcome, Unknown)
    return state, () if over else (effect,)


def told_twice(state: Writing, event: Event, now: float, jitter: float) -> Stepped:
    """A conflict is told, and told again."""
    state, effects = record_step(state, event, now, jitter)
    return state, (*effects, *effects) if isinstance(effects[0], Done) else effects


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (another_id, "every message has a writer"),
        (conflict_believed, "what is told not to have happened never happened"),
        (stale_look_believed, "what is told not to have happened never happened"),
        (revision_dropped, "an acknowledged write is never lost"),
        (in_process_is_done, "Written is in the history under its revision"),
        (silence_is_none, "what is told not to have happened never happened"),
        (always_unknown, "in fair weather what happened is known"),
        (dawdles, "a write ends by its deadline"),
        (no_deadline, "every write of a living client ends"),
        (silent_end, "every write of a living client ends"),
        (told_twice, "a write ends once"),
    ],
)
def test_a_broken_protocol_is_caught(broken: Callable[[Writing, Event, float, float], Stepped], promise: str) -> None:
    """Each of these defects breaks its promise in one of the first worlds."""

    def broken_in(seed: int) -> bool:
        try:
            simulate(seed, broken)
        except Violated as violated:
            return violated.invariant == promise
        return False

    assert any(broken_in(seed) for seed in SEEDS)
