"""The refresh protocol keeps its promises in simulated worlds; each promise is looked at where it can break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from sidecar.auth.refresh import (
    Answered,
    Ask,
    Done,
    Effect,
    Event,
    Pause,
    Phase,
    Renewing,
    Shown,
    Tell,
    Woke,
    Write,
    Wrote,
    access_of,
)
from sidecar.auth.token_answer import Granted, Refused
from sidecar.credential import Credential
from sidecar.store.write import Written
from tests.sim.refresh import simulate
from tests.sim.renewer import refresh_step
from tests.sim.world import Violated

SEEDS = range(300)
Stepped = tuple[Renewing, tuple[Effect, ...]]
ONE_USE = "no refresh token is used while another use of it may be under way"
NONE_LOST = "no grant is lost but where it cannot be helped"


def test_every_promise_holds_in_every_world() -> None:
    """Some hundred seeds: no promise is broken, every kind of trouble was made, every promise was looked at."""
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    for seed in SEEDS:
        world = simulate(seed)
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    assert {"kill", "pause", "lost answer", "lost request", "silence", "full", "token server unreachable"} <= set(
        faults
    )
    assert len(checks) == 14
    assert {"ok", "grant lost", "must be allowed again", "failed CREDENTIAL_REFRESHING"} <= set(outcomes)


def test_a_seed_is_one_world() -> None:
    """The same seed gives the same bytes; another seed gives others."""
    trace = simulate(7).trace
    assert simulate(7).trace == trace
    assert simulate(8).trace != trace


def no_fence(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """It sends, and says so nowhere."""
    state, [effect] = refresh_step(state, event, now, jitter)
    if isinstance(effect, Write) and state.phase is Phase.FENCE:
        return state, (Ask(effect.credential),)
    return state, (effect,)


def impatient(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """Another's attempt is not waited for."""
    if isinstance(event, Shown) and isinstance(event.found, Credential) and state.result is None:
        event = Shown(replace(event.found, refreshing=None), event.revision)
    return refresh_step(state, event, now, jitter)


def patience_without_store(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """It takes over without a write before that the other one could have answered with its tokens."""
    return refresh_step(replace(state, noticed=True), event, now, jitter)


def late_sender(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """It sends however long it stood still since it said so."""
    if isinstance(event, Wrote) and state.phase is Phase.FENCE:
        state = replace(state, began=now)
    return refresh_step(state, event, now, jitter)


def writes_over(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """New tokens are written over whatever stands there."""
    if isinstance(event, Shown) and state.result is not None and isinstance(event.found, Credential):
        held = state.held
        assert held is not None
        event = Shown(replace(event.found, refreshing=held.refreshing), max(event.revision, state.at_least))
    return refresh_step(state, event, now, jitter)


def forgets_others(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """What was changed meanwhile is overwritten with what was there before."""
    held = state.held
    if isinstance(event, Shown) and state.result is not None and isinstance(event.found, Credential) and held:
        event = Shown(replace(event.found, base_url=held.base_url), event.revision)
    return refresh_step(state, event, now, jitter)


def gives_up_storing(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """Tokens that could not be stored at once are dropped."""
    state, [effect] = refresh_step(state, event, now, jitter)
    return state, (Done(),) if isinstance(effect, Tell) else (effect,)


def asks_again(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """A refusal for good is taken for one that passes."""
    if isinstance(event, Answered) and isinstance(event.outcome, Refused):
        event = Answered(replace(event.outcome, final=False))
    return refresh_step(state, event, now, jitter)


def counts_no_silence(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """That a request had no answer is forgotten."""
    state, [effect] = refresh_step(state, event, now, jitter)
    if isinstance(effect, Write) and effect.credential.refreshing:
        known = replace(effect.credential.refreshing, unanswered=0)
        effect = Write(replace(effect.credential, refreshing=known), effect.revision)
        state = replace(state, held=effect.credential)
    return state, (effect,)


def renews_what_is_new(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """That somebody else renewed the token is not seen."""
    if isinstance(event, Shown) and isinstance(event.found, Credential) and state.result is None:
        state = replace(state, stale=access_of(event.found))
    return refresh_step(state, event, now, jitter)


def silent_end(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """It ends without a word."""
    state, effects = refresh_step(state, event, now, jitter)
    return state, () if isinstance(effects[0], Done) and isinstance(event, Shown) else effects


def left_open(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """Refused, it does not take back that it is at it."""
    state, [effect] = refresh_step(state, event, now, jitter)
    failed = isinstance(event, Answered) and not isinstance(event.outcome, Granted)
    return state, (Done(),) if failed else (effect,)


def waits_for_ever(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """A dead process's attempt is never taken over."""
    return refresh_step(replace(state, waited=0.0), event, now, jitter)


def forgets_written(state: Renewing, event: Event, now: float, jitter: float) -> Stepped:
    """It waits on after its tokens are stored."""
    if isinstance(event, Wrote) and isinstance(event.outcome, Written) and state.phase is Phase.RESULT:
        return state, (Pause(1.0),)
    if isinstance(event, Woke) and state.phase is Phase.RESULT:
        return state, (Pause(1.0),)
    return refresh_step(state, event, now, jitter)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (no_fence, ONE_USE),
        (impatient, ONE_USE),
        (patience_without_store, NONE_LOST),
        (late_sender, ONE_USE),
        (writes_over, "no newer token is ever overwritten by an older one"),
        (forgets_others, "what an operator changed meanwhile stays"),
        (gives_up_storing, NONE_LOST),
        (asks_again, "a refused refresh token is not used again"),
        (counts_no_silence, "a lost grant is told as lost"),
        (renews_what_is_new, "a token is renewed when it is due, not before"),
        (silent_end, "every renewal of a living process ends"),
        (left_open, "a refused refresh token is not used again"),
        (waits_for_ever, "every renewal of a living process ends"),
        (forgets_written, "every renewal of a living process ends"),
    ],
)
def test_a_broken_protocol_is_caught(broken: Callable[[Renewing, Event, float, float], Stepped], promise: str) -> None:
    """Each of these defects breaks its promise in one of the first worlds."""

    def broken_in(seed: int) -> bool:
        try:
            simulate(seed, broken)
        except Violated as violated:
            return violated.invariant == promise
        return False

    assert any(broken_in(seed) for seed in SEEDS)
