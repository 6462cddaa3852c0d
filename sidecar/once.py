"""Carries out what `core/once.py` and `core/settle.py` decide: a call's record claimed, kept alive, and settled.

A call's end does not cut off its record's: it is written on by `serve`, also when the caller has its answer.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field

import anyio
import anyio.abc
import msgspec

from sidecar.core import once, settle
from sidecar.core.idempotency import fingerprint
from sidecar.core.once import (
    BEAT_SECONDS,
    FENCE_SECONDS,
    Began,
    Claiming,
    Event,
    Overtaken,
    Refused,
    Shown,
    Stored,
    Unclear,
    Woke,
)
from sidecar.core.settle import SETTLE_SECONDS, Settling
from sidecar.kept import Done, Free, Open, Pending, kept_outcome
from sidecar.model import Call, Failure, Outcome, Reason
from sidecar.ports import Clock, Random
from sidecar.store.idempotency import BUCKET, IdempotencyStore, Place, Seen, place_of
from sidecar.store.record import not_written, overtaken
from sidecar.store.write import Conflict, Full, Unknown, Written
from sidecar.store.write import Outcome as WriteOutcome
from sidecar.store.writer import WRITE_SECONDS

LOOK_SECONDS = 2.0
SETTLED_SECONDS = 0.5  # that an answer waits for its record: while the store has no leader, it does not
SEEN_AT_MOST = 1_000  # records of others that are remembered as standing still

log = logging.getLogger("sidecar.once")


@dataclass(slots=True)
class Held:
    """A record that a call under way holds. `confirmed`: when its last successful write began. `revision` is None where
    it is not known what became of a write.
    """

    place: Place
    pending: Pending
    again: bool
    revision: int | None = None
    confirmed: float = 0.0
    lost: bool = False
    busy: anyio.Lock = field(default_factory=anyio.Lock)


class Once:
    """The calls of this process that have idempotency keys. `serve` keeps their records alive and settles them."""

    def __init__(self, store: IdempotencyStore, clock: Clock, random: Random) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._owner = random.token(8).hex()  # another one in each life of the process
        self._claims = 0
        self._held: dict[str, Held] = {}
        self._standing: OrderedDict[str, tuple[int, float]] = OrderedDict()  # revisions, and since when they are so
        self._unsettled = 0
        self._settled = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None

    # --- for one call ------------------------------------------------------------------------------------------------

    async def claim(self, call: Call, key: str, *, again: bool, unknown: Failure) -> Held | Done | Failure:
        """Leave to send this call, which `settle` has to end; or what the first one with this key ended in; or why it
        is not sent. Waits for the first one, at most until the deadline.

        `again`: sending it twice is safe. `unknown` is what is told, for good, where it is not and its owner died.
        """
        held = Held(place_of(call, key), Pending(fingerprint(call), self._next()), again)
        try:
            return await self._win(self._claiming(call, held, unknown), held)
        except BaseException:  # cancelled: the record may be there, and nobody would end it
            if held.confirmed:
                self._abandon(held, held.pending)
            raise

    async def _win(self, state: Claiming, held: Held) -> Held | Done | Failure:
        event: Event = Began()
        while True:
            state, effect = once.step(state, event, self._clock.now(), self._random.jitter())
            match effect:
                case once.Look():
                    event = await self._look(held.place, state.deadline - self._clock.now())
                case once.Write(wanted, revision):
                    now = held.confirmed = self._clock.now()
                    if isinstance(wanted, Pending):
                        held.pending = wanted
                    within = min(WRITE_SECONDS, max(0.0, state.deadline - now))
                    event = written(
                        held.place.key, await self._store.write(held.place, wanted, revision, within=within)
                    )
                case once.Pause(seconds):
                    await self._clock.sleep(seconds)
                    event = Woke()
                case once.Go(pending, revision):
                    held.pending, held.revision = pending, revision
                    self._held[pending.attempt] = held
                    return held
                case once.Replay(done):
                    return done
                case once.Stop(failure, abandoned):
                    self._remember(held.place, state)
                    if abandoned is not None:
                        self._abandon(held, abandoned)
                    return failure

    async def fence(self, held: Held, deadline: float) -> Failure | None:
        """Why nothing may be sent now; None when it may: nobody can take this call's owner for dead."""
        if self._clock.now() - held.confirmed < FENCE_SECONDS:
            return None
        await self._beat(held, max(0.0, deadline - self._clock.now()))
        if not held.lost and self._clock.now() - held.confirmed < FENCE_SECONDS:
            return None
        who = "another sidecar took this call over" if held.lost else f"{BUCKET} does not answer"
        return Failure(
            reason=Reason.STORE_UNAVAILABLE,
            detail=f"{who}, so that this attempt could be done twice; it was not sent",
            retry_after=once.RETRY_AFTER,
        )

    def taken_over(self, held: Held) -> bool:
        """Whether another one may have sent the call meanwhile."""
        return (held.lost and held.again) or once.taken_over(self._clock.now() - held.confirmed, again=held.again)

    async def settle(self, held: Held, outcome: Outcome, *, call: Call, attempts: int) -> None:
        """Let the record say what came of the call. Waits until it does, but not for long, and never beyond the call's
        deadline: it is tried on after that.
        """
        wanted = settle.wanted(held.pending, outcome, again=held.again, call_id=call.call_id, attempts=attempts)
        over = self._begin_to_settle(held, wanted)
        with anyio.move_on_after(max(0.0, min(SETTLED_SECONDS, call.deadline - self._clock.now()))):
            await over.wait()

    # --- for the process ---------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Keep records alive, and settle them, until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            while True:
                await anyio.sleep(BEAT_SECONDS / 2)  # how often it is looked; whether a record is due, the clock says
                now = self._clock.now()
                for held in list(self._held.values()):
                    if now - held.confirmed >= BEAT_SECONDS and not held.busy.locked() and not held.lost:
                        tasks.start_soon(self._beat, held, BEAT_SECONDS)

    async def stop(self, within: float) -> int:
        """Wait so many seconds until every record says what came of its call. Gives how many do not even then."""
        with anyio.move_on_after(within):
            while self._unsettled:
                self._settled = anyio.Event()
                await self._settled.wait()
        return self._unsettled

    # --- parts -------------------------------------------------------------------------------------------------------

    def _next(self) -> str:
        self._claims += 1
        return f"{self._owner}.{self._claims}"

    def _claiming(self, call: Call, held: Held, unknown: Failure) -> Claiming:
        lost = Done(
            fingerprint=held.pending.fingerprint,
            attempt=held.pending.attempt,
            call_id=call.call_id,
            attempts=0,
            outcome=kept_outcome(unknown),
            judged=True,
        )
        standing, since = self._standing.pop(held.place.key, (0, 0.0))
        return Claiming(
            ours=held.pending,
            again=held.again,
            lost=lost,
            deadline=call.deadline,
            run=call.durable,
            standing=standing,
            since=since,
        )

    def _remember(self, place: Place, state: Claiming) -> None:
        """What stood still so far: a caller who asks again soon need not wait anew."""
        if not state.standing:
            return
        self._standing[place.key] = (state.standing, state.since)
        if len(self._standing) > SEEN_AT_MOST:
            self._standing.popitem(last=False)

    def _abandon(self, held: Held, pending: Pending) -> None:
        """A claim that nothing was sent on: its record goes, if it is there or comes to be there."""
        held.pending, held.revision = pending, None
        self._begin_to_settle(held, settle.abandoned(pending))

    def _begin_to_settle(self, held: Held, wanted: Done | Open | Free | None) -> anyio.Event:
        over = anyio.Event()
        self._held.pop(held.pending.attempt, None)
        if self._tasks is None:
            log.error("a call's record is left as it is: nobody serves")
            over.set()
        else:
            self._unsettled += 1
            self._tasks.start_soon(self._settle, held, wanted, over)
        return over

    async def _settle(self, held: Held, wanted: Done | Open | Free | None, over: anyio.Event) -> None:
        try:
            async with held.busy:  # a beat under way ends first
                kept = await self._carry_out(held, wanted)
            if not kept:
                log.warning(
                    "what came of a call could not be kept: the same key is answered as if its sidecar had died"
                )
        finally:
            self._unsettled -= 1
            self._settled.set()
            over.set()

    async def _carry_out(self, held: Held, wanted: Done | Open | Free | None) -> bool:
        place = held.place
        smaller = settle.smaller(wanted) if isinstance(wanted, Done) else None
        if wanted is not None and smaller is not None and not self._store.fits(wanted):
            wanted = smaller
        state = Settling(
            attempt=held.pending.attempt,
            wanted=wanted,
            smaller=smaller,
            revision=held.revision,
            until=self._clock.now() + SETTLE_SECONDS,
        )
        event: Event = Began()
        while True:
            state, effect = settle.step(state, event, self._clock.now(), self._random.jitter())
            match effect:
                case once.Look():
                    event = await self._look(place, LOOK_SECONDS)
                case once.Write(said, revision):
                    event = written(place.key, await self._store.write(place, said, revision, within=WRITE_SECONDS))
                case settle.Delete(revision):
                    event = deleted(await self._store.delete(place, revision, within=WRITE_SECONDS))
                case once.Pause(seconds):
                    await self._clock.sleep(seconds)
                    event = Woke()
                case settle.Over(kept):
                    return kept

    async def _beat(self, held: Held, within: float) -> None:
        """Write the record anew, unless another one took it over."""
        async with held.busy:
            began = self._clock.now()
            if held.revision is None:
                await self._find(held, within)
            if held.revision is None or held.lost:
                return
            event = written(
                held.place.key, await self._store.write(held.place, held.pending, held.revision, within=within)
            )
            match event:
                case Stored(revision):
                    held.revision, held.confirmed = revision, began
                case Overtaken() | Unclear():
                    held.revision = None  # the next beat looks

    async def _find(self, held: Held, within: float) -> None:
        """The revision of our record, or that it is not ours any more."""
        match await self._look(held.place, min(LOOK_SECONDS, within)):
            case Shown(Pending(attempt=held.pending.attempt), revision):
                held.revision = revision
            case Shown(Failure() | None):
                pass  # it may be stale, or away: the next beat looks again
            case Shown():
                held.lost = True

    async def _look(self, place: Place, within: float) -> Shown:
        found = await self._store.read(place, within=max(0.0, min(LOOK_SECONDS, within)))
        return Shown(found.state, found.revision) if isinstance(found, Seen) else Shown(found)


def written(key: str, outcome: WriteOutcome | Failure) -> Event:
    """What became of a write, as the protocols hear it."""
    if isinstance(outcome, Failure):
        return Refused(outcome)
    if isinstance(outcome, Written):
        return Stored(outcome.revision)
    if overtaken(outcome):
        return Overtaken((outcome.last or 0) if isinstance(outcome, Conflict) else 0)
    failure = msgspec.structs.replace(not_written(BUCKET, key, outcome), retry_after=once.RETRY_AFTER)
    return Unclear(failure) if isinstance(outcome, Unknown) else Refused(failure, full=isinstance(outcome, Full))


def deleted(failure: Failure | None) -> Event:
    """As `written`, of a deletion."""
    if failure is None:
        return Stored(0)
    return Overtaken() if failure.reason is Reason.CAS_CONFLICT else Unclear(failure)
