"""One message in, exactly one reply out: admission, decoding, answering, replying; and the drain at the end.

This is the one place that calls `create_task`. A subscription's callback only hands over to it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import anyio
import msgspec

from sidecar.admin import Administrator
from sidecar.catalogue.answer import answer as answer_catalog
from sidecar.execute import Ended, Executor, Observer
from sidecar.log import defect
from sidecar.micro import QUEUE, VERBS, Endpoint, Service
from sidecar.model import Access, Call, Failure, Outcome, Reason, SideEffect
from sidecar.ports import Bus, BusError, Clock, Message, Random, Subscription
from sidecar.wire.reply import Asked, Reply, encode_reply
from sidecar.wire.request import Arrival, decode_input, decode_request
from sidecar.wire.subject import parse_admin, parse_catalog

log = logging.getLogger("sidecar.worker")

NO_SUBJECT = re.compile(r"[*>\s]|\.\.|\.$")  # wildcards, white space, empty tokens: nothing is published there


class Admission(msgspec.Struct, frozen=True):
    """What is let in. `reply_prefixes`: a caller may have its answer sent there and nowhere else, since the sidecar
    may publish where the caller may not.
    """

    max_in_flight: int = 1024
    max_timeout_ms: int = 300_000
    reply_prefixes: tuple[str, ...] = ("_INBOX.", "_R_.")


class Counters(Protocol):
    """What the worker counts, beyond what events tell."""

    def in_flight(self, number: int) -> None: ...

    def refused(self, why: str) -> None: ...

    def reply_lost(self) -> None: ...


class Answer(msgspec.Struct, frozen=True):
    """What goes into the reply."""

    asked: Asked
    outcome: Outcome


class _GivenUp(Exception):
    """A call was cancelled; `answer` says what is known of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


Answerer = Callable[[Message, float], Awaitable[Answer]]


