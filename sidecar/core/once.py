"""Who may send a call that has an idempotency key: at any time one process, and what was done once is not done again.

Pure: no await, no clock, no dice. The one who drives it carries an effect out and comes back with what happened.

Before a call is sent, its record says so: that write, over nothing, is the fence, and only who made it sends. It is
written anew while the call lasts. Others wait for what comes of it. When it stands still for PATIENCE_SECONDS, each by
its own clock since it first saw it, its owner is taken for dead. That may be wrong, so what follows must be right all
the same: what may be sent twice is sent again, anything else is told as unknown, and never sent again under this key.
"""

from __future__ import annotations

import msgspec

from sidecar.core.rerun import WITHDRAWN
from sidecar.kept import Done, Free, Open, Pending, State
from sidecar.model import Failure, Reason, SideEffect

BEAT_SECONDS = 5.0  # after so long the owner writes its record anew
FENCE_SECONDS = 10.0  # nothing is sent on a record that was confirmed longer ago
PATIENCE_SECONDS = 15.0  # a record that stands still for so long has no owner any more
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
SHORTEST_PAUSE = 0.005
RETRY_AFTER = 1.0
MOST_BARRED = 100  # runs, of one key: the latest


class Began(msgspec.Struct, frozen=True, tag=True):
    """The first event."""


class Shown(msgspec.Struct, frozen=True, tag=True):
    """What a look showed, why it showed nothing, or None where there is no record. It may be stale."""

    found: State | Failure | None
    revision: int = 0


class Stored(msgspec.Struct, frozen=True, tag=True):
    """The write happened, as this revision."""

    revision: int


class Overtaken(msgspec.Struct, frozen=True, tag=True):
    """Another write stands there now, of this revision where the store said it; ours may have come before it."""

    last: int = 0


class Unclear(msgspec.Struct, frozen=True, tag=True):
    """The write may have happened, and may still."""

    failure: Failure


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The write did not happen. `full`: for want of room."""

    failure: Failure
    full: bool = False


class Woke(msgspec.Struct, frozen=True, tag=True):
    """The pause is over."""


Event = Began | Shown | Stored | Overtaken | Unclear | Refused | Woke


class Look(msgspec.Struct, frozen=True, tag=True):
    """Read the record."""


class Write(msgspec.Struct, frozen=True, tag=True):
    """Write over exactly this revision; None: where there is no record."""

    state: State
    revision: int | None


class Pause(msgspec.Struct, frozen=True, tag=True):
    seconds: float


class Go(msgspec.Struct, frozen=True, tag=True):
    """Send: the record is ours, in this revision."""

    pending: Pending
    revision: int


class Replay(msgspec.Struct, frozen=True, tag=True):
    """Answer with what the first call ended in."""

    done: Done


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Send nothing, for this reason. `abandoned`: a record of ours may be there, or come to be there, and has to go."""

    failure: Failure
    abandoned: Pending | None = None


Effect = Look | Write | Pause | Go | Replay | Stop


class Claiming(msgspec.Struct, frozen=True, kw_only=True):
    """One call's way to its record. Begin with the event `Began`.

    `again`: sending it twice is safe. `lost` is what is kept of a dead owner's call that may not be sent again.
    `run` names it where it is one of a durable call. `deadline` is on the clock that `now` is of. `standing` is the
    revision of another's record that is waited for, as it stands since the moment `since`; an earlier call of this
    process may have seen it first. `seen`: so did this one. `rested`: the last look came after a pause.
    """

    ours: Pending
    again: bool
    lost: Done
    deadline: float
    run: str | None = None
    standing: int = 0
    since: float = 0.0
    seen: bool = False
    wrote: State | None = None
    at_least: int = 0
    pauses: int = 0
    rested: bool = False
    unclear: Failure | None = None
    abandoned: Pending | None = None


replace = msgspec.structs.replace


def step(state: Claiming, event: Event, now: float, jitter: float) -> tuple[Claiming, Effect]:
    """What to do next; `jitter` is uniform in [0, 1)."""
    match event:
        case Began():
            return _write(state, state.ours, None)
        case Stored(revision):
            wrote = state.wrote
            assert wrote is not None  # nothing is stored that was not written
            return state, Replay(wrote) if isinstance(wrote, Done) else Go(_pending(state), revision)
        case Overtaken(last):
            return replace(state, at_least=max(state.at_least, last)), Look()
        case Unclear(failure):
            abandoned = state.wrote if isinstance(state.wrote, Pending) else state.abandoned
            return _pause(replace(state, unclear=failure, abandoned=abandoned), now, jitter)
        case Refused(failure):
            return state, _stop(state, failure)
        case Shown():
            return _shown(state, event, now, jitter)
        case Woke():
            return state, Look()


def _pending(state: Claiming) -> Pending:
    assert isinstance(state.wrote, Pending)  # a call never leaves its own record open
    return state.wrote


