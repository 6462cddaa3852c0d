"""Idempotency keys keep their promises in simulated worlds; each promise is looked at where it can break."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from sidecar.core import once, settle
from sidecar.core.once import Claiming, Go, Pause, Replay, Write
from sidecar.core.settle import Over, Settling
from sidecar.kept import Done, Free, KeptSuccess, Open, Pending
from tests.sim.keyed import ClaimStep, SettleStep, claim_step, settle_step
from tests.sim.once import simulate
from tests.sim.world import Violated

SEEDS = range(120)
Claimed = tuple[Claiming, tuple[once.Effect, ...]]
Settled = tuple[Settling, tuple[settle.Effect, ...]]
replace = msgspec.structs.replace


def test_every_promise_holds_in_every_world() -> None:
    """Some hundred seeds: no promise is broken, every kind of trouble was made, every promise was looked at."""
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    for seed in SEEDS:
        world = simulate(seed)
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    assert {"kill", "pause", "lost answer", "lost request", "silence", "full", "provider cut"} <= set(faults)
    assert len(checks) == 13
    assert {
        "ok",
        "cancelled",
        "CANCELLED_BY_CALLER",
        "IN_PROGRESS",
        "IDEMPOTENCY_MISMATCH",
        "OUTCOME_UNKNOWN",
        "STORE_UNAVAILABLE",
    } <= set(outcomes)


def test_a_seed_is_one_world() -> None:
    """The same seed gives the same bytes; another seed gives others."""
    trace = simulate(7).trace
    assert simulate(7).trace == trace
    assert simulate(8).trace != trace


def no_record(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """It sends without a word in the store."""
    del event, now, jitter
    return state, (Go(state.ours, 0),)


def hopeful(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """A write without an answer is taken for one that happened."""
    if isinstance(event, once.Unclear):
        return state, (Go(state.ours, 0),)
    return claim_step(state, event, now, jitter)


def greedy(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """A dead owner's call is always sent again."""
    return claim_step(replace(state, again=True), event, now, jitter)


def forgetful(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """Whoever takes a call over does not remember that it may have been sent."""
    state, [effect] = claim_step(state, event, now, jitter)
    if isinstance(effect, Go):
        return state, (Go(replace(effect.pending, doubt=False), effect.revision),)
    return state, (effect,)


def careless(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """Any input is answered with what the key was first used for."""
    found = event.found if isinstance(event, once.Shown) else None
    if isinstance(found, Pending | Open | Done):
        ours = replace(state.ours, fingerprint=found.fingerprint)
        return claim_step(replace(state, ours=ours), event, now, jitter)
    return claim_step(state, event, now, jitter)


def endless(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """It waits for the other call, whatever its own deadline is."""
    state, [effect] = claim_step(state, event, now, jitter)
    return state, (Pause(1.0) if isinstance(effect, once.Stop) and state.seen else effect,)


def own_answer(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """What the first call ended in is made up anew."""
    state, [effect] = claim_step(state, event, now, jitter)
    if isinstance(effect, Replay) and isinstance(effect.done.outcome, KeptSuccess):
        mine = replace(effect.done.outcome, body=b"made up")
        return state, (Replay(replace(effect.done, outcome=mine)),)
    return state, (effect,)


def unbarred(state: Claiming, event: once.Event, now: float, jitter: float) -> Claimed:
    """What a cancel barred begins all the same."""
    return claim_step(replace(state, run=None), event, now, jitter)


@pytest.mark.parametrize(
    ("step", "broken"),
    [
        (unbarred, "what was told as cancelled is not sent"),
        (no_record, "all are told alike"),
        (hopeful, "a key is done once"),
        (greedy, "a key is done once"),
        (forgetful, "what is known to have done nothing did nothing"),
        (careless, "what is told as done was done"),
        (endless, "every call of a living process ends"),
        (own_answer, "all are told alike"),
    ],
)
def test_a_broken_claim_is_caught(step: ClaimStep, broken: str) -> None:
    """Each of these would do something twice, or tell what is not so."""
    assert seen(broken, claim=step)


def always_freed(state: Settling, event: once.Event, now: float, jitter: float) -> Settled:
    """The key is free again, also where nobody knows what came of the call."""
    return settle_step(replace(state, wanted=None), event, now, jitter)


def gives_up(state: Settling, event: once.Event, now: float, jitter: float) -> Settled:
    """A write that failed once is not tried again."""
    state, [effect] = settle_step(state, event, now, jitter)
    return state, (Over(kept=False) if isinstance(effect, Pause) else effect,)


def headstrong(state: Settling, event: once.Event, now: float, jitter: float) -> Settled:
    """It writes over whatever another one wrote since."""
    if isinstance(event, once.Shown) and isinstance(event.found, Pending | Open | Done) and state.wanted is None:
        return state, (settle.Delete(event.revision),)
    return settle_step(state, event, now, jitter)


def modest(state: Settling, event: once.Event, now: float, jitter: float) -> Settled:
    """What others decided while it stood still is left as it is, though it knows better."""
    state, [effect] = settle_step(state, event, now, jitter)
    if isinstance(event, once.Shown) and isinstance(event.found, Done) and isinstance(effect, Write):
        return state, (Over(kept=False),)
    return state, (effect,)


def freed_for_all(state: Settling, event: once.Event, now: float, jitter: float) -> Settled:
    """Who frees a key forgets whom a cancel barred."""
    wanted = None if isinstance(state.wanted, Free) else state.wanted
    return settle_step(replace(state, wanted=wanted), event, now, jitter)


@pytest.mark.parametrize(
    ("step", "broken"),
    [
        (freed_for_all, "what was told as cancelled is not sent"),
        (always_freed, "all are told alike"),
        (gives_up, "what was told as done stays done"),
        (headstrong, "a key is done once"),
        (modest, "what was told as done stays done"),
    ],
)
def test_a_broken_end_is_caught(step: SettleStep, broken: str) -> None:
    """Each of these would lose what is known of a call, or free its key too early."""
    assert seen(broken, settle=step)


def seen(broken: str, claim: ClaimStep = claim_step, settle: SettleStep = settle_step) -> bool:
    """Whether this promise is seen broken in one of many worlds."""
    for seed in range(300):
        try:
            simulate(seed, claim, settle)
        except Violated as violated:
            if violated.invariant == broken:
                return True
    return False
