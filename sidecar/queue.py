"""Durable calls run: words are taken tenant by tenant, each call is run as any other, and what came of it is kept.

`core/durable.py` decides; here its effects are carried out. Every tenant has room for one call of its own, whatever the
others have waiting; more than that comes from what all share, of which one tenant gets an eighth at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from typing import NoReturn, Protocol, cast

import anyio
import msgspec
from anyio.abc import TaskGroup

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
    Ran,
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
from sidecar.durable import DurableCall, Place, Stage, to_run
from sidecar.execute import Executor
from sidecar.kept import kept_outcome, told_outcome
from sidecar.log import defect
from sidecar.model import Failure, Outcome, Reason
from sidecar.ports import Bus, BusError, Clock, Queue, Random, StoreFull, StoreUnavailable, Word
from sidecar.run import Ended, Observer
from sidecar.scope import Scope
from sidecar.stop import Stop
from sidecar.store.durable import Beaten, DurableStore, Held
from sidecar.submit import SEAL_BYTES, Submission, asked_of
from sidecar.wire.durable import QueueWord, result_subject
from sidecar.wire.reply import encode_reply, too_large
from sidecar.wire.subject import CancelAddress, ResultAddress, decode_token, encode_token

log = logging.getLogger("sidecar.queue")

SHARE = 8  # of what runs at once, one tenant gets one part in so many
LOOK_SECONDS = 5.0  # a tenant's first durable call, taken in by another sidecar, is found after so long at most
TAKE_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
LAST_SECONDS = 2.0  # for calls that were told to stop to say so
BEATS = 3  # in the time that a word is held


class Counters(Protocol):
    """What is counted of durable calls."""

    def durable_in_flight(self, number: int) -> None: ...

    def durable_ended(self, how: str) -> None:
        """Of one run: `done`, `dead`, or `later`."""


class DurableCalls:
    """Takes and runs the durable calls of a scope. `held` are the calls in flight, by what a cancel names them."""

    def __init__(
        self,
        *,
        queue: Queue,
        store: DurableStore,
        submission: Submission,
        executor: Executor,
        bus: Bus,
        prefix: str,
        held: dict[CancelAddress, Stop],
        observer: Observer,
        counters: Counters,
        clock: Clock,
        random: Random,
        scope: Scope,
        most: int,
    ) -> None:
        self._queue = queue
        self._store = store
        self._submission = submission
        self._executor = executor
        self._bus = bus
        self._prefix = prefix
        self._held = held
        self._observer = observer
        self._counters = counters
        self._clock = clock
        self._random = random
        self._scope = scope
        self._most = most
        self._share = max(1, most // SHARE)
        self._running: Counter[str] = Counter()  # by tenant's token
        self._words: dict[Word, Stop | None] = {}  # being worked on, with what ends the run of a call
        self._changed = anyio.Event()
        self._news = anyio.Event()
        self._told: set[str] = set()
        submission.opened = self._opened
        self._takers: anyio.CancelScope | None = None
        self._beats = anyio.CancelScope()
        self._grace: anyio.CancelScope | None = None
        self._ending = False
        self._hurried = False

    async def serve(self) -> None:
        """Take and run until `stop`; returns when nothing runs any more."""
        async with anyio.create_task_group() as works:
            works.start_soon(self._beat)
            if not self._ending:
                async with anyio.create_task_group() as takers:
                    self._takers = takers.cancel_scope
                    takers.start_soon(self._find_tenants, takers, works)
            await self._all_ended()
            self._beats.cancel()

    async def stop(self, grace: float) -> int:
        """Begin no more, finish what runs within `grace` seconds; what is not begun stays in the queue.

        Returns how many had to be given up; those of them that changed nothing run elsewhere.
        """
        self._ending = True
        if self._takers is not None:
            self._takers.cancel()
        if not self._hurried:
            with anyio.move_on_after(grace) as self._grace:
                await self._all_ended()
        given_up = [stop.tell(Reason.SHUTTING_DOWN) for stop in self._words.values() if stop is not None]
        with anyio.move_on_after(LAST_SECONDS):
            await self._all_ended()
        with contextlib.suppress(StoreUnavailable):
            for word in await self._queue.close():
                await self._queue.give_back(word)
        return sum(given_up)

    @property
    def in_flight(self) -> int:
        return len(self._words)

    def hurry(self) -> None:
        """Give up now what runs, whatever is left of the grace."""
        self._hurried = True
        if self._grace is not None:
            self._grace.cancel()

    async def _all_ended(self) -> None:
        while self._words:
            await self._changed.wait()

    # --- taking ------------------------------------------------------------------------------------------------------

    async def _find_tenants(self, takers: TaskGroup, works: TaskGroup) -> NoReturn:
        """Begin to take the words of each tenant that has some."""
        known: set[str] = set()
        while True:
            for tenant in {*self._told, *await self._tenants()} - known:
                known.add(tenant)
                for later in (False, True):
                    takers.start_soon(self._take, works, tenant, later)
            with anyio.move_on_after(LOOK_SECONDS):
                await self._news.wait()

    def _opened(self, tenant: str) -> None:
        """A tenant's first durable call was taken in here: it need not be found."""
        self._told.add(tenant)
        self._news.set()
        self._news = anyio.Event()

    async def _tenants(self) -> list[str]:
        if self._scope.tenant is not None:
            return [encode_token(self._scope.tenant)]
        try:
            return await self._queue.tenants()
        except StoreUnavailable as error:
            log.info("whose durable calls wait cannot be seen: %s", error)
            return []

    async def _take(self, works: TaskGroup, tenant: str, later: bool) -> NoReturn:  # noqa: FBT001  # start_soon has no keywords
        """Take one tenant's words, one after the other, as there is room to run them."""
        pause, opened = FIRST_PAUSE, False
        while True:
            try:
                if not opened:  # it may be what is gone
                    await self._queue.open(tenant)
                    opened = True
                await self._room(tenant)
                word = await self._queue.take(tenant, later=later, within=TAKE_SECONDS)
            except StoreUnavailable as error:
                log.info("durable calls of %s cannot be taken: %s", tenant, error)
                opened = False
                await anyio.sleep(pause * (0.5 + self._random.jitter()))
                pause = min(LONGEST_PAUSE, 2 * pause)
                continue
            pause = FIRST_PAUSE
            if word is not None:
                self._begins(tenant, word)
                works.start_soon(self._work, tenant, word)

    async def _room(self, tenant: str) -> None:
        """Return when one more of this tenant may run."""
        while self._running[tenant] and (self._running[tenant] >= self._share or len(self._words) >= self._most):
            await self._changed.wait()

    def _begins(self, tenant: str, word: Word) -> None:
        self._running[tenant] += 1
        self._words[word] = None
        self._counters.durable_in_flight(len(self._words))

    def _ends(self, tenant: str, word: Word) -> None:
        self._running[tenant] -= 1
        del self._words[word]
        self._counters.durable_in_flight(len(self._words))
        self._changed.set()
        self._changed = anyio.Event()

    async def _beat(self) -> None:
        """Say of every word that is being worked on that it is."""
        with self._beats:
            while True:
                await anyio.sleep(self._queue.hold_seconds / BEATS)
                for word in tuple(self._words):
                    with contextlib.suppress(StoreUnavailable):
                        await self._queue.hold(word)

    # --- one word ----------------------------------------------------------------------------------------------------

    async def _work(self, tenant: str, word: Word) -> None:
        try:
            await self._follow(tenant, word)
        except StoreUnavailable as error:
            log.info("a durable call of %s is left to be taken again: %s", tenant, error)
        except Exception as defective:
            log.exception("a durable call of %s ended in a defect", tenant, exc_info=defect(defective))
        finally:
            self._ends(tenant, word)

    async def _follow(self, tenant: str, word: Word) -> None:
        """From the word to its acknowledgement, as `core/durable.py` decides."""
        place = _place(tenant, word)
        if place is None:
            log.warning("a word in the queue of %s that no version wrote is thrown away", tenant)
            return await self._queue.ack(word)
        state, event = Delivery(word.number, word.timely), cast("Event", Began())
        while True:
            state, effect = step(state, event, self._clock.wall(), self._random.jitter())
            match effect:
                case Ack():
                    return await self._queue.ack(word)
                case GiveBack():
                    return await self._queue.give_back(word)
                case Leave():
                    return None
                case _:
                    event = await self._carried_out(effect, place, word)

    async def _carried_out(self, effect: Todo, place: Place, word: Word) -> Event:
        match effect:
            case Look():
                return await self._look(place)
            case Bury():
                return Gone() if await self._store.bury(place) else NotGone()
            case Run(call):
                return await self._run(place, word, call)
            case Write(call, revision, seconds):
                return await self._write(place, call, revision, seconds)
            case SayLater(at):
                return await self._say_later(place, at)
            case Tell(call):
                return await self._tell(place, call)
            case Pause(seconds):
                await self._clock.sleep(seconds)
                return Woke()

    async def _look(self, place: Place) -> Event:
        found = await self._store.read(place)
        return Shown(found.call, found.revision) if isinstance(found, Held) else Shown(found)

    async def _run(self, place: Place, word: Word, kept: DurableCall) -> Event:
        named = CancelAddress(place.tenant, place.connection, place.call_id)
        if named in self._held:
            return Busy()
        stop = self._held[named] = self._words[word] = Stop()
        stop.task = cast("asyncio.Task[object]", asyncio.current_task())
        try:
            ended = await self._executor.run(to_run(place, kept, self._clock.now()), stop=stop)
        finally:
            del self._held[named]
            self._words[word] = None
        return Ran(self._fitting(kept, ended), ended.attempts, ended.again)

    def _fitting(self, kept: DurableCall, ended: Ended) -> Outcome:
        """The outcome, or why it cannot be kept."""
        outcome = ended.outcome
        most = self._bus.max_payload - SEAL_BYTES - len(kept.input) * 4 // 3
        if isinstance(outcome, Failure) or len(msgspec.json.encode(kept_outcome(outcome))) <= most:
            return outcome
        return too_large(kept.access, outcome, ended.attempts, most)

    async def _write(self, place: Place, call: DurableCall, revision: int, seconds: int) -> Event:
        written = await self._store.write(place, call, revision, seconds=seconds)
        if isinstance(written, Beaten):
            return Overtaken()
        if isinstance(written, Failure):
            log.info("what came of durable call %s cannot be kept yet: %s", place.call_id, written.detail)
            return NotStored()
        self._counters.durable_ended("later" if call.stage is Stage.WAITING else str(call.stage))
        if call.due is not None:
            run, now, wall = to_run(place, call, self._clock.now()), self._clock.now(), self._clock.wall()
            await self._observer.emit(story.wait(run, now, wall, call.due - wall, f"put off: {call.why}"))
        return Stored()

    async def _say_later(self, place: Place, at: float) -> Event:
        try:
            return PutOff() if await self._submission.put_later(place, at) else NotPutOff()
        except (StoreUnavailable, StoreFull) as error:
            log.info("durable call %s cannot be put off yet: %s", place.call_id, error)
            return NotPutOff()

    async def _tell(self, place: Place, call: DurableCall) -> Event:
        """Publish the result as its reply would be. Who does not hear it asks for it."""
        if call.ended is not None:
            asked = asked_of(place, call)
            reply = encode_reply(asked, told_outcome(call.ended), self._bus.max_payload)
            subject = result_subject(self._prefix, ResultAddress(place.tenant, place.connection, place.call_id))
            with contextlib.suppress(BusError):
                await self._bus.publish(subject, reply.payload, headers=reply.headers or None)
        return Told()


def _place(tenant: str, word: Word) -> Place | None:
    """Which call the word means."""
    try:
        said = msgspec.json.decode(word.body, type=QueueWord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    name = decode_token(tenant)
    return None if name is None else Place(name, said.connection, said.call_id)
