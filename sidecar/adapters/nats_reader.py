"""Reads what a stream holds now, from a moment or the last of each subject, through a consumer of our own.

The filter is part of the API subject, so that a permission can confine a reader to a tenant.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream

from sidecar.adapters.nats_jetstream import API, SECOND_NS, STATUS, Answer, ApiRefused, JetStreamBus, ask, description
from sidecar.adapters.nats_streams import TRACE
from sidecar.ports import Bus, BusError, Message, StoreUnavailable

BATCH = 2000
BATCH_BYTES = 16 * 1024 * 1024
IDLE_SECONDS = 5.0
KEEP_SECONDS = 30
REQUEST_ENDED = ("408", "409")
UNSERVED = "Nats-Pending-Messages"


class TraceEntry(msgspec.Struct, frozen=True):
    """One trace event as it was published."""

    subject: str
    payload: bytes


class _Consumer(Answer, frozen=True, kw_only=True):
    num_pending: int = 0


async def read_trace(
    bus: JetStreamBus, pattern: str, *, since: float | None = None
) -> AsyncGenerator[TraceEntry, None]:
    """The trace events on subjects that match `pattern` (`sidecar.trace.acme.>`), oldest first, up to now.

    `since` is Unix seconds; None reads all that is kept. Raises StoreUnavailable.
    """
    start: dict[str, Any] = {"deliver_policy": "all"}
    if since is not None:
        moment = datetime.fromtimestamp(since, UTC).isoformat()
        start = {"deliver_policy": "by_start_time", "opt_start_time": moment}
    async with contextlib.aclosing(stored(bus, TRACE, pattern, start)) as messages:
        async for message in messages:
            yield TraceEntry(message.subject, message.data)


async def stored(
    bus: JetStreamBus, stream: str, pattern: str, options: dict[str, Any]
) -> AsyncGenerator[Message, None]:
    """Every message that the stream holds at this moment and the options choose, in order, none twice, none left out.

    Raises StoreUnavailable, also when the connection broke and messages were lost on the way.
    """
    inbox = bus.new_inbox()
    name = inbox.rpartition(".")[2]
    left = await _create(bus, stream, name, pattern, options)
    sender, receiver = anyio.create_memory_object_stream[Message](2 * BATCH)
    subscription = await bus.subscribe(inbox, sender.send_nowait)
    try:
        seen = underway = 0
        while left > 0:
            if underway <= 0:
                underway += await _ask_for_more(bus, stream, name, inbox, min(left, BATCH))
            message = await _next(receiver, stream)
            if message.subject == inbox:  # a status; messages come on their own subjects
                underway -= _given_up(message, stream)
                continue
            position, pending = _position(message)
            if position != seen + 1:
                raise StoreUnavailable(f"{position - seen - 1} messages of {stream} were lost on the way; try again")
            seen, left, underway = position, min(left - 1, pending), underway - 1
            yield message
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(BusError, StoreUnavailable, ApiRefused):
            await subscription.drain()
            receiver.close()
            sender.close()
            await ask(bus, f"CONSUMER.DELETE.{stream}.{name}", None, Answer, 1.0)


async def _create(bus: Bus, stream: str, name: str, pattern: str, options: dict[str, Any]) -> int:
    """Make the consumer; how many messages it will deliver as of now."""
    config = {
        "name": name,
        "filter_subject": pattern,
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": KEEP_SECONDS * SECOND_NS,
        **options,
    }
    try:
        body = {"stream_name": stream, "config": config}
        return (await ask(bus, f"CONSUMER.CREATE.{stream}.{name}.{pattern}", body, _Consumer, IDLE_SECONDS)).num_pending
    except ApiRefused as refused:
        raise StoreUnavailable(f"{stream} cannot be read: {refused}") from refused


async def _ask_for_more(bus: JetStreamBus, stream: str, name: str, inbox: str, size: int) -> int:
    size_bytes = max(BATCH_BYTES, 2 * bus.max_payload)
    request = {"batch": size, "max_bytes": size_bytes, "expires": int(IDLE_SECONDS * SECOND_NS)}
    try:
        await bus.publish(f"{API}.CONSUMER.MSG.NEXT.{stream}.{name}", msgspec.json.encode(request), reply=inbox)
    except BusError as error:
        raise StoreUnavailable(f"{stream} cannot be read on: {error}") from error
    return size


def _given_up(status: Message, stream: str) -> int:
    """How many messages of a request the server will not send, having ended it: it expired, or their bytes were enough.

    A request that was served whole ends with a status too, that says none.
    """
    headers = status.headers or {}
    if headers.get(STATUS) in REQUEST_ENDED and UNSERVED in headers:
        return int(headers[UNSERVED])
    raise StoreUnavailable(f"{stream} cannot be read on: {headers.get(STATUS)} {description(headers)}")


async def _next(receiver: MemoryObjectReceiveStream[Message], stream: str) -> Message:
    with contextlib.suppress(anyio.WouldBlock):
        return receiver.receive_nowait()
    try:
        with anyio.fail_after(2 * IDLE_SECONDS):
            return await receiver.receive()
    except TimeoutError:
        raise StoreUnavailable(f"{stream} delivered nothing for {2 * IDLE_SECONDS:g} s") from None


def _position(message: Message) -> tuple[int, int]:
    """The message's number within the consumer, and how many come after it, from its reply subject.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, or with
    `<domain>.<account>` after `ACK` and a last random token (ADR-15 of NATS).
    """
    tokens = message.reply.split(".")
    short = 9
    return (int(tokens[6]), int(tokens[8])) if len(tokens) == short else (int(tokens[8]), int(tokens[10]))
