"""Durable calls taken in, and their results told. What is acknowledged is stored and waits in the queue."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
from collections.abc import Callable

import msgspec

from sidecar.catalogue.answer import unknown_provider
from sidecar.catalogue.validate import nearest
from sidecar.core.refusal import unknown_operation
from sidecar.core.rerun import kept_seconds
from sidecar.durable import DurableCall, Place, Stage, durable
from sidecar.durable_ground import DurableGround
from sidecar.execute import Executor
from sidecar.kept import told_outcome
from sidecar.model import Access, Call, Failure, Outcome, Reason, SideEffect, Success
from sidecar.ports import Bus, BusError, QueueFull, StoreFull, StoreUnavailable
from sidecar.store.durable import Seen
from sidecar.wire.durable import QueueWord, SubmitReply, Submitted, result_subject
from sidecar.wire.event import timestamp
from sidecar.wire.reply import Asked, encode_reply
from sidecar.wire.subject import ResultAddress, encode_token

log = logging.getLogger("sidecar.queue")

OWN_PLACES = 8  # of a tenant's places for later work, told by the call's name: there its word is found again
PLACES_TRIED = 8  # where those are taken, drawn by lot
PUTS = 3
FULL_AGAIN = 5.0  # seconds
PENDING_AGAIN = 1.0
SEAL_BYTES = 4096  # what sealing and the message's headers add, at most


class Submission:
    """Takes durable calls in. `depth`: as many of a tenant may wait, and as many more be put off."""

    def __init__(self, on: DurableGround, executor: Executor, *, depth: int) -> None:
        self._on = on
        self._executor = executor
        self._depth = depth
        self._max_payload = on.bus.max_payload
        self._opened: set[str] = set()
        self.opened: Callable[[str], None] = lambda _: None  # is told of each tenant whose queue was opened here

    def looked_up(self, submitted: Submitted) -> Call | Failure:
        """The call with its operation's own access; a Failure where it could never run."""
        call, catalogue = submitted.call, self._executor.catalogue
        provider = catalogue.providers.get(call.provider)
        if provider is None:
            return unknown_provider(catalogue, call.provider)
        operation = provider.operations.get(call.operation)
        if operation is None:
            return unknown_operation(call, nearest(call.operation, provider.operations))
        call = msgspec.structs.replace(call, access=operation.access)
        asked = self._executor.preparation.look_up(call)
        return asked if isinstance(asked, Failure) else call

    async def take(self, call: Call, submitted: Submitted) -> Outcome:
        """Store the call, put its word in the queue, and say so. Sent again with the same `Call-Id` it is one call."""
        place = Place(call.tenant, call.connection, call.call_id)
        kept = durable(call, timeout_ms=submitted.timeout_ms, submitted=self._on.clock.wall(), due=submitted.due)
        room = self._max_payload - SEAL_BYTES
        if len(msgspec.json.encode(kept)) > room:
            detail = f"the input has {len(call.payload):,} bytes; a durable call of about {room * 3 // 4:,} can be kept"
            return Failure(reason=Reason.REQUEST_TOO_LARGE, detail=detail)
        seen = await self._created(place, kept)
        if isinstance(seen, Failure):
            return seen
        if seen.call.stage is Stage.WAITING:
            failure = await self.put(place, seen.call.due)
            if failure is not None:
                return await self._taken_back(seen, failure)
        return self._taken(place, seen.call)

    async def put(self, place: Place, due: float | None) -> Failure | None:
        """Put the call's word in the queue, or among those that come later; None when it is there."""
        tenant = encode_token(place.tenant)
        body = msgspec.json.encode(QueueWord(place.connection, place.call_id))
        message_id = self._on.random.token(12).hex()
        said = ""
        for _ in range(PUTS):
            try:
                if tenant not in self._opened:  # a queue that nobody takes from is found by nobody after a restart
                    await self._on.queue.open(tenant)
                    self._opened.add(tenant)
                    self.opened(tenant)
                if due is not None and due > self._on.clock.wall():
                    return None if await self.put_later(place, due) else self._full()
                await self._on.queue.put(tenant, body, message_id=message_id)
            except QueueFull:
                return self._full()
            except StoreFull as error:
                return Failure(reason=Reason.STORE_FULL, detail=f"the queue is full: {error}", retry_after=FULL_AGAIN)
            except StoreUnavailable as error:
                said = str(error)
                await self._on.clock.sleep(0.2 * (1 + self._on.random.jitter()))
                continue
            return None
        return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"the queue does not answer: {said}", retry_after=1.0)

    async def put_later(self, place: Place, at: float) -> bool:
        """Have the call's word said at this moment; false where no place was free.

        Raises StoreUnavailable, StoreFull.
        """
        tenant = encode_token(place.tenant)
        body = msgspec.json.encode(QueueWord(place.connection, place.call_id))
        by_lot = (int.from_bytes(self._on.random.token(4), "big") % self._depth for _ in range(PLACES_TRIED))
        for number in itertools.chain(self._own_places(place), by_lot):
            if await self._on.queue.put_later(tenant, number, body, at=at):
                return True
        return False

    async def say_now(self, place: Place) -> None:
        """Have the word of a call said that waits for its moment and needs none any more: its place is free then. One
        whose place was drawn by lot is not found, and keeps it.
        """
        tenant = encode_token(place.tenant)
        body = msgspec.json.encode(QueueWord(place.connection, place.call_id))
        try:
            for number in self._own_places(place):
                if await self._on.queue.say_now(tenant, number, body):
                    return
        except (StoreUnavailable, StoreFull) as error:
            log.info("the word of durable call %s waits for its moment: %s", place.call_id, error)

    def _own_places(self, place: Place) -> list[int]:
        digest = hashlib.sha256(f"{place.connection} {place.call_id}".encode()).digest()
        numbers = (int.from_bytes(digest[4 * index : 4 * index + 4], "big") for index in range(OWN_PLACES))
        return [number % self._depth for number in numbers]

    async def result(self, tenant: str, connection: str, call_id: str) -> tuple[Asked, Outcome]:
        """What the durable call ended in, as its reply would be."""
        place = Place(tenant, connection, call_id)
        asked = Asked(call_id=call_id, access=Access.READ)
        seen = await self._on.store.read(place)
        if isinstance(seen, Failure):
            return asked, seen
        if seen is None:
            return asked, unknown_call(place)
        if seen.call.ended is None:
            return asked, pending(seen.call)
        return asked_of(place, seen.call), told_outcome(seen.call.ended)

    async def _created(self, place: Place, kept: DurableCall) -> Seen | Failure:
        """The call as it is stored now: ours, or the same one that was submitted before."""
        seconds = kept_seconds(kept, self._on.clock.wall())
        written = await self._on.store.write(place, kept, None, seconds=seconds)
        if isinstance(written, int):
            return Seen(place, kept, written)
        if isinstance(written, Failure):
            return written
        there = await self._on.store.read(place)
        if isinstance(there, Failure):
            return there
        if there is None:
            detail = "the same call id was submitted a moment ago, and cannot be read yet"
            return Failure(reason=Reason.CAS_CONFLICT, detail=detail, retry_after=PENDING_AGAIN)
        if there.call.asked != kept.asked:
            return Failure(
                reason=Reason.CALL_ID_IN_USE,
                detail=f"Call-Id {place.call_id} is that of another durable call of connection {place.connection}",
                hint="give every call a Call-Id of its own, or none",
            )
        return there

    async def _taken_back(self, seen: Seen, failure: Failure) -> Failure:
        """The refusal of a call whose word is not known to be in the queue: without its record it does not run."""
        if await self._on.store.delete(seen) is None:
            return failure
        return msgspec.structs.replace(
            failure,
            side_effect=SideEffect.NONE if seen.call.access is Access.READ else SideEffect.UNKNOWN,
            hint=f"it may run all the same; send it again with the same Call-Id {seen.place.call_id}",
        )

    def _taken(self, place: Place, call: DurableCall) -> Success:
        address = ResultAddress(place.tenant, place.connection, place.call_id)
        reply = SubmitReply(
            call_id=place.call_id,
            result_subject=result_subject(self._on.prefix, address),
            due=None if call.due is None else timestamp(call.due),
        )
        return Success(body=msgspec.json.encode(reply))

    def _full(self) -> Failure:
        return Failure(
            reason=Reason.TENANT_LIMIT,
            detail=f"{self._depth:,} durable calls of this tenant wait, as many as may; this one was not taken",
            retry_after=FULL_AGAIN,
            hint="`sidecar queue list` shows what waits, and why",
        )


