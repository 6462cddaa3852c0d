"""Durable calls keep their promises in simulated worlds; each promise is looked at where it can break."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec import structs

from sidecar.core.durable import (
    Ack,
    Bury,
    Delivery,
    Effect,
    Event,
    GiveBack,
    NotPutOff,
    NotStored,
    Overtaken,
    PutOff,
    Run,
    SayLater,
    Shown,
    Stored,
    Tell,
    Write,
    step,
)
from sidecar.core.once import barred
from sidecar.core.rerun import Ran
from sidecar.durable import DurableCall, Stage
from sidecar.kept import Free, KeptFailure, State, kept_outcome
from sidecar.model import Reason, SideEffect
from tests.sim.cancels import Fence, fenced
from tests.sim.durable import DurableStep, simulate
from tests.sim.waiting import SUCCESS, Once
from tests.sim.world import Violated

SEEDS = range(100)
Stepped = tuple[Delivery, Effect]


def test_every_promise_holds_in_every_world() -> None:
    """No promise is broken, every kind of trouble was made, every promise was looked at."""
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    for seed in SEEDS:
        world = simulate(seed)
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    assert set(faults) == {
        "kill",
        "pause",
        "stale read",
        "store away",
        "write lost",
        "answer to a write lost",
        "put off lost",
        "answer to a put off lost",
        "lost ack",
        "submit cut off",
        "a word too many",
        "cancel",
        "stale look at a key",
    }
    assert len(checks) == 9
    assert {Stage.DONE, Stage.DEAD, Reason.CANCELLED_BY_CALLER} < set(outcomes)


def test_a_seed_is_one_world() -> None:
    """The same seed gives the same bytes, another one others."""
    assert simulate(7).trace == simulate(7).trace != simulate(8).trace


def acked_before_it_is_kept(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """The word is over as soon as the call ran."""
    state, effect = step(state, event, wall, jitter)
    return state, Ack() if isinstance(event, Ran) and isinstance(effect, Write) else effect


def believed_to_be_kept(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """A write without an answer happened."""
    return step(state, Stored() if isinstance(event, NotStored) else event, wall, jitter)


def believed_to_be_put_off(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """A word without an answer will be said."""
    return step(state, PutOff() if isinstance(event, NotPutOff) else event, wall, jitter)


def stale_look_believed(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """What looks do not show is not there."""
    state, effect = step(state, event, wall, jitter)
    return state, Ack() if isinstance(effect, Bury) else effect


def put_off_in_the_record_alone(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """Kept as waiting, and nobody says the word again."""
    state, effect = step(state, event, wall, jitter)
    return state, Ack() if isinstance(event, Stored) and isinstance(effect, SayLater) else effect


def run_whenever_woken(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """Every word runs what waits, due or not."""
    new, effect = step(state, event, wall, jitter)
    if isinstance(event, Shown) and isinstance(effect, SayLater) and new.call is not None:
        return new, Run(new.call)
    return new, effect


def thrown_away_at_the_end(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """What a sidecar that ends did not do is over."""
    state, effect = step(state, event, wall, jitter)
    return state, Ack() if isinstance(effect, GiveBack) else effect


def never_told(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """Kept is enough."""
    state, effect = step(state, event, wall, jitter)
    return state, Ack() if isinstance(effect, Tell) else effect


def the_faster_one_wins(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """Overtaken by another write, it takes it for the end."""
    return (state, Ack()) if isinstance(event, Overtaken) else step(state, event, wall, jitter)


def unknown_is_nothing(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """What nobody knows is told as if nothing had happened."""
    state, effect = step(state, event, wall, jitter)
    ended = effect.call.ended if isinstance(effect, Write) else None
    if isinstance(effect, Write) and getattr(ended, "side_effect", None) is SideEffect.UNKNOWN:
        from msgspec.structs import replace  # noqa: PLC0415  # of this bug alone

        effect = replace(effect, call=replace(effect.call, ended=replace(ended, side_effect=SideEffect.NONE)))  # type: ignore[type-var]
        state = replace(state, call=effect.call)
    return state, effect


def always_well(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """Every end is told as done."""
    from msgspec.structs import replace  # noqa: PLC0415  # of this bug alone

    state, effect = step(state, event, wall, jitter)
    if isinstance(effect, Write) and effect.call.stage is Stage.DEAD:
        effect = replace(effect, call=replace(effect.call, stage=Stage.DONE, ended=kept_outcome(SUCCESS)))
        state = replace(state, call=effect.call)
    return state, effect


def withdrawn_here(event: Event) -> DurableCall | None:
    """The call that a look shows as ended by a cancel before it began."""
    found = event.found if isinstance(event, Shown) else None
    if not isinstance(found, DurableCall) or not isinstance(found.ended, KeptFailure):
        return None
    return found if found.ended.reason is Reason.CANCELLED_BY_CALLER else None


def cancelled_and_run(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """The word runs its call, whatever a cancel wrote meanwhile."""
    found = withdrawn_here(event)
    if found is None or state.ran is not None or not isinstance(event, Shown):
        return step(state, event, wall, jitter)
    again = structs.replace(found, stage=Stage.WAITING, ended=None)
    return structs.replace(state, call=again, revision=event.revision), Run(again)


def cancelled_whatever_was_done(state: Delivery, event: Event, wall: float, jitter: float) -> Stepped:
    """Who ran the call leaves what a cancel wrote meanwhile."""
    found = withdrawn_here(event)
    return step(state, event, wall, jitter) if found is None else (state, Tell(found))


def looked_at_alone(once: Once, key: str, found: State | None) -> bool:
    """A cancel that does not fence: what a look shows is believed."""
    del once
    return barred(found, key) is not None


def begun_meanwhile(once: Once, key: str, found: State | None) -> bool:
    """A fence that came too late is taken for one."""
    bar = barred(found, key)
    if bar is not None:
        once.bar(key, bar, over=found)
    return bar is not None


def written_over(once: Once, key: str, found: State | None) -> bool:
    """A fence in the place of whatever stands there."""
    del found
    return once.bar(key, Free((key,)), over=once.record(key))


def caught(planted: DurableStep, *, keyed: bool = True, fence: Fence = fenced) -> str | None:
    """The first promise that is seen broken."""
    for seed in range(300):
        try:
            simulate(seed, planted, keyed=keyed, fence=fence)
        except Violated as violated:
            return violated.invariant
    return None


@pytest.mark.parametrize(
    ("planted", "promise"),
    [
        (acked_before_it_is_kept, "an acknowledged call comes to an end"),
        (believed_to_be_kept, "an acknowledged call comes to an end"),
        (believed_to_be_put_off, "an acknowledged call comes to an end"),
        (stale_look_believed, "an acknowledged call comes to an end"),
        (put_off_in_the_record_alone, "an acknowledged call comes to an end"),
        (thrown_away_at_the_end, "an acknowledged call comes to an end"),
        (run_whenever_woken, "nothing runs before its time"),
        (never_told, "its end is told"),
        (the_faster_one_wins, "its end is told"),
        (unknown_is_nothing, "what is told as nothing was nothing"),
        (always_well, "what is told as done happened once"),
    ],
    ids=lambda given: getattr(given, "__name__", None),
)
def test_a_planted_bug_is_caught(planted: DurableStep, promise: str) -> None:
    """Each promise can be seen broken."""
    assert caught(planted) == promise


@pytest.mark.parametrize("fence", [looked_at_alone, begun_meanwhile, written_over])
def test_a_cancel_that_does_not_fence_is_caught(fence: Fence) -> None:
    """What may have been sent is told as nothing, and whoever sent it may have died: nobody writes what it did."""
    assert caught(step, fence=fence) in {
        "what is told as nothing was nothing",
        "what was told as cancelled before it began is not done",
    }


@pytest.mark.parametrize("planted", [cancelled_and_run, cancelled_whatever_was_done])
def test_what_a_cancel_ended_is_held_by_its_key(planted: DurableStep) -> None:
    """Whatever words and records are taken for: these bugs do harm where a cancel does not fence, and else none."""
    assert caught(planted, fence=looked_at_alone) is not None
    assert caught(planted) is None


def test_without_keys_things_happen_twice() -> None:
    """What keeps a call that is taken again from being done again is its key, and nothing else."""
    broken = caught(step, keyed=False)
    assert broken in {
        "nothing happens twice",
        "what is told as done happened once",
        "what is told as nothing was nothing",
    }
