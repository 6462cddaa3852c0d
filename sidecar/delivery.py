"""One word of the queue, from being taken to its acknowledgement: its call run as any other, and what came of it kept.

`core/durable.py` decides; here its effects are carried out.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import cast

import msgspec

from sidecar.core import story
from sidecar.core.durable import (
    Ack,
    Began,
    Bury,
    Busy,
    Delivery,
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
    Todo,
    Told,
    Woke,
    Write,
    step,
)
from sidecar.core.rerun import Ran
from sidecar.durable import DurableCall, Place, Stage, to_run
from sidecar.durable_ground import DurableGround
from sidecar.execute import Executor
from sidecar.kept import kept_outcome
from sidecar.model import Failure, Outcome
from sidecar.ports import StoreFull, StoreUnavailable, Word
from sidecar.run import Ended
from sidecar.stop import Stop
from sidecar.store.durable import Beaten, Seen
from sidecar.submit import SEAL_BYTES, Submission, asked_of, publish_result
from sidecar.wire.durable import QueueWord
from sidecar.wire.reply import too_large
from sidecar.wire.subject import CancelAddress, decode_token

log = logging.getLogger("sidecar.queue")


@dataclass(slots=True, eq=False)
class Taken:
    """A word that is being worked on. `stop` ends the run of its call, while there is one."""

    tenant: str
    word: Word
    stop: Stop | None = None


class Deliveries:
    """Follows words."""

    def __init__(self, on: DurableGround, submission: Submission, executor: Executor) -> None:
        self._on = on
        self._submission = submission
        self._executor = executor

    async def follow(self, taken: Taken) -> None:
        """Work on the word until it is over, given back, or left to be said again. Raises StoreUnavailable."""
        word = taken.word
        place = _place(taken.tenant, word)
        if place is None:
            log.warning("a word in the queue of %s that no version wrote is thrown away", taken.tenant)
            return await self._on.queue.ack(word)
        state, event = Delivery(word.number, word.timely), cast("Event", Began())
        while True:
            state, effect = step(state, event, self._on.clock.wall(), self._on.random.jitter())
            match effect:
                case Ack():
                    return await self._on.queue.ack(word)
                case GiveBack():
                    return await self._on.queue.give_back(word)
                case Leave():
                    return None
                case _:
                    event = await self._carried_out(effect, place, taken)

    async def _carried_out(self, effect: Todo, place: Place, taken: Taken) -> Event:
        match effect:
            case Look():
                return await self._look(place)
            case Bury():
                return Gone() if await self._on.store.bury(place) else NotGone()
            case Run(call):
                return await self._run(place, taken, call)
            case Write(call, revision, seconds):
                return await self._write(place, call, revision, seconds)
            case SayLater(at):
                return await self._say_later(place, at)
            case Tell(call):
                return self._tell(place, call)
            case Pause(seconds):
                await self._on.clock.sleep(seconds)
                return Woke()

    async def _look(self, place: Place) -> Event:
        found = await self._on.store.read(place)
        return Shown(found.call, found.revision) if isinstance(found, Seen) else Shown(found)

    async def _run(self, place: Place, taken: Taken, kept: DurableCall) -> Event:
        named = CancelAddress(place.tenant, place.connection, place.call_id)
        if named in self._on.in_flight or named in self._on.ending:
            return Busy()
        stop = self._on.in_flight[named] = taken.stop = Stop()
        stop.task = cast("asyncio.Task[object]", asyncio.current_task())
        try:
            ended = await self._executor.run(to_run(place, kept, self._on.clock.now()), stop=stop)
            stop.became = asked_of(place, msgspec.structs.replace(kept, attempts=ended.attempts)), ended.outcome
        finally:
            del self._on.in_flight[named]
            taken.stop = None
        return Ran(self._fitting(kept, ended), ended.attempts, ended.again)

    def _fitting(self, kept: DurableCall, ended: Ended) -> Outcome:
        """The outcome, or why it cannot be kept."""
        outcome = ended.outcome
        most = self._on.bus.max_payload - SEAL_BYTES - len(kept.input) * 4 // 3
        if isinstance(outcome, Failure) or len(msgspec.json.encode(kept_outcome(outcome))) <= most:
            return outcome
        return too_large(kept.access, outcome, ended.attempts, most)

    async def _write(self, place: Place, call: DurableCall, revision: int, seconds: int) -> Event:
        written = await self._on.store.write(place, call, revision, seconds=seconds)
        if isinstance(written, Beaten):
            return Overtaken()
        if isinstance(written, Failure):
            log.info("what came of durable call %s cannot be kept yet: %s", place.call_id, written.detail)
            return NotStored()
        self._on.counters.durable_ended("later" if call.stage is Stage.WAITING else str(call.stage))
        if call.due is not None:
            run, now, wall = to_run(place, call, self._on.clock.now()), self._on.clock.now(), self._on.clock.wall()
            self._on.observer.emit(story.wait(run, now, wall, call.due - wall, f"put off: {call.why}"))
        return Stored()

    async def _say_later(self, place: Place, at: float) -> Event:
        try:
            return PutOff() if await self._submission.put_later(place, at) else NotPutOff()
        except (StoreUnavailable, StoreFull) as error:
            log.info("durable call %s cannot be put off yet: %s", place.call_id, error)
            return NotPutOff()

    def _tell(self, place: Place, call: DurableCall) -> Event:
        publish_result(self._on.bus, self._on.prefix, place, call)
        return Told()


def _place(tenant: str, word: Word) -> Place | None:
    """Which call the word means."""
    try:
        said = msgspec.json.decode(word.body, type=QueueWord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    name = decode_token(tenant)
    return None if name is None else Place(name, said.connection, said.call_id)