def _shown(state: Claiming, shown: Shown, now: float, jitter: float) -> tuple[Claiming, Effect]:
    found, revision = shown.found, shown.revision
    if isinstance(found, Failure):
        # Who waits for another goes on: the store may be away for a moment.
        return _pause(state, now, jitter) if state.seen else (state, _stop(state, found))
    if found is None and state.rested:  # gone, or not seen by that replica: the write tells
        return _write(state, state.ours, None)
    if found is None or revision < state.at_least:
        return _pause(state, now, jitter)
    return _found(replace(state, at_least=revision), found, revision, now, jitter)


def _found(state: Claiming, found: State, revision: int, now: float, jitter: float) -> tuple[Claiming, Effect]:
    if not isinstance(found, Done) and state.run in found.barred:
        return state, Stop(WITHDRAWN, state.abandoned)
    if isinstance(found, Free):
        return _write(state, replace(state.ours, barred=found.barred), revision)
    if found.fingerprint != state.ours.fingerprint:
        return state, Stop(mismatch())
    match found:
        case Done():
            return state, Replay(found)
        case Pending(attempt=state.ours.attempt):  # the write of it had no answer; it was done
            return state, Go(found, revision)
        case Open():
            return _take_over(state, found, revision)
        case Pending():
            return _wait(state, found, revision, now, jitter)


def _wait(state: Claiming, found: Pending, revision: int, now: float, jitter: float) -> tuple[Claiming, Effect]:
    """Another one is at it, until its record stands still for too long."""
    if state.standing != revision:
        state = replace(state, standing=revision, since=now, pauses=0)
    state = replace(state, seen=True)
    if now - state.since >= PATIENCE_SECONDS:
        return _take_over(state, found, revision)
    return _pause(state, now, jitter)


def _take_over(state: Claiming, found: Pending | Open, revision: int) -> tuple[Claiming, Effect]:
    state = replace(state, seen=True)
    if state.again:
        return _write(state, replace(state.ours, doubt=True, barred=found.barred), revision)
    return _write(state, replace(state.lost, attempt=found.attempt), revision)


def _write(state: Claiming, wanted: State, revision: int | None) -> tuple[Claiming, Effect]:
    return replace(state, wrote=wanted, rested=False), Write(wanted, revision)


def _pause(state: Claiming, now: float, jitter: float) -> tuple[Claiming, Effect]:
    left = state.deadline - now
    if left <= 0:
        return state, _stop(state, in_progress() if state.seen else state.unclear or unreadable())
    seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(state.pauses, 10)) * (0.5 + jitter)
    return replace(state, pauses=state.pauses + 1, rested=True), Pause(max(SHORTEST_PAUSE, min(seconds, left)))


def _stop(state: Claiming, failure: Failure) -> Stop:
    """Nothing is sent. What another one did whose record was seen is not known."""
    if state.seen and failure.side_effect is SideEffect.NONE:
        failure = replace(failure, side_effect=SideEffect.UNKNOWN)
    return Stop(failure, state.abandoned)


def barred(found: State | None, run: str) -> Free | None:
    """What the key's record has to say, by compare-and-set, before this run of a durable call is told as ended by a
    cancel: then it never begins. None where it may have begun, or another call with its key.
    """
    match found:
        case None:
            return Free((run,))
        case Free(runs):
            return found if run in runs else Free((*runs, run)[-MOST_BARRED:])
        case _:
            return None


def taken_over(unconfirmed: float, *, again: bool) -> bool:
    """Whether another one may have sent the call meanwhile, whose owner confirmed its record so many seconds ago."""
    return again and unconfirmed >= PATIENCE_SECONDS


def mismatch() -> Failure:
    return Failure(
        reason=Reason.IDEMPOTENCY_MISMATCH,
        detail="this idempotency key was used for another input of the same operation; nothing was sent",
        hint="make the key of what is to be done once: the run, its step, the operation and the whole input",
    )


def in_progress() -> Failure:
    return Failure(
        reason=Reason.IN_PROGRESS,
        detail="a call with this idempotency key is under way, and its answer did not come before this call's deadline",
        side_effect=SideEffect.UNKNOWN,
        retry_after=RETRY_AFTER,
        hint="send it again, unchanged and with the same key: it gets the first call's answer",
    )


def unreadable() -> Failure:
    return Failure(
        reason=Reason.STORE_UNAVAILABLE,
        detail="the records of idempotency keys could not be read before the deadline; nothing was sent",
        retry_after=RETRY_AFTER,
    )


def owner_lost() -> Failure:
    """What is told of a call whose sidecar died in the middle, where sending it again could do it twice."""
    return Failure(
        reason=Reason.OUTCOME_UNKNOWN,
        detail="the sidecar that ran the call with this idempotency key ended before its outcome was known; "
        "it may have been done, and it is not sent again under this key",
        side_effect=SideEffect.UNKNOWN,
    )
