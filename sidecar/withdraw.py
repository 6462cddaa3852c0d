"""A durable call that waits is ended by a cancel: what nobody has begun ends with nothing changed.

Every sidecar hears every cancel, so whoever runs the call has been told itself. Here is what they do who do not run it.
Nothing is ended that may have been sent: then there is a record of its idempotency key, and every durable call has one.
"""

from __future__ import annotations

import anyio

from sidecar.core import story
from sidecar.core.rerun import WITHDRAWN, kept_seconds, withdrawn
from sidecar.durable import DurableCall, Place, Stage, to_run
from sidecar.durable_ground import DurableGround
from sidecar.model import Failure
from sidecar.store.durable import Seen
from sidecar.store.idempotency import IdempotencyStore, place_of
from sidecar.submit import Submission, asked_of, publish_result
from sidecar.wire.reply import Asked
from sidecar.wire.subject import CancelAddress

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
        now, wall = self._on.clock.now(), self._on.clock.wall()
        call = to_run(place, seen.call, now)
        begun = await self._keyed.read(place_of(call, call.idempotency_key or ""), within=LOOK_SECONDS)
        ended = withdrawn(seen.call, begun=begun is not None)
        if ended is None:
            return None
        written = await self._on.store.write(place, ended, seen.revision, seconds=kept_seconds(ended, wall))
        if not isinstance(written, int):
            return None
        self._tell(place, ended)
        if seen.call.due is not None:
            with anyio.move_on_after(LOOK_SECONDS):
                await self._submission.say_now(place)
        return asked_of(place, ended), WITHDRAWN

    def _tell(self, place: Place, ended: DurableCall) -> None:
        self._on.counters.durable_ended(str(ended.stage))
        now, wall = self._on.clock.now(), self._on.clock.wall()
        call = to_run(place, ended, now)
        event = story.finished(
            call, now, wall, attempts=ended.attempts, result=WITHDRAWN, why=("cancelled while it waited",)
        )
        self._on.observer.emit(event)
        publish_result(self._on.bus, self._on.prefix, place, ended)
