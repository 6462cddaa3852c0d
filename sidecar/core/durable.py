"""What to do with one word of the queue: look which call it means, run it, keep what came of it, and only then ack.

Pure: no await, no clock, no dice. The one who drives it carries an effect out and comes back with what happened.

The record is the truth, a word only wakes somebody. So a word too many does no harm: what has ended is told again, what
is not due is put off again. A word is acknowledged when what follows from it is stored, and not before: who dies on the
way leaves it to be said again. A word that was said too often means a call that ends those who run it, and is ended.
"""

from __future__ import annotations

import msgspec

from sidecar.core.rerun import Ran, after_run, kept_seconds, repeatable
from sidecar.durable import DurableCall, Stage
from sidecar.kept import KeptFailure
from sidecar.model import Access, Failure, Reason, SideEffect

MOST_DELIVERIES = 10  # of one word; each time that a call is put off begins anew
LOOKS = 4  # deliveries that find no record, and then it is made certain that there is none
LOCKED_SECONDS = 3600.0  # a record that does not open is tried again after so long
KEEP_PAUSE = 2.0
KEEP_TRIES = 30  # of a write: a result that is in memory is precious


class Began(msgspec.Struct, frozen=True, tag=True):
    """The first event."""


class Shown(msgspec.Struct, frozen=True, tag=True):
    """What a look showed; a Failure: it does not open, or the store does not answer. It may be stale."""

    found: DurableCall | Failure | None
    revision: int = 0


class Gone(msgspec.Struct, frozen=True, tag=True):
    """There is no such record, for certain."""


class NotGone(msgspec.Struct, frozen=True, tag=True):
    """There is one, or nobody knows."""


class Stored(msgspec.Struct, frozen=True, tag=True):
    """The write happened."""


class Overtaken(msgspec.Struct, frozen=True, tag=True):
    """Another write stands there now."""


class NotStored(msgspec.Struct, frozen=True, tag=True):
    """The write did not happen, or nobody knows."""


class Busy(msgspec.Struct, frozen=True, tag=True):
    """The call runs here already."""


class PutOff(msgspec.Struct, frozen=True, tag=True):
    """The word will be said again at its time."""


class NotPutOff(msgspec.Struct, frozen=True, tag=True):
    """There was no free place, or the stream does not answer."""


class Told(msgspec.Struct, frozen=True, tag=True):
    """The result was published."""


class Woke(msgspec.Struct, frozen=True, tag=True):
    """The pause is over."""


Event = Began | Shown | Gone | NotGone | Ran | Stored | Overtaken | NotStored | Busy | PutOff | NotPutOff | Told | Woke


class Look(msgspec.Struct, frozen=True, tag=True):
    """Read the record."""


class Bury(msgspec.Struct, frozen=True, tag=True):
    """Write that there is no such record, over nothing."""


class Run(msgspec.Struct, frozen=True, tag=True):
    """Run the call, or find that it runs here already."""

    call: DurableCall


class Write(msgspec.Struct, frozen=True, tag=True):
    """Write over exactly this revision, to last for so many seconds."""

    call: DurableCall
    revision: int
    seconds: int


class SayLater(msgspec.Struct, frozen=True, tag=True):
    """Have the word said again at this moment (Unix seconds)."""

    at: float


class Tell(msgspec.Struct, frozen=True, tag=True):
    """Publish the result."""

    call: DurableCall


class Pause(msgspec.Struct, frozen=True, tag=True):
    seconds: float


class Ack(msgspec.Struct, frozen=True, tag=True):
    """The word is over: what followed from it is stored."""


class GiveBack(msgspec.Struct, frozen=True, tag=True):
    """Another sidecar may have it at once."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Do nothing more: unacknowledged, it is said again."""


Todo = Look | Bury | Run | Write | SayLater | Tell | Pause
Effect = Todo | Ack | GiveBack | Leave


class Delivery(msgspec.Struct, frozen=True):
    """Where one delivery of a word stands. Begin with the event `Began`.

    `timely`: the nats-server said it at its time, so that it is due whatever our clock shows. `ran`: how the call
    stands after its run here. `next` is what was to be done when the pause began.
    """

    number: int
    timely: bool = False
    call: DurableCall | None = None
    ran: DurableCall | None = None
    revision: int = 0
    next: Effect | None = None
    tries: int = 0


