"""What the record of an idempotency key says in the end: the outcome for all that repeat the call, or nothing at all.

Pure: no await, no clock, no dice. Only a final outcome is kept. Where certainly nothing was done (limited, refused,
never sent) the key is free again; where it may have been done, and sending it again is safe, whoever asks next does.
"""

from __future__ import annotations

import msgspec

from sidecar.core.once import (
    Began,
    Event,
    Look,
    Overtaken,
    Pause,
    Refused,
    Shown,
    Stored,
    Unclear,
    Woke,
    Write,
)
from sidecar.kept import Done, Free, KeptFailure, KeptSuccess, Open, Pending, kept_outcome
from sidecar.model import MEANINGS, Again, Failure, Outcome, Reason, SideEffect

SETTLE_SECONDS = 600.0  # how long it is tried while the store is away; then the record has no owner any more
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
FULL_PAUSES = 6  # then it is tried without the output: room for that may come too late
LOOKS = 6  # that show nothing where a record must be, and then it is gone


class Delete(msgspec.Struct, frozen=True, tag=True):
    """Take the record away, exactly this revision."""

    revision: int


class Over(msgspec.Struct, frozen=True, tag=True):
    """It is over. `kept`: the record says what was to be said."""

    kept: bool


Effect = Look | Write | Delete | Pause | Over


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """One call's last word on its record. Begin with the event `Began`.

    `wanted` is what the record is to say, None that it is to go; `smaller` stands for it where there is no room.
    `revision` is the record's, None where that is not known. `until` is on the clock that `now` is of.
    """

    attempt: str
    wanted: Done | Open | Free | None
    revision: int | None
    until: float
    smaller: Done | None = None
    at_least: int = 0
    pauses: int = 0
    blank: int = 0


replace = msgspec.structs.replace


def sent_again(outcome: Outcome, *, again: bool) -> bool:
    """Whether the same call with the same key is carried out anew, though this one may have been done: `again` says
    that sending it twice is safe.
    """
    if not again or not isinstance(outcome, Failure) or outcome.side_effect is SideEffect.NONE:
        return False
    return outcome.side_effect is SideEffect.UNKNOWN or MEANINGS[outcome.reason].again is Again.YES


def wanted(
    pending: Pending, outcome: Outcome, *, again: bool, call_id: str, attempts: int
) -> Done | Open | Free | None:
    """What the record says after this outcome."""
    if isinstance(outcome, Failure) and outcome.side_effect is SideEffect.NONE:
        return _freed(pending)
    if sent_again(outcome, again=again):
        return _opened(pending)
    return Done(
        fingerprint=pending.fingerprint,
        attempt=pending.attempt,
        call_id=call_id,
        attempts=attempts,
        outcome=kept_outcome(outcome),
    )


def abandoned(pending: Pending) -> Open | Free | None:
    """What the record says of a claim that nothing was sent on."""
    return _opened(pending) if pending.doubt else _freed(pending)


def _opened(pending: Pending) -> Open:
    return Open(pending.fingerprint, pending.attempt, pending.barred)


def _freed(pending: Pending) -> Free | None:
    return Free(pending.barred) if pending.barred else None


def smaller(done: Done) -> Done | None:
    """The same without the output, where it has one: that it was done is told at least."""
    outcome = done.outcome
    if not isinstance(outcome, KeptSuccess):
        return None
    failure = KeptFailure(
        reason=Reason.RESPONSE_TOO_LARGE,
        detail="it was done by the first call with this idempotency key, whose answer was too large to be kept",
        side_effect=SideEffect.DONE,
        hint=f"nothing was sent again; look at the first call: sidecar trace show {done.call_id}",
        provider_status=outcome.provider_status,
    )
    return replace(done, outcome=failure)


def step(state: Settling, event: Event, now: float, jitter: float) -> tuple[Settling, Effect]:
    """What to do next; `jitter` is uniform in [0, 1)."""
    match event:
        case Began() | Woke():
            return _write(state)
        case Stored():
            return state, Over(kept=True)
        case Overtaken(last):
            return replace(state, revision=None, at_least=max(state.at_least, last)), Look()
        case Refused(full=True) if state.smaller is not None and state.pauses >= FULL_PAUSES:
            return _write(replace(state, wanted=state.smaller, smaller=None))
        case Refused() | Unclear():
            return _pause(state, now, jitter)
        case Shown():
            return _shown(state, event, now, jitter)


def _write(state: Settling) -> tuple[Settling, Effect]:
    if state.revision is None:
        return state, Look()
    return state, Delete(state.revision) if state.wanted is None else Write(state.wanted, state.revision)


def _shown(state: Settling, shown: Shown, now: float, jitter: float) -> tuple[Settling, Effect]:
    """The record was changed under us, or it is not known whether our own write changed it."""
    found = shown.found
    if isinstance(found, Failure):
        return _pause(state, now, jitter)
    if found is None or isinstance(found, Free) or shown.revision < state.at_least:
        if state.blank >= LOOKS:  # it is gone or free: by our own write, or with its tenant
            return state, Over(kept=state.wanted is None or found == state.wanted)
        return _pause(replace(state, blank=state.blank + 1), now, jitter)
    if not _ours(state, found):
        return state, Over(kept=found == state.wanted)
    return _write(replace(state, revision=shown.revision, at_least=shown.revision, blank=0))


def _ours(state: Settling, found: Pending | Open | Done) -> bool:
    """Whether it is still our attempt that the record waits for, or that somebody gave up while we were away."""
    if found.attempt != state.attempt:
        return False
    return isinstance(found, Pending) or (isinstance(found, Done) and found.judged)


def _pause(state: Settling, now: float, jitter: float) -> tuple[Settling, Effect]:
    left = state.until - now
    if left <= 0:
        return state, Over(kept=False)
    seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(state.pauses, 10)) * (0.5 + jitter)
    return replace(state, pauses=state.pauses + 1), Pause(min(seconds, left))