def asked_of(place: Place, call: DurableCall) -> Asked:
    """What the reply to a durable call says about it."""
    return Asked(
        call_id=place.call_id,
        provider=call.provider,
        operation=call.operation,
        access=call.access,
        trace=call.trace,
        attempts=call.attempts,
    )


def publish_result(bus: Bus, prefix: str, place: Place, call: DurableCall) -> None:
    """Publish what the call ended in as its reply would be. Who does not hear it asks for it."""
    if call.ended is None:
        return
    reply = encode_reply(asked_of(place, call), told_outcome(call.ended), bus.max_payload)
    subject = result_subject(prefix, ResultAddress(place.tenant, place.connection, place.call_id))
    with contextlib.suppress(BusError):
        bus.publish(subject, reply.payload, headers=reply.headers or None)


def unknown_call(place: Place) -> Failure:
    return Failure(
        reason=Reason.UNKNOWN_CALL,
        detail=f"no durable call of connection {place.connection} with this id is kept; results are kept a day",
    )


def pending(call: DurableCall) -> Failure:
    """The answer to who asks for a result before there is one."""
    why = call.why or ("its time has not come" if call.due is not None else "its turn has not come")
    return Failure(reason=Reason.IN_PROGRESS, detail=f"the durable call waits: {why}", retry_after=PENDING_AGAIN)
