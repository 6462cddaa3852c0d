"""Reads what a stream holds now, from a moment or the last of each subject, through a consumer of our own.

The filter is part of the API subject, so that a permission can confine a reader to a tenant.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec

from sidecar.adapters.nats_jetstream import API, SECOND_NS, STATUS, Answer, ApiRefused, JetStreamBus, ask, description
from sidecar.adapters.nats_streams import TRACE
from sidecar.ports import Bus, BusError, Message, StoreUnavailable

BATCH = 2000
BATCH_BYTES = 16 * 1024 * 1024
IDLE_SECONDS = 5.0
KEEP_SECONDS = 30
REQUEST_EXPIRED = "408"
REQUEST_ENDED = "409"


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
    if not left:
        return
    sender, receiver = anyio.create_memory_object_stream[Message](2 * BATCH)
    subscription = await bus.subscribe(inbox, sender.send_nowait)
    try:
        seen = 0
        while left > 0:
            async for message in _batch(bus, stream, name, min(left, BATCH), inbox, receiver):
                position, pending = _position(message)
                if position != seen + 1:
                    raise StoreUnavailable(
                        f"{position - seen - 1} messages of {stream} were lost on the way; try again"
                    )
                seen, left = position, min(left - 1, pending)
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


async def _batch(
    bus: Bus, stream: str, name: str, size: int, inbox: str, receiver: anyio.abc.ObjectReceiveStream[Message]
) -> AsyncIterator[Message]:
    """At most `size` messages: fewer when the server ends the request early, for their bytes or its patience."""
    request = {
        "batch": size,
        "max_bytes": max(BATCH_BYTES, 2 * bus.max_payload),
        "expires": int(IDLE_SECONDS * SECOND_NS),
    }
    await bus.publish(f"{API}.CONSUMER.MSG.NEXT.{stream}.{name}", msgspec.json.encode(request), reply=inbox)
    for _ in range(size):
        message = await _next(receiver, stream)
        if message.subject != inbox:  # a status comes on the inbox, a message on its own subject
            yield message
            continue
        headers = message.headers or {}
        if headers.get(STATUS) in (REQUEST_EXPIRED, REQUEST_ENDED):
            return
        raise StoreUnavailable(f"{stream} cannot be read on: {headers.get(STATUS)} {description(headers)}")


async def _next(receiver: anyio.abc.ObjectReceiveStream[Message], stream: str) -> Message:
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
