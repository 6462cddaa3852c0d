"""Reads what a stream holds now, from a moment or the last of each subject, through a consumer of our own.

The filter is part of the API subject, so that a permission can confine a reader to a tenant. The consumer pushes into
our own inbox and goes when nobody listens there: to pull from it, to look at it or to delete it would need rights that
no permission can confine, as their subjects hold a consumer's name only.
API subjects used: `CONSUMER.CREATE.<stream>.<name>.<filter>`, `$JS.FC.<stream>.<name>.<id>`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream

from sidecar.adapters.nats_jetstream import (
    SECOND_NS,
    STATUS,
    Answer,
    ApiRefused,
    JetStreamBus,
    ask,
    delivery,
    description,
)
from sidecar.adapters.nats_streams import TRACE
from sidecar.ports import Bus, BusError, Message, StoreUnavailable

HEARTBEAT_SECONDS = 2.0
SILENCE_SECONDS = 10.0
KEEP_SECONDS = 2.0
CREATE_SECONDS = 5.0
HEALTHY = "100"  # a heartbeat, or a question whether we keep pace
STALLED = "Nats-Consumer-Stalled"


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
    sender, receiver = anyio.create_memory_object_stream[Message](math.inf)  # flow control bounds it, at 32 MiB
    subscription = await bus.subscribe(inbox, sender.send_nowait)
    try:
        left, seen = await push_consumer(bus, stream, pattern, inbox, options), 0
        while left > 0:
            message = await _next(receiver, stream)
            if message.subject == inbox:  # a status; messages come on their own subjects
                await keep_going(bus, message, stream)
                continue
            delivered = delivery(message)
            if delivered.number != seen + 1:
                lost = delivered.number - seen - 1
                raise StoreUnavailable(f"{lost} messages of {stream} were lost on the way; try again")
            seen, left = delivered.number, min(left - 1, delivered.pending)
            yield message
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(BusError):
            await subscription.drain()
            receiver.close()
            sender.close()


async def push_consumer(bus: Bus, stream: str, pattern: str, inbox: str, options: dict[str, Any]) -> int:
    """Make the consumer; how many messages it will deliver as of now."""
    name = inbox.rpartition(".")[2]
    config = {
        "name": name,
        "filter_subject": pattern,
        "deliver_subject": inbox,
        "ack_policy": "none",
        "flow_control": True,
        "idle_heartbeat": round(HEARTBEAT_SECONDS * SECOND_NS),
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": round(KEEP_SECONDS * SECOND_NS),
        **options,
    }
    try:
        body = {"stream_name": stream, "config": config}
        verb = f"CONSUMER.CREATE.{stream}.{name}.{pattern}"
        return (await ask(bus, verb, body, _Consumer, CREATE_SECONDS)).num_pending
    except ApiRefused as refused:
        raise StoreUnavailable(f"{stream} cannot be read: {refused}") from refused


async def keep_going(bus: Bus, status: Message, stream: str) -> None:
    """Answer what the server asks about our pace: only then it sends on. Raises StoreUnavailable at its other words."""
    headers = status.headers or {}
    if headers.get(STATUS) != HEALTHY:
        raise StoreUnavailable(f"{stream} cannot be read on: {headers.get(STATUS)} {description(headers)}")
    asked = status.reply or headers.get(STALLED)
    try:
        if asked:
            bus.publish(asked, b"")
    except BusError as error:
        raise StoreUnavailable(f"{stream} cannot be read on: {error}") from error


async def _next(receiver: MemoryObjectReceiveStream[Message], stream: str) -> Message:
    with contextlib.suppress(anyio.WouldBlock):
        return receiver.receive_nowait()
    try:
        with anyio.fail_after(SILENCE_SECONDS):
            return await receiver.receive()
    except TimeoutError:
        raise StoreUnavailable(f"{stream} delivered nothing for {SILENCE_SECONDS:g} s") from None
