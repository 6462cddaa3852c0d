"""Carries out writes as `write.py` decides them: attempts, looks and pauses, until the end is known or time is up."""

from __future__ import annotations

import anyio

from sidecar.ports import (
    Clock,
    Random,
    Store,
    StoreConflict,
    StoreFull,
    StoreInProcess,
    StoreUnavailable,
    StoreUntouched,
)
from sidecar.store.write import (
    Acked,
    Began,
    Conflict,
    Done,
    Event,
    Found,
    Full,
    InProcess,
    Look,
    NoAnswer,
    Outcome,
    Put,
    Sleep,
    Wanted,
    Woke,
    Writing,
    step,
)

WRITE_SECONDS = 5.0
DELETED_SECONDS = 24 * 3600  # how long the mark of a deletion stays: far longer than any write is tried
ID_BYTES = 12


class Writer:
    """One write at a time into any bucket: once, or not at all, or told that it is not known which."""

    def __init__(self, store: Store, clock: Clock, random: Random) -> None:
        self._store = store
        self._clock = clock
        self._random = random

    async def create(
        self, bucket: str, key: str, value: bytes, *, ttl: int | None = None, within: float = WRITE_SECONDS
    ) -> Outcome:
        """Write what must not be there; the mark of a deletion is no obstacle."""
        end = self._clock.now() + within
        outcome = await self.replace(bucket, key, value, None, ttl=ttl, within=within)
        if not isinstance(outcome, Conflict):
            return outcome
        match await self._look(bucket, key, end):
            case Found(entry) if entry is not None and entry.deleted:
                return await self.replace(
                    bucket, key, value, entry.revision, ttl=ttl, within=max(0.0, end - self._clock.now())
                )
        return outcome

    async def replace(
        self,
        bucket: str,
        key: str,
        value: bytes | None,
        revision: int | None,
        *,
        ttl: int | None = None,
        within: float = WRITE_SECONDS,
    ) -> Outcome:
        """Write over exactly this revision, of a record or of a deletion's mark; None: over nothing.

        With a `ttl` (whole seconds, counted by the server from when it stored it) the record vanishes by itself;
        without one it stays, whatever ttl it had before. Cancelled, the write may have happened.
        """
        wanted = Wanted(
            key=key,
            value=value,
            expected=revision,
            message_id=self._random.token(ID_BYTES).hex(),
            deadline=self._clock.now() + within,
            ttl=ttl,
        )
        state = Writing(wanted)
        event: Event = Began()
        while True:
            state, effect = step(state, event, self._clock.now(), self._random.jitter())
            match effect:
                case Done(outcome):
                    return outcome
                case Put(message_id, expected):
                    event = await self._put(bucket, wanted, message_id, expected, state.until)
                case Look():
                    event = await self._look(bucket, key, state.until)
                case Sleep(seconds):
                    await self._clock.sleep(seconds)
                    event = Woke()

    async def delete(self, bucket: str, key: str, revision: int, *, within: float = WRITE_SECONDS) -> Outcome:
        """Delete exactly this revision."""
        return await self.replace(bucket, key, None, revision, ttl=DELETED_SECONDS, within=within)

    async def _put(self, bucket: str, wanted: Wanted, message_id: str, expected: int, until: float) -> Event:
        try:
            with anyio.move_on_after(until - self._clock.now()):
                revision = await self._store.put(
                    bucket, wanted.key, wanted.value, message_id=message_id, expected=expected, ttl=wanted.ttl
                )
                return Acked(revision)
        except StoreConflict as error:
            return Conflict(error.last)
        except StoreFull as error:
            return Full(str(error))
        except StoreInProcess:
            return InProcess()
        except StoreUntouched as error:
            return NoAnswer(str(error), reached=False)
        except StoreUnavailable as error:
            return NoAnswer(str(error))
        return NoAnswer("no answer in time")

    async def _look(self, bucket: str, key: str, until: float) -> Event:
        try:
            with anyio.move_on_after(until - self._clock.now()):
                return Found(await self._store.get(bucket, key))
        except StoreUnavailable as error:
            return NoAnswer(str(error))
        return NoAnswer("no answer in time")