def step(state: Delivery, event: Event, wall: float, jitter: float) -> tuple[Delivery, Effect]:
    """What to do next; `jitter` is uniform in [0, 1)."""
    match event:
        case Began() | Overtaken():
            return state, Look()
        case Shown(found, revision):
            return _shown(state, found, revision, wall)
        case Ran():
            return _ran(state, event, wall, jitter)
        case Stored():
            return _stored(state, wall)
        case NotStored() | NotPutOff():
            return _again(state)
        case Woke():
            return state, state.next or Leave()
        case PutOff() | Told() | Gone():
            return state, Ack()
        case Busy() | NotGone():
            return state, Leave()


replace = msgspec.structs.replace


def _shown(state: Delivery, found: DurableCall | Failure | None, revision: int, wall: float) -> tuple[Delivery, Effect]:
    if state.ran is not None and not isinstance(found, DurableCall):  # what came of it is known here alone
        return _again(replace(state, next=Look()))
    if found is None:  # a read may be stale, however often: only a write that replaces nothing proves it
        return state, Bury() if state.number >= LOOKS else Leave()
    if isinstance(found, Failure):
        locked = state.number >= MOST_DELIVERIES and found.reason is not Reason.STORE_UNAVAILABLE
        return _put_off(state, wall + LOCKED_SECONDS) if locked else (state, Leave())
    state = replace(state, call=found, revision=revision)
    if state.ran is not None and _wrongly_withdrawn(found, state.ran):
        return _keep(replace(state, call=state.ran), wall)
    if found.stage is not Stage.WAITING:  # who stored it may not have come to tell it
        return state, Tell(found)
    early = found.due is not None and not state.timely and wall < found.due
    if early and found.due is not None:  # whoever put it off may not have come to say so
        return _put_off(state, found.due)
    if state.number > MOST_DELIVERIES:
        return _ran(state, Ran(_never_ended(found, state.number)), wall, 0.0)
    return state, Run(found)


def _ran(state: Delivery, ran: Ran, wall: float, jitter: float) -> tuple[Delivery, Effect]:
    call, outcome = state.call, ran.outcome
    if call is None:
        return state, Leave()
    if isinstance(outcome, Failure) and outcome.reason is Reason.SHUTTING_DOWN and repeatable(ran, call):
        return state, GiveBack()
    after = after_run(call, ran, wall, jitter)
    return _keep(replace(state, call=after, ran=after), wall)


def _wrongly_withdrawn(found: DurableCall, ran: DurableCall) -> bool:
    """Whether a cancel ended it as one that nobody had begun, and here something was done or may have been: its
    key bars that, unless the record there is lost.
    """
    withdrawn, ended = found.ended, ran.ended
    if not isinstance(withdrawn, KeptFailure) or withdrawn.reason is not Reason.CANCELLED_BY_CALLER or ended is None:
        return False
    return not isinstance(ended, KeptFailure) or ended.side_effect is not SideEffect.NONE


def _keep(state: Delivery, wall: float) -> tuple[Delivery, Effect]:
    if state.call is None:
        return state, Leave()
    write = Write(state.call, state.revision, kept_seconds(state.call, wall))
    return replace(state, next=write, tries=0), write


def _stored(state: Delivery, wall: float) -> tuple[Delivery, Effect]:
    if state.call is None:
        return state, Leave()
    if state.call.stage is Stage.WAITING:
        return _put_off(state, state.call.due or wall)
    return state, Tell(state.call)


def _put_off(state: Delivery, at: float) -> tuple[Delivery, Effect]:
    later = SayLater(at)
    return replace(state, next=later, tries=0), later


def _again(state: Delivery) -> tuple[Delivery, Effect]:
    if state.tries >= KEEP_TRIES:
        return state, Leave()
    return replace(state, tries=state.tries + 1), Pause(KEEP_PAUSE)


def _never_ended(call: DurableCall, number: int) -> Failure:
    return Failure(
        reason=Reason.BUG,
        detail=f"{number - 1} times a sidecar took this durable call and came to no end with it",
        side_effect=SideEffect.NONE if call.access is Access.READ else SideEffect.UNKNOWN,
        hint="look at the provider, or at the trace, whether it happened; then submit a new call",
    )
