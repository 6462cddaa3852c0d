"""A durable call that waits is ended by a cancel: what nobody has begun ends with nothing changed.

Every sidecar hears every cancel, so whoever runs the call has been told itself. Here is what they do who do not run it.
Nothing is ended that may have been sent: every durable call has an idempotency key, and its record says so before it is
sent. A write over nothing there bars the call, whatever anybody has read before: only then it is told as ended.
"""

from __future__ import annotations

import logging

import anyio

from sidecar.core import story
from sidecar.core.once import barred
from sidecar.core.rerun import WITHDRAWN, kept_seconds, withdrawn
from sidecar.durable import DurableCall, Place, Stage, to_run
from sidecar.durable_ground import DurableGround
from sidecar.model import Call, Failure
from sidecar.store.durable import Seen
from sidecar.store.idempotency import IdempotencyStore, place_of
from sidecar.store.write import Conflict, Written
from sidecar.store.writer import WRITE_SECONDS
from sidecar.submit import Submission, asked_of, publish_result
from sidecar.wire.reply import Asked
from sidecar.wire.subject import CancelAddress

log = logging.getLogger("sidecar.queue")

LOOK_SECONDS = 2.0
MOST_WAITING = 1_000  # cancels; those beyond find calls that run, none that wait
ABREAST = 16  # cancels whose records are looked for at a time: most name calls that are over


class Withdrawals:
    """Ends durable calls that only wait."""

    def __init__(self, on: DurableGround, submission: Submission, keyed: IdempotencyStore) -> None:
        self._on = on
        self._submission = submission
        self._keyed = keyed
        self._abreast = anyio.Semaphore(ABREAST)

    async def withdraw(self, address: CancelAddress) -> tuple[Asked, Failure] | None:
        """How the call ends; None where none of this name waits, or it may have begun, or another sidecar ended it."""
        if self._abreast.statistics().tasks_waiting >= MOST_WAITING:
            self._on.counters.refused("cancel_not_looked_up")
            return None
        async with self._abreast:
            if address in self._on.in_flight or address in self._on.ending:
                return None
            self._on.ending.add(address)
            try:
                return await self._ended(Place(address.tenant, address.connection, address.call_id))
            finally:
                self._on.ending.discard(address)

    async def _ended(self, place: Place) -> tuple[Asked, Failure] | None:
        seen = await self._on.store.read(place)
        if not isinstance(seen, Seen) or seen.call.stage is not Stage.WAITING:
            return None
        if not await self._barred(to_run(place, seen.call, self._on.clock.now())):
            return None
        ended = withdrawn(seen.call)
        seconds = kept_seconds(ended, self._on.clock.wall())
        written = await self._on.store.write(place, ended, seen.revision, seconds=seconds)
        if isinstance(written, Failure):
            self._not_kept(place.call_id)
        if not isinstance(written, int):
            return None
        self._tell(place, ended)
        if seen.call.due is not None:
            with anyio.move_on_after(LOOK_SECONDS):
                await self._submission.say_now(place)
        return asked_of(place, ended), WITHDRAWN

    async def _barred(self, call: Call) -> bool:
        """Whether nobody began this run, or another call with its key, and nobody can begin this one any more."""
        place, run = place_of(call, call.idempotency_key or ""), call.durable or ""
        found = await self._keyed.read(place, within=LOOK_SECONDS)
        if isinstance(found, Failure):
            self._not_kept(call.call_id)
            return False
        state, revision = (None, None) if found is None else (found.state, found.revision)
        bar = barred(state, run)
        if bar is None or bar == state:
            return bar is not None
        written = await self._keyed.write(place, bar, revision, within=WRITE_SECONDS)
        if not isinstance(written, Written | Conflict):
            self._not_kept(call.call_id)
        return isinstance(written, Written)

    def _not_kept(self, call_id: str) -> None:
        """Nobody is told that the call is cancelled. It may end so in its turn: what had no answer may be there."""
        self._on.counters.refused("cancel_not_kept")
        log.info("a cancel of durable call %s could not be kept: the store does not answer", call_id)

    def _tell(self, place: Place, ended: DurableCall) -> None:
        self._on.counters.durable_ended(str(ended.stage))
        now, wall = self._on.clock.now(), self._on.clock.wall()
        call = to_run(place, ended, now)
        event = story.finished(
            call, now, wall, attempts=ended.attempts, result=WITHDRAWN, why=("cancelled while it waited",)
        )
        self._on.observer.emit(event)
        publish_result(self._on.bus, self._on.prefix, place, ended)
