"""`ports.Queue` on two JetStream work queues: one with an exact limit of each tenant, one of words that come later.

The nats-server lets no stream both refuse what is too much and say words at their time (tried with 2.15: `message
scheduling cannot use discard new`). In the second one a word has a numbered place of its tenant's, and is refused where
the place is taken: that is its limit. All that is published, with what a permission can hold on to:

| what | subject |
|---|---|
| put in | `<prefix>.queue.<tenant>` |
| put in for later | `<prefix>.later.<tenant>.at.<place>`, said by the server on `<prefix>.later.<tenant>.due.<place>` |
| see what waits in a place | `$JS.API.DIRECT.GET.<stream>.<prefix>.later.<tenant>.at.<place>` |
| make a consumer | `$JS.API.CONSUMER.CREATE.<stream>.<tenant>.<prefix>.queue.<tenant>` or `.later.<tenant>.due.*` |
| take | `$JS.API.CONSUMER.MSG.NEXT.<stream>.<tenant>` |
| acknowledge, hold, give back | `$JS.ACK.<stream>.<tenant>.>` |

https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-51.md
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from sidecar.adapters.nats_jetstream import (
    API,
    NO_ROOM,
    SECOND_NS,
    STATUS,
    WRONG_LAST_SEQUENCE,
    Answer,
    ApiRefused,
    JetStreamBus,
    ask,
    decode,
    delivery,
    description,
)
from sidecar.adapters.nats_streams import LATER, QUEUE
from sidecar.ports import (
    BusError,
    Message,
    NoResponders,
    QueueFull,
    StoreFull,
    StoreUnavailable,
    Subscription,
    Word,
)

HOLD_SECONDS = 15.0  # how long a sidecar that died keeps its words from the others
PUT_SECONDS = 5.0
PULL_SECONDS = 10.0
LATE_SECONDS = 2.0  # after which a question that is over will not be answered any more
LONG_AGO = 0.0  # what should have been said then is said at once
MANY_PER_SUBJECT = "maximum messages per subject exceeded"

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_OF = "Nats-Expected-Last-Subject-Sequence-Subject"
MESSAGE_ID = "Nats-Msg-Id"
SEQUENCE, ROLLUP = "Nats-Sequence", "Nats-Rollup"
SCHEDULE, TARGET, SCHEDULER = "Nats-Schedule", "Nats-Schedule-Target", "Nats-Scheduler"


class _Ack(Answer, frozen=True, kw_only=True):
    seq: int = 0


class _Names(Answer, frozen=True, kw_only=True):
    consumers: list[str] | None = None
    total: int = 0


@dataclass(slots=True)
class _Line:
    """What one consumer's words come in by. `asked_until`: a question is open until then."""

    inbox: str
    subscription: Subscription
    sender: MemoryObjectSendStream[Message]
    receiver: MemoryObjectReceiveStream[Message]
    asked_until: float = -math.inf


