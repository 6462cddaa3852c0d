"""What follows from a word of the queue, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.durable import (
    KEEP_TRIES,
    LOCKED_SECONDS,
    LOOKS,
    MOST_DELIVERIES,
    Ack,
    Began,
    Bury,
    Busy,
    Delivery,
    Effect,
    Event,
    GiveBack,
    Gone,
    Leave,
    Look,
    NotGone,
    NotPutOff,
    NotStored,
    Overtaken,
    Pause,
    PutOff,
    Run,
    SayLater,
    Shown,
    Stored,
    Tell,
    Told,
    Woke,
    Write,
    step,
)
from sidecar.core.rerun import DAY, MOST_TRIES, MOST_WAITS, WITHDRAWN, Ran, after_run
from sidecar.durable import DurableCall, Place, Stage, to_run
from sidecar.kept import KeptFailure, kept_outcome
from sidecar.model import Access, Failure, Reason, SideEffect, Success, TraceContext

WALL = 1_795_255_200.0
OK = Success(body=b'{"id":1}')
PLACE = Place("acme", "alice", "0190a8b0-1234-7abc-8def-0123456789ab")


def call(**also: Any) -> DurableCall:
    known: dict[str, Any] = {
        "provider": "github",
        "operation": "issues.create",
        "access": Access.WRITE,
        "input": b"{}",
        "timeout_ms": 30_000,
        "trace": TraceContext("a" * 32, "b" * 16),
        "submitted": WALL,
    }
    return DurableCall(**(known | also))


def failed(reason: Reason, **also: Any) -> Failure:
    return Failure(reason=reason, detail="it failed", **also)


def followed(*events: Event, number: int = 1, timely: bool = False, jitter: float = 0.5) -> list[Effect]:
    """The effects that these events lead to, one after the other."""
    state, effects = Delivery(number, timely), []
    for event in events:
        state, effect = step(state, event, WALL, jitter)
        effects.append(effect)
    return effects


def last(*events: Event, **also: Any) -> Effect:
    return followed(*events, **also)[-1]


def test_a_call_that_succeeds() -> None:
    """Looked at, run, kept, told, and only then acknowledged."""
    effects = followed(Began(), Shown(call(), 7), Ran(OK, 1), Stored(), Told())
    assert [type(effect) for effect in effects] == [Look, Run, Write, Tell, Ack]
    kept = effects[2]
    assert isinstance(kept, Write)
    assert (kept.call.stage, kept.call.attempts, kept.revision, kept.seconds) == (Stage.DONE, 1, 7, DAY)


def test_nothing_is_acknowledged_that_is_not_kept() -> None:
    """A result that cannot be stored is tried again, and in the end the word is left to be said again."""
    events: list[Event] = [Began(), Shown(call(), 7), Ran(OK)]
    for _ in range(KEEP_TRIES):
        events += [NotStored(), Woke()]
    assert isinstance(last(*events), Write)
    assert isinstance(last(*events, NotStored()), Leave)
    assert not any(isinstance(effect, Ack) for effect in followed(*events, NotStored()))


@pytest.mark.parametrize("number", range(1, LOOKS))
def test_a_record_that_is_not_seen_may_be_there(number: int) -> None:
    """Reads may be stale, however often: when several showed nothing, a write proves it, or the word stays."""
    assert isinstance(last(Began(), Shown(None), number=number), Leave)
    assert isinstance(last(Began(), Shown(None), number=LOOKS), Bury)
    assert isinstance(last(Began(), Shown(None), Gone(), number=LOOKS), Ack)
    assert isinstance(last(Began(), Shown(None), NotGone(), number=LOOKS), Leave)


@pytest.mark.parametrize("stage", [Stage.DONE, Stage.DEAD])
def test_what_ended_is_told_again_and_not_run(stage: Stage) -> None:
    """Whoever stored the result may have died before it was told."""
    assert last(Began(), Shown(call(stage=stage), 7)) == Tell(call(stage=stage))


def test_what_is_not_due_is_put_off_again() -> None:
    """Whoever put it off may have died before it said so; a word too many runs nothing early."""
    assert last(Began(), Shown(call(due=WALL + 60), 7)) == SayLater(WALL + 60)
    assert isinstance(last(Began(), Shown(call(due=WALL + 60), 7), PutOff()), Ack)


def test_the_server_says_when_it_is_due() -> None:
    """A clock of ours that is behind holds nothing up."""
    assert isinstance(last(Began(), Shown(call(due=WALL + 60), 7), timely=True), Run)


@pytest.mark.parametrize(
    ("failure", "tries", "waits", "delay"),
    [
        (failed(Reason.PROVIDER_UNAVAILABLE), 1, 0, 1.0),
        (failed(Reason.CONNECT_FAILED, retry_after=90.0), 1, 0, 90.0),
        (failed(Reason.STORE_UNAVAILABLE), 1, 0, 1.0),
        (failed(Reason.LOCAL_RATE_LIMITED, retry_after=60.0), 0, 1, 63.0),
        (failed(Reason.PROVIDER_RATE_LIMITED, retry_after=0.1), 0, 1, 1.05),
        (failed(Reason.CIRCUIT_OPEN), 0, 1, 5.25),
    ],
)
def test_what_changed_nothing_is_put_off(failure: Failure, tries: int, waits: int, delay: float) -> None:
    """As long as it is told, or longer each time; what a quota holds up is no failure of the call."""
    effects = followed(Began(), Shown(call(), 7), Ran(failure, 1), Stored(), PutOff())
    kept = effects[2]
    assert isinstance(kept, Write)
    assert (kept.call.stage, kept.call.tries, kept.call.waits) == (Stage.WAITING, tries, waits)
    assert kept.call.due == pytest.approx(WALL + delay)
    assert kept.call.why == f"{failure.reason}: it failed"
    assert kept.seconds >= 7 * DAY + delay - 1
    assert kept.call.due is not None
    assert effects[3:] == [SayLater(kept.call.due), Ack()]


@pytest.mark.parametrize(
    "failure",
    [
        failed(Reason.OUTCOME_UNKNOWN, side_effect=SideEffect.UNKNOWN),
        failed(Reason.PROVIDER_5XX, side_effect=SideEffect.UNKNOWN),
        failed(Reason.SHUTTING_DOWN, side_effect=SideEffect.UNKNOWN),
        failed(Reason.VALIDATION),
        failed(Reason.REAUTH_REQUIRED),
        failed(Reason.PROVIDER_REJECTED),
        failed(Reason.BUG),
    ],
)
def test_what_must_not_or_cannot_be_repeated_is_dead(failure: Failure) -> None:
    """Its failure is its result, and it can be seen among the dead ones."""
    after = after_run(call(), Ran(failure, 1), WALL, 0.5)
    assert (after.stage, after.due) == (Stage.DEAD, None)
    assert isinstance(after.ended, KeptFailure)
    assert after.ended.reason is failure.reason


def test_a_key_allows_what_may_have_happened_to_be_repeated() -> None:
    """`again` says that the same call with its key is done once whatever came of it."""
    unknown = failed(Reason.OUTCOME_UNKNOWN, side_effect=SideEffect.UNKNOWN)
    assert after_run(call(), Ran(unknown, again=True), WALL, 0.5).stage is Stage.WAITING


def test_a_read_may_be_repeated() -> None:
    """It changes nothing."""
    assert after_run(call(access=Access.READ), Ran(failed(Reason.PROVIDER_5XX)), WALL, 0.5).stage is Stage.WAITING


def test_a_cancelled_call_has_ended() -> None:
    """Somebody wanted that: it is no dead letter."""
    assert after_run(call(), Ran(failed(Reason.CANCELLED_BY_CALLER)), WALL, 0.5).stage is Stage.DONE


@pytest.mark.parametrize(
    ("before", "failure"),
    [
        (call(tries=MOST_TRIES), failed(Reason.PROVIDER_UNAVAILABLE)),
        (call(waits=MOST_WAITS), failed(Reason.LOCAL_RATE_LIMITED)),
    ],
)
def test_it_is_not_tried_for_ever(before: DurableCall, failure: Failure) -> None:
    """After so many runs it is dead, with the last reason."""
    assert after_run(before, Ran(failure), WALL, 0.5).stage is Stage.DEAD


def test_pauses_grow_and_have_an_end() -> None:
    """From about a second to about ten minutes."""
    unavailable, kept, pauses = failed(Reason.PROVIDER_UNAVAILABLE), call(), []
    for _ in range(MOST_TRIES):
        kept = after_run(kept, Ran(unavailable), WALL, 0.5)
        pauses.append((kept.due or 0.0) - WALL)
    assert pauses[:4] == pytest.approx([1, 2, 4, 8])
    assert max(pauses) == pytest.approx(600)
    assert 6_000 < sum(pauses) < 8_000


def test_a_call_that_ends_its_sidecars_is_ended() -> None:
    """Taken too often without an end it is not run once more; its write may have happened."""
    effects = followed(Began(), Shown(call(), 7), number=MOST_DELIVERIES + 1)
    kept = effects[-1]
    assert isinstance(kept, Write)
    assert isinstance(kept.call.ended, KeptFailure)
    assert (kept.call.stage, kept.call.ended.reason) == (Stage.DEAD, Reason.BUG)
    assert kept.call.ended.side_effect is SideEffect.UNKNOWN
    assert isinstance(last(Began(), Shown(call(), 7), number=MOST_DELIVERIES), Run)


def test_at_the_end_of_the_process_another_may_have_it() -> None:
    """What changed nothing is given back at once; it is not put off."""
    assert isinstance(last(Began(), Shown(call(), 7), Ran(failed(Reason.SHUTTING_DOWN))), GiveBack)


def test_another_write_is_looked_at() -> None:
    """Two that ran one call: the second finds what the first one kept."""
    effects = followed(Began(), Shown(call(), 7), Ran(OK), Overtaken(), Shown(call(stage=Stage.DONE), 8), Told())
    assert [type(effect) for effect in effects[3:]] == [Look, Tell, Ack]


@pytest.mark.parametrize("shown", [None, failed(Reason.STORE_UNAVAILABLE)], ids=["nothing", "no answer"])
def test_a_look_that_shows_nothing_is_repeated_while_a_result_is_in_memory(shown: Failure | None) -> None:
    """Another write stands there, and only here it is known what was done: the word is not left to one who does not."""
    withdrawn = call(stage=Stage.DONE, ended=kept_outcome(WITHDRAWN))
    looks = (Overtaken(), Shown(shown), Woke(), Shown(withdrawn, 8))
    effects = followed(Began(), Shown(call(), 7), Ran(OK), *looks)
    assert [type(effect) for effect in effects[3:]] == [Look, Pause, Look, Write]
    assert last(Began(), Shown(shown)) == Leave()


def test_a_call_that_runs_here_is_left() -> None:
    """The word is said again when that run has ended."""
    assert isinstance(last(Began(), Shown(call(), 7), Busy()), Leave)


def test_without_a_free_place_it_waits_for_one() -> None:
    """The word is held meanwhile, and left in the end."""
    state = followed(Began(), Shown(call(), 7), Ran(failed(Reason.LOCAL_RATE_LIMITED)), Stored(), NotPutOff(), Woke())
    assert [type(effect) for effect in state[3:]] == [SayLater, Pause, SayLater]


def test_a_record_that_does_not_open_is_looked_at_again() -> None:
    """Its key may come back; meanwhile it holds up nobody."""
    locked = Shown(failed(Reason.KEY_UNAVAILABLE))
    assert isinstance(last(Began(), locked), Leave)
    assert last(Began(), locked, number=MOST_DELIVERIES) == SayLater(WALL + LOCKED_SECONDS)


def test_a_store_that_is_away_decides_nothing() -> None:
    """However often: the word is left."""
    assert isinstance(last(Began(), Shown(failed(Reason.STORE_UNAVAILABLE)), number=99), Leave)


def test_every_run_has_a_key() -> None:
    """The caller's, or the call's own id; driven again after a failure that changed nothing, a new one."""
    assert to_run(PLACE, call(), 5.0).idempotency_key == PLACE.call_id
    assert to_run(PLACE, call(redriven=2), 5.0).idempotency_key == f"{PLACE.call_id}.2"
    assert to_run(PLACE, call(idempotency_key="k", redriven=2), 5.0).idempotency_key == "k"
    assert to_run(PLACE, call(timeout_ms=1500), 5.0).deadline == 6.5
