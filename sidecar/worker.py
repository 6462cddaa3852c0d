"""One message in, exactly one reply out: admission, answering, replying; and the drain at the end.

Here alone a message becomes a task. A subscription's callback only hands over to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol

import anyio

from sidecar.answer import Answer, Answerer, Answers
from sidecar.cancel import Cancels
from sidecar.gate import Admission, Arrived, Gate
from sidecar.log import defect
from sidecar.micro import QUEUE, VERBS, Endpoint, Service
from sidecar.model import Access, Failure, Reason, SideEffect
from sidecar.ports import Bus, Clock, Message, Subscription
from sidecar.replies import Replies, defect_told
from sidecar.stop import Stop
from sidecar.wire.inbox import Inboxes
from sidecar.wire.interest import Interest, Kind
from sidecar.wire.reply import Asked, Reply

log = logging.getLogger("sidecar.worker")

LAST_SECONDS = 1.0  # for calls that were told to stop to say so
CLOSING = Failure(reason=Reason.SHUTTING_DOWN, detail="the sidecar is shutting down and begins nothing more")


class Counters(Protocol):
    """What the worker counts, beyond what events tell."""

    def in_flight(self, number: int) -> None: ...

    def refused(self, why: str) -> None: ...

    def reply_lost(self) -> None: ...


class Worker:
    """Serves the subjects of the scope, for every provider in it that the catalogue has."""

    def __init__(
        self,
        *,
        bus: Bus,
        answers: Answers,
        counters: Counters,
        clock: Clock,
        service: Service,
        admission: Admission,
    ) -> None:
        self._bus = bus
        self._answers = answers
        self._replies = Replies(bus, counters.reply_lost)
        self._counters = counters
        self._clock = clock
        self._service = service
        self._gate = Gate(admission, self._start)
        self._cancels = Cancels(
            answers=answers,
            replies=self._replies,
            clock=clock,
            seat_all=self._gate.seat_all,
            refused=counters.refused,
            spawn=self._spawn,
        )
        self._inboxes = Inboxes(admission.reply_prefixes)
        self._subscriptions: list[Subscription] = []
        self._last_subscriptions: list[Subscription] = []  # drained when nothing is in flight any more
        self._tasks: dict[asyncio.Task[Answer], Stop] = {}
        self._others: set[asyncio.Task[None]] = set()  # answers to cancels
        self._grace: anyio.CancelScope | None = None
        self._over = False
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        """Subscribe to what the scope wants, and to the service protocol."""
        self._loop = asyncio.get_running_loop()
        for verb in VERBS:
            for subject in self._service.subjects(verb):
                await self._subscribe_protocol(verb, subject)
        for interest, answer in self._answers.wanted():
            if answer is None:
                await self._subscribe_cancel(interest)
            else:
                await self._subscribe(interest, answer)

    async def stop(self, grace: float) -> int:
        """Take no more, finish what was taken within `grace` seconds; returns how many calls had to be given up.

        Until nothing is in flight any more, calls can be cancelled.
        """
        with anyio.move_on_after(0 if self._over else grace) as self._grace:
            await _drained(self._subscriptions)
            while (pending := self._tasks.keys() | self._others) or self._gate.waiting:
                await (asyncio.wait(pending) if pending else asyncio.sleep(0))
        self._over = True
        for arrived in self._gate.send_away():
            self._refuse(arrived.message, CLOSING, "shutting_down", arrived.endpoint)
        given_up = [stop.tell(Reason.SHUTTING_DOWN) for stop in self._tasks.values()]
        with anyio.move_on_after(LAST_SECONDS):
            while pending := self._tasks.keys() | self._others:
                await asyncio.wait(pending)
            await _drained(self._last_subscriptions)
        if deaf := self._tasks.keys() | self._others:
            log.error("%d messages could not be ended", len(deaf))
            for task in deaf:
                task.cancel()
            await asyncio.wait(deaf, timeout=LAST_SECONDS)
        return sum(given_up)

    def hurry(self) -> None:
        """Give up now what is in flight, whatever is left of the grace: `stop` then returns within a second or so."""
        self._over = True
        if self._grace is not None:
            self._grace.cancel()

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    # --- admission ---------------------------------------------------------------------------------------------------

    async def _subscribe(self, interest: Interest, answer: Answerer) -> None:
        endpoint = self._endpoint(interest, QUEUE)
        call = interest.kind is Kind.CALL

        def hand_over(message: Message) -> None:
            if self._may_answer(message):
                self._admit(message, answer, endpoint, call=call)

        self._subscriptions.append(await self._bus.subscribe(interest.subject, hand_over, queue=QUEUE))

    async def _subscribe_cancel(self, interest: Interest) -> None:
        endpoint = self._endpoint(interest, "")

        def hand_over(message: Message) -> None:
            if not message.reply or self._may_answer(message):
                self._cancels.hear(message, endpoint)

        self._last_subscriptions.append(await self._bus.subscribe(interest.subject, hand_over))

    async def _subscribe_protocol(self, verb: str, subject: str) -> None:
        def hand_over(message: Message) -> None:
            if self._may_answer(message):
                self._replies.publish(message, Reply(self._service.answer(verb, self._bus.max_payload), {}))

        self._subscriptions.append(await self._bus.subscribe(subject, hand_over))

    def _endpoint(self, interest: Interest, queue: str) -> Endpoint:
        endpoint = Endpoint(interest.name, interest.subject, queue)
        self._service.endpoints.append(endpoint)
        return endpoint

    def _may_answer(self, message: Message) -> bool:
        """Whether the reply goes to an inbox. Anything else would be published with our rights, not the caller's."""
        reply = message.reply
        if self._inboxes.takes(reply, message.subject):
            return True
        self._counters.refused("reply_subject" if reply else "no_reply_subject")
        return False

    def _admit(self, message: Message, answer: Answerer, endpoint: Endpoint, *, call: bool) -> None:
        if self._over:
            self._refuse(message, CLOSING, "shutting_down", endpoint)
            return
        refused = self._gate.admit(message, answer, endpoint, self._clock.now(), call=call)
        if refused is not None:
            self._refuse(message, refused, refused.reason.lower(), endpoint)

    def _start(self, arrived: Arrived) -> None:
        stop = Stop(arrived.turn)
        task = stop.task = self._loop.create_task(self._serve(arrived, stop))
        self._tasks[task] = stop
        self._counters.in_flight(len(self._tasks))

    def _refuse(self, message: Message, failure: Failure, why: str, endpoint: Endpoint) -> None:
        self._counters.refused(why)
        endpoint.count(0.0, failure.reason)
        self._replies.refuse(message, failure)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    # --- one message -------------------------------------------------------------------------------------------------

    async def _serve(self, arrived: Arrived, stop: Stop) -> Answer:
        """Answer one message, whatever happens."""
        endpoint = arrived.endpoint
        try:
            answered = await arrived.answer(arrived.message, arrived.accepted, stop)
        except asyncio.CancelledError:  # of what has no end of its own to tell, as a call has
            stop.arrived()
            answered = Answer(Asked(), _given_up())
        except Exception as defective:
            log.exception("a message on %s ended in a defect", endpoint.subject, exc_info=defect(defective))
            answered = Answer(Asked(), defect_told(Access.WRITE))
        stop.settle()
        if answered.refused is not None:
            self._counters.refused(answered.refused)
        self._replies.send(arrived.message, answered)
        error = answered.outcome.reason if isinstance(answered.outcome, Failure) else None
        endpoint.count(self._clock.now() - arrived.accepted, error)
        del self._tasks[stop.task]
        self._counters.in_flight(len(self._tasks))
        self._gate.leave(arrived)
        return answered


async def _drained(subscriptions: Iterable[Subscription]) -> None:
    async with anyio.create_task_group() as drains:
        for subscription in subscriptions:
            drains.start_soon(subscription.drain)


def _given_up() -> Failure:
    return Failure(
        reason=Reason.SHUTTING_DOWN,
        detail="the sidecar is shutting down and could not finish this in time",
        side_effect=SideEffect.UNKNOWN,
        hint="look at the provider, or at the trace, whether it happened",
    )