class Worker:
    """Serves the subjects of every provider in the catalogue."""

    def __init__(
        self,
        *,
        bus: Bus,
        prefix: str,
        executor: Executor,
        administrator: Administrator,
        observer: Observer,
        counters: Counters,
        clock: Clock,
        random: Random,
        service: Service,
        admission: Admission,
    ) -> None:
        self._bus = bus
        self._prefix = prefix
        self._executor = executor
        self._administrator = administrator
        self._observer = observer
        self._counters = counters
        self._clock = clock
        self._random = random
        self._service = service
        self._admission = admission
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusals: set[asyncio.Task[None]] = set()
        self._grace: anyio.CancelScope | None = None
        self._hurried = False

    async def start(self) -> None:
        """Subscribe provider by provider, so that a provider nobody serves is NATS's own `no responders`."""
        for verb in VERBS:
            for subject in self._service.subjects(verb):
                await self._subscribe_protocol(verb, subject)
        for provider in self._executor.catalogue.providers:
            for access in Access:
                subject = f"{self._prefix}.{access}.*.*.{provider}.>"
                await self._subscribe(f"{access}_{provider}", subject, self._answer_call)
            await self._subscribe(f"admin_{provider}", f"{self._prefix}.admin.*.*.{provider}.*", self._answer_admin)
        await self._subscribe("admin", f"{self._prefix}.admin.*.*.-.*", self._answer_admin)
        await self._subscribe("catalog", f"{self._prefix}.catalog.*.>", self._answer_catalog)

    async def stop(self, grace: float) -> int:
        """Take no more, finish what was taken within `grace` seconds; returns how many calls had to be given up."""
        with anyio.move_on_after(0 if self._hurried else grace) as self._grace:
            for subscription in self._subscriptions:
                await subscription.drain()
            while pending := self._tasks | self._refusals:
                await asyncio.wait(pending)
        left = [task for task in self._tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1)
        return len(left)

    def hurry(self) -> None:
        """Give up now what is in flight, whatever is left of the grace: `stop` then returns within a second or so."""
        self._hurried = True
        if self._grace is not None:
            self._grace.cancel()

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    # --- admission ---------------------------------------------------------------------------------------------------

    async def _subscribe(self, name: str, subject: str, answer: Answerer) -> None:
        endpoint = Endpoint(name, subject)
        self._service.endpoints.append(endpoint)

        def hand_over(message: Message) -> None:
            if self._may_answer(message):
                self._admit(message, answer, endpoint)

        self._subscriptions.append(await self._bus.subscribe(subject, hand_over, queue=QUEUE))

    async def _subscribe_protocol(self, verb: str, subject: str) -> None:
        def hand_over(message: Message) -> None:
            if self._may_answer(message):
                self._spawn(self._refusals, self._publish(message, Reply(self._service.answer(verb), {})))

        self._subscriptions.append(await self._bus.subscribe(subject, hand_over))

    def _may_answer(self, message: Message) -> bool:
        """Whether the reply goes to an inbox. Anything else would be published with our rights, not the caller's."""
        reply = message.reply
        if reply.startswith(self._admission.reply_prefixes) and not NO_SUBJECT.search(reply):
            return True
        self._counters.refused("reply_subject" if reply else "no_reply_subject")
        return False

    def _admit(self, message: Message, answer: Answerer, endpoint: Endpoint) -> None:
        if len(self._tasks) >= self._admission.max_in_flight:
            self._counters.refused("queue_full")
            failure = Failure(
                reason=Reason.QUEUE_FULL,
                detail=f"{len(self._tasks)} calls are in flight, as many as this sidecar takes",
                retry_after=1.0,
            )
            self._spawn(self._refusals, self._publish(message, encode_reply(Asked(), failure, self._bus.max_payload)))
            return
        self._spawn(self._tasks, self._serve(message, answer, endpoint, self._clock.now()))
        self._counters.in_flight(len(self._tasks))

    def _spawn(self, kept: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        kept.add(task)
        task.add_done_callback(kept.discard)

    # --- one message -------------------------------------------------------------------------------------------------

    async def _serve(self, message: Message, answer: Answerer, endpoint: Endpoint, accepted: float) -> None:
        """Answer one message, whatever happens."""
        try:
            answered = await answer(message, accepted)
        except asyncio.CancelledError:
            answered = Answer(Asked(), _given_up())
            await self._reply(message, answered)
            raise
        except _GivenUp as given_up:
            await self._reply(message, given_up.answer)
            raise asyncio.CancelledError from given_up
        except Exception as defective:
            log.exception("a message on %s ended in a defect", endpoint.subject, exc_info=defect(defective))
            answered = Answer(Asked(), _defective(Access.WRITE))
        await self._reply(message, answered)
        error = answered.outcome.reason if isinstance(answered.outcome, Failure) else None
        endpoint.count(self._clock.now() - accepted, error)
        self._counters.in_flight(len(self._tasks) - 1)

    async def _reply(self, message: Message, answered: Answer) -> None:
        await self._publish(message, self._encoded(answered))

    def _encoded(self, answered: Answer) -> Reply:
        asked, most = answered.asked, self._bus.max_payload
        try:
            return encode_reply(asked, answered.outcome, most)
        except Exception as error:  # a hook's words may be no UTF-8; the caller is answered all the same
            log.exception("the reply to call %s could not be written", asked.call_id, exc_info=defect(error))
            return encode_reply(asked, _defective(asked.access), most)

    async def _publish(self, message: Message, reply: Reply) -> None:
        try:
            await self._bus.publish(message.reply, reply.payload, headers=reply.headers or None)
        except BusError as error:
            self._counters.reply_lost()
            log.warning("a reply could not be published: %s", error)
        except Exception as error:
            self._counters.reply_lost()
            log.exception("a reply could not be published", exc_info=defect(error))

    # --- answers -----------------------------------------------------------------------------------------------------

    async def _answer_call(self, message: Message, accepted: float) -> Answer:
        arrival = Arrival(accepted, self._clock.wall(), self._random.token(34), self._admission.max_timeout_ms)
        call = decode_request(self._prefix, message.subject, message.headers, message.data, arrival)
        if isinstance(call, Failure):
            self._counters.refused("malformed")
            return Answer(Asked(), call)
        unfinished: list[Ended] = []
        try:
            ended = await self._executor.run(call, given_up=unfinished.append)
        except asyncio.CancelledError as cancelled:
            if unfinished:
                raise _GivenUp(self._answered(call, unfinished[0])) from cancelled
            raise
        return self._answered(call, ended)

    def _answered(self, call: Call, ended: Ended) -> Answer:
        asked = Asked(
            call_id=call.call_id,
            provider=call.provider,
            operation=call.operation,
            access=call.access,
            trace=call.trace,
            catalog_hash=self._executor.catalogue.digest,
            attempts=ended.attempts,
        )
        return Answer(asked, ended.outcome)

    async def _answer_admin(self, message: Message, _accepted: float) -> Answer:
        address = parse_admin(self._prefix, message.subject)
        if isinstance(address, Failure):
            return Answer(Asked(), address)
        outcome = await self._administrator.answer(address, message.data)
        await self._observer.emit(self._administrator.event(address, outcome))
        return Answer(Asked(provider=address.provider), outcome)

    async def _answer_catalog(self, message: Message, _accepted: float) -> Answer:
        address = parse_catalog(self._prefix, message.subject)
        if isinstance(address, Failure):
            return Answer(Asked(access=Access.READ), address)
        asked = decode_input(message.data)
        if isinstance(asked, Failure):
            return Answer(Asked(access=Access.READ), asked)
        outcome = answer_catalog(self._executor.catalogue, address, asked)
        return Answer(Asked(access=Access.READ, provider=address.provider), outcome)


def _defective(access: Access) -> Failure:
    side_effect = SideEffect.NONE if access is Access.READ else SideEffect.UNKNOWN
    return Failure(reason=Reason.BUG, detail="a defect of the sidecar; see its log", side_effect=side_effect)


def _given_up() -> Failure:
    return Failure(
        reason=Reason.SHUTTING_DOWN,
        detail="the sidecar is shutting down and could not finish this call in time",
        side_effect=SideEffect.UNKNOWN,
        hint="look at the provider, or at the trace, whether it happened",
    )
