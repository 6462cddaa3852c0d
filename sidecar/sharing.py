"""What shared quotas need of NATS: messages between sidecars, and two records for each part that one of them owns.

Messages may be lost and come late; `core/quota/` counts on nothing else. That nobody heard one is known where it
matters: it names a reply subject of ours, and the nats-server answers there that it has no receiver (503).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anyio
import msgspec

from sidecar.core.quota.event import Away, Event, Get, Heard, Put, Refused, Send, SendAll, Stored, Undelivered
from sidecar.core.quota.message import Message as Said
from sidecar.core.quota.message import Request, together
from sidecar.ports import Bus, BusError, Entry, Message, Store, StoreConflict, StoreFull, StoreUnavailable
from sidecar.wire.quota import QuotaSubjects

log = logging.getLogger("sidecar.quota")

BUCKET = "SIDECAR_QUOTA"
MAX_CERTAIN = 4_096  # messages whose 503 may still come
MAX_TOGETHER = 200  # requests in one message
MARK_SECONDS = 1  # that the mark of a deleted record stays
NOBODY = "503"


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """What goes over NATS: who says it, and what."""

    sender: str
    said: Said


@dataclass(slots=True)
class Traffic:
    """Messages sent, heard, that nobody received, and that made no sense; records written, refused, and unanswered."""

    sent: int = 0
    heard: int = 0
    undelivered: int = 0
    malformed: int = 0
    written: int = 0
    refused: int = 0
    unanswered: int = 0


class Post(msgspec.Struct, frozen=True):
    """A message that is no letter."""

    subject: str
    payload: bytes
    reply: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Letter)


class Sharing:
    """`quotas.Outside` on a bus and a store. `me` names this process among those that share."""

    def __init__(
        self, *, bus: Bus, store: Store, subjects: QuotaSubjects, me: str, elapsed: Callable[[], float]
    ) -> None:
        self.traffic = Traffic()
        self._bus = bus
        self._store = store
        self._subjects = subjects
        self._me = me
        self._elapsed = elapsed
        self._hear: Callable[[Event], None]
        self._wanted: deque[Put | Get] = deque()
        self._letters: deque[Send | SendAll | Post] = deque()
        self._more = anyio.Event()
        self._numbers = itertools.count(1)
        self._certain: dict[str, Send] = {}
        self._acked: tuple[str, int, float] | None = None  # key and revision of our last write, and when it was known

    def attach(self, hear: Callable[[Event], None]) -> None:
        self._hear = hear

    def perform(self, effect: Send | SendAll | Put | Get | Post) -> None:
        """Begin it; messages leave in the order of being asked, at the end of this turn of the loop."""
        if isinstance(effect, Put | Get):
            self._wanted.append(effect)
            self._more.set()
            return
        if not self._letters:
            asyncio.get_running_loop().call_soon(self._post)
        self._letters.append(effect)

    async def start(self) -> None:
        """Hear what the others say. Raises BusError."""
        for subject in (self._subjects.to(self._me), self._subjects.everyone):
            await self._bus.subscribe(subject, self._heard)
        await self._bus.subscribe(self._subjects.undelivered(self._me, "*"), self._returned)

    async def serve(self) -> None:
        """Do what is wanted, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._more.wait()
                self._more = anyio.Event()
                while self._wanted:
                    match effect := self._wanted.popleft():
                        case Put():
                            tasks.start_soon(self._put, effect)
                        case Get():
                            tasks.start_soon(self._get, effect)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _post(self) -> None:
        """Publish what this turn of the loop had to say."""
        while self._letters:
            match effect := self._letters.popleft():
                case Post():
                    self._publish(effect)
                case Send(message=Request() as request):
                    said = together([request, *self._following(effect.to, request)])
                    self._publish(self._posted(Send(effect.to, said, effect.certain)))
                case _:
                    self._publish(self._posted(effect))

    def _posted(self, effect: Send | SendAll) -> Post:
        letter = _encoder.encode(Letter(self._me, effect.message))
        if isinstance(effect, SendAll):
            return Post(self._subjects.everyone, letter)
        if not effect.certain:
            return Post(self._subjects.to(effect.to), letter)
        number = str(next(self._numbers))
        self._certain[number] = effect
        if len(self._certain) > MAX_CERTAIN:
            del self._certain[next(iter(self._certain))]
        return Post(self._subjects.to(effect.to), letter, self._subjects.undelivered(self._me, number))

    def _following(self, to: str, request: Request) -> Iterator[Request]:
        """What the same turn of the loop asks of the same owner besides: that is one message, and one answer."""
        for _ in range(MAX_TOGETHER):
            match self._letters[0] if self._letters else None:
                case Send(to=other, message=Request(partition=partition) as further):
                    if other != to or partition != request.partition:
                        return
                    self._letters.popleft()
                    yield further
                case _:
                    return

    def _publish(self, post: Post) -> None:
        try:
            self._bus.publish(post.subject, post.payload, reply=post.reply)
            self.traffic.sent += 1
        except BusError as error:
            log.debug("a message to other sidecars is lost: %s", error)

    def _heard(self, message: Message) -> None:
        try:
            letter = _decoder.decode(message.data)
        except msgspec.DecodeError:
            self.traffic.malformed += 1
            return
        if letter.sender != self._me:
            self.traffic.heard += 1
            self._hear(Heard(letter.sender, letter.said))

    def _returned(self, message: Message) -> None:
        if (message.headers or {}).get("Status") != NOBODY:
            return
        sent = self._certain.pop(message.subject.rpartition(".")[2], None)
        if sent is not None:
            self.traffic.undelivered += 1
            self._hear(Undelivered(sent.to, sent.message))

    # --- records -----------------------------------------------------------------------------------------------------

    async def _put(self, put: Put) -> None:
        """One write, once. A refusal that names an older record proves nothing: a leader that was deposed says so."""
        ttl = MARK_SECONDS if put.value is None else put.ttl
        name = f"{put.key}.{self._me}.{put.ticket}"
        outcome: Event = Away(put.ticket)
        try:
            revision = await self._store.put(
                BUCKET, put.key, put.value, message_id=name, expected=put.expected, ttl=ttl
            )
            self._acked = (put.key, revision, self._elapsed())
            outcome = Stored(put.ticket, revision)
            self.traffic.written += 1
        except StoreConflict as conflict:
            if conflict.last is not None and (conflict.last == 0 or conflict.last > put.expected):
                outcome = Refused(put.ticket, conflict.last)
            self.traffic.refused += 1
        except (StoreFull, StoreUnavailable) as error:
            self.traffic.unanswered += 1
            log.debug("a quota record could not be written: %s", error)
        self._hear(outcome)

    async def _get(self, get: Get) -> None:
        outcome: Event = Away(get.ticket)
        try:
            entry = await self._store.get(BUCKET, get.key)
            if entry is None or entry.deleted:
                outcome = Stored(get.ticket, entry.revision if entry else 0)
            else:
                outcome = Stored(get.ticket, entry.revision, entry.value, await self._age(entry))
        except StoreUnavailable as error:
            self.traffic.unanswered += 1
            log.debug("a quota record could not be read: %s", error)
        self._hear(outcome)

    async def _age(self, entry: Entry) -> float | None:
        """Seconds since the record was written, by the store's clock alone, or less; None where it cannot be told.

        What the store's clock shows is known from a write of our own: when it was made there, and how long ago, at
        least, it was made here.
        """
        if entry.written is None or self._acked is None:
            return None
        key, revision, known = self._acked
        ours = await self._store.get(BUCKET, key)
        if ours is None or ours.revision != revision or ours.written is None:
            return None
        return max(0.0, ours.written - entry.written + self._elapsed() - known)