class NatsQueue:
    """`ports.Queue`."""

    hold_seconds = HOLD_SECONDS

    def __init__(self, bus: JetStreamBus, prefix: str, *, pull_seconds: float = PULL_SECONDS) -> None:
        self._bus = bus
        self._pull_seconds = pull_seconds
        self._prefix = prefix
        self._lines: dict[tuple[str, bool], _Line] = {}

    async def put(self, tenant: str, body: bytes, *, message_id: str) -> None:
        try:
            await self._put(f"{self._prefix}.queue.{tenant}", body, {MESSAGE_ID: message_id})
        except ApiRefused as refused:
            raise StoreUnavailable(str(refused)) from refused

    async def put_later(self, tenant: str, place: int, body: bytes, *, at: float) -> bool:
        below = f"{self._prefix}.later.{tenant}"
        return await self._schedule(below, place, body, at, {EXPECTED: "0", EXPECTED_OF: f"{below}.*.{place}"})

    async def say_now(self, tenant: str, place: int, body: bytes) -> bool:
        below = f"{self._prefix}.later.{tenant}"
        try:
            found = await self._bus.request(f"{API}.DIRECT.GET.{LATER}.{below}.at.{place}", b"", timeout=PUT_SECONDS)
        except (BusError, NoResponders) as error:
            raise StoreUnavailable(f"{LATER} cannot be read: {error}") from error
        sequence = (found.headers or {}).get(SEQUENCE)
        if sequence is None or found.data != body:
            return False
        return await self._schedule(below, place, body, LONG_AGO, {EXPECTED: sequence, ROLLUP: "sub"})

    async def _schedule(self, below: str, place: int, body: bytes, at: float, expected: dict[str, str]) -> bool:
        """False where what stands in the place is not as expected."""
        moment = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
        headers = {SCHEDULE: f"@at {moment}", TARGET: f"{below}.due.{place}", **expected}
        try:
            await self._put(f"{below}.at.{place}", body, headers)
        except ApiRefused as refused:
            if refused.err_code in WRONG_LAST_SEQUENCE:
                return False
            raise StoreUnavailable(str(refused)) from refused
        return True

    async def _put(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        try:
            reply = await self._bus.request(subject, body, headers=headers, timeout=PUT_SECONDS)
        except NoResponders:
            raise StoreUnavailable("the queue does not exist, or JetStream is away") from None
        except BusError as error:
            raise StoreUnavailable(str(error)) from error
        refused = decode(reply.data, _Ack).error
        if refused is None:
            return
        if refused.description == MANY_PER_SUBJECT:
            raise QueueFull(refused.description)
        if refused.err_code in NO_ROOM:
            raise StoreFull(f"{refused.description} ({refused.err_code})")
        raise ApiRefused(refused)

    async def open(self, tenant: str) -> None:
        await self._make(QUEUE, tenant, f"{self._prefix}.queue.{tenant}")
        await self._make(LATER, tenant, f"{self._prefix}.later.{tenant}.due.*")

    async def _make(self, stream: str, tenant: str, subjects: str) -> None:
        config = {
            "name": tenant,
            "durable_name": tenant,
            "filter_subject": subjects,
            "ack_policy": "explicit",
            "ack_wait": round(HOLD_SECONDS * SECOND_NS),
            "max_deliver": -1,  # whoever takes a word too often says so and ends it; the server would only fall silent
            "max_ack_pending": -1,
        }
        body = {"stream_name": stream, "config": config}
        try:
            await ask(self._bus, f"CONSUMER.CREATE.{stream}.{tenant}.{subjects}", body, _Names, PUT_SECONDS)
        except ApiRefused as refused:
            raise StoreUnavailable(f"{stream}: {refused}") from refused

    async def tenants(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                page = await ask(self._bus, f"CONSUMER.NAMES.{QUEUE}", {"offset": len(found)}, _Names, PUT_SECONDS)
            except ApiRefused as refused:
                raise StoreUnavailable(f"{QUEUE}: {refused}") from refused
            found += page.consumers or []
            if not page.consumers or len(found) >= page.total:
                return found

    async def take(self, tenant: str, *, later: bool, within: float) -> Word | None:
        line = await self._line(tenant, later=later)
        with anyio.move_on_after(within):
            while True:
                with contextlib.suppress(anyio.WouldBlock):
                    word = await self._word(line.receiver.receive_nowait(), line, tenant, later=later)
                    if word is not None:
                        return word
                    continue
                now = anyio.current_time()
                if now >= line.asked_until:
                    await self._ask_for_one(line, tenant, LATER if later else QUEUE)
                    line.asked_until = now + self._pull_seconds + LATE_SECONDS
                with anyio.move_on_after(max(0.0, line.asked_until - now)):
                    word = await self._word(await line.receiver.receive(), line, tenant, later=later)
                    if word is not None:
                        return word
        return None

    async def _ask_for_one(self, line: _Line, tenant: str, stream: str) -> None:
        body = msgspec.json.encode({"batch": 1, "expires": round(self._pull_seconds * SECOND_NS)})
        try:
            self._bus.publish(f"{API}.CONSUMER.MSG.NEXT.{stream}.{tenant}", body, reply=line.inbox)
        except BusError as error:
            raise StoreUnavailable(str(error)) from error

    async def _word(self, message: Message, line: _Line, tenant: str, *, later: bool) -> Word | None:
        """The word of a message; None where the question has waited its time, and for what another tenant's sidecar had
        said here. Raises StoreUnavailable where it was not let wait: asked again at once, the answer would be the same.
        """
        unused = line.asked_until - LATE_SECONDS - anyio.current_time()
        line.asked_until = -math.inf
        if message.subject == line.inbox or not message.reply:
            if unused > self._pull_seconds / 2:
                headers = message.headers or {}
                raise StoreUnavailable(f"no word is given: {headers.get(STATUS)} {description(headers)}")
            return None
        word = Word(message.data, delivery(message).times, message.reply, timely=later)
        said_by = (message.headers or {}).get(SCHEDULER, "")
        # The server lets a schedule name any subject of its stream, whoever wrote it (tried): another tenant's too.
        if later and not said_by.startswith(f"{self._prefix}.later.{tenant}.at."):
            await self.ack(word)
            return None
        return word

    async def ack(self, word: Word) -> None:
        try:
            await self._bus.request(word.ack, b"+ACK", timeout=PUT_SECONDS)
        except (BusError, NoResponders) as error:
            raise StoreUnavailable(f"not acknowledged: {error}") from error

    async def hold(self, word: Word) -> None:
        await self._say(word, b"+WPI")

    async def give_back(self, word: Word) -> None:
        await self._say(word, b"-NAK")

    async def _say(self, word: Word, what: bytes) -> None:
        try:
            self._bus.publish(word.ack, what)
        except BusError as error:
            raise StoreUnavailable(str(error)) from error

    async def _line(self, tenant: str, *, later: bool) -> _Line:
        line = self._lines.get((tenant, later))
        if line is None:
            inbox = self._bus.new_inbox()
            sender, receiver = anyio.create_memory_object_stream[Message](math.inf)  # one is asked for at a time
            try:
                subscription = await self._bus.subscribe(inbox, sender.send_nowait)
            except BusError as error:
                raise StoreUnavailable(str(error)) from error
            line = self._lines[tenant, later] = _Line(inbox, subscription, sender, receiver)
        return line

    async def close(self) -> list[Word]:
        lines, self._lines = self._lines, {}
        left: list[Word] = []
        async with anyio.create_task_group() as group:
            for line in lines.values():
                group.start_soon(line.subscription.drain)
        for (tenant, later), line in lines.items():
            line.asked_until = -math.inf
            with contextlib.suppress(anyio.WouldBlock):
                while True:
                    word = await self._word(line.receiver.receive_nowait(), line, tenant, later=later)
                    left += [word] if word is not None else []
            line.sender.close()
            line.receiver.close()
        return left
