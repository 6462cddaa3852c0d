"""A trace whose last events are stored after their call was answered, as on a machine that is busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import anyio

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_reader import read_trace
from sidecar.model import Access
from sidecar.ports import Message
from sidecar.wire.event import CallEvent, Event, Finished, Started, decoder, encoder, event_name, timestamp
from sidecar.wire.subject import trace_subject

CONSUMER = "$JS.API.CONSUMER.CREATE."


def call_events(call_id: str, age: float = 0.0, **changed: Any) -> tuple[Started, Finished]:
    """A call of `age` seconds ago, from its start to its end."""
    about: dict[str, Any] = {
        "time": timestamp(time.time() - age),
        "call_id": call_id,
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
        "tenant": "default",
        "connection": "alice",
        "provider": "told",
        "operation": "items.create",
        "elapsed_ms": 1.0,
        **changed,
    }
    first = Started(
        **about,
        access=Access.WRITE,
        timeout_ms=1000,
        input_bytes=2,
        input_sha256="ab",
        catalog_hash="c",
        sidecar="s",
    )
    return first, Finished(**about, outcome="ok", attempts=1)


async def store(bus: NatsBus, *events: CallEvent) -> None:
    """Publish events as a sidecar does; they are in the stream when it returns."""
    for event in events:
        subject = trace_subject("sidecar", event.tenant, event.connection, event.provider, event_name(event))
        await bus.request(subject, encoder.encode(event), timeout=30)  # JetStream answers when it is stored


async def all_told(bus: NatsBus, whole: Callable[[Sequence[Event]], bool], seconds: float = 10) -> list[Event]:
    """The trace, read again until it is whole; after so many seconds as it is."""
    enough = anyio.current_time() + seconds
    while True:
        events: list[Event] = [decoder.decode(entry.payload) async for entry in read_trace(bus, "sidecar.trace.>")]
        if whole(events) or anyio.current_time() >= enough:
            return events
        await anyio.sleep(0.05)


class LateBus:
    """The bus, but for `event`: it is stored when the trace has been read `reads` times."""

    def __init__(self, bus: NatsBus, event: CallEvent, reads: int) -> None:
        self._bus = bus
        self._event = event
        self._left = reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def request(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float
    ) -> Message:
        if subject.startswith(CONSUMER):
            if self._left == 0:
                await store(self._bus, self._event)
            self._left -= 1
        return await self._bus.request(subject, payload, headers=headers, timeout=timeout)


def late(bus: NatsBus, event: CallEvent, *, reads: int) -> NatsBus:
    return cast("NatsBus", LateBus(bus, event, reads))
