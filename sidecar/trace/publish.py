"""Publish events on NATS and count them. A trace never blocks or fails a call: what is lost is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from sidecar.model import Access
from sidecar.ports import Bus, BusError
from sidecar.trace.proof import Proof
from sidecar.wire.event import Admin, Attempt, Auth, Event, Finished, Started, Wait, encoder, event_name
from sidecar.wire.subject import trace_subject


class Counters(Protocol):
    """What is counted of events."""

    def finished(self, provider: str, operation: str, outcome: str, seconds: float) -> None: ...

    def replayed(self, provider: str) -> None:
        """Answered from the record of an idempotency key; it is counted as finished, too."""

    def attempted(self, provider: str, result: str, seconds: float) -> None: ...

    def waited(self, provider: str, why: str, seconds: float) -> None: ...

    def administered(self, verb: str, outcome: str) -> None: ...

    def refreshed(self, provider: str, outcome: str) -> None: ...

    def trace_dropped(self, number: int = 1) -> None: ...


def _is_promised(event: Event) -> bool:
    """Whether a call waits until the event has left this process."""
    return type(event) is Started and event.access is Access.WRITE


def _why_waited(event: Wait) -> str:
    """For a bucket, before another attempt (dice were thrown for how long), for its turn, or put off for later: a turn
    is told of when it has come.
    """
    if event.bucket:
        return "quota"
    if event.jitter is not None:
        return "retry"
    return "turn" if event.seconds * 1000 <= event.elapsed_ms + 1.0 else "later"


class TracePublisher:
    """Core publishes into a subject that the trace stream captures: 1 us each. After `prove` those count as lost, too,
    that JetStream does not say to have.
    """

    def __init__(self, bus: Bus, prefix: str, counters: Counters) -> None:
        self._bus = bus
        self._prefix = prefix
        self._counters = counters
        self._proof: Proof | None = None
        self._behind: list[Callable[[], None]] = []
        self._count: dict[type[Event], Callable[[Any], None]] = {
            Attempt: self._attempted,
            Wait: self._waited,
            Finished: self._finished,
            Admin: self._administered,
            Auth: self._refreshed,
        }

    async def prove(self, inbox: str) -> None:
        """Listen to JetStream below this inbox, which is nobody else's."""
        proof = Proof(self._bus, inbox, self._counters.trace_dropped)
        await proof.listen()
        self._proof = proof

    def emit(self, event: Event) -> bool:
        """Count it and hand it to the bus; false when it is lost."""
        count = self._count.get(type(event))
        if count is not None:
            count(event)
        proof = self._proof
        try:
            subject = trace_subject(self._prefix, event.tenant, event.connection, event.provider, event_name(event))
            later = not _is_promised(event)
            reply = proof.reply if later and proof is not None else ""
            self._bus.publish(subject, encoder.encode(event), reply=reply, later=later)
        except (BusError, ValueError, TypeError):  # not taken, or words that cannot be written
            self._counters.trace_dropped()
            return False
        if proof is not None:
            proof.count(asked=later)
        return True

    def later(self, tell: Callable[[], None]) -> None:
        if not self._behind:
            asyncio.get_running_loop().call_soon(self._tell)
        self._behind.append(tell)

    def _tell(self) -> None:
        behind, self._behind = self._behind, []
        for tell in behind:
            tell()

    async def handed_over(self) -> bool:
        try:
            await self._bus.handed_over()
        except BusError:
            return False
        return self._bus.connected

    def _attempted(self, event: Attempt) -> None:
        result = str(event.status or event.reason or "none")
        self._counters.attempted(event.provider, result, event.duration_ms / 1000)

    def _waited(self, event: Wait) -> None:
        self._counters.waited(event.provider, _why_waited(event), event.seconds)

    def _finished(self, event: Finished) -> None:
        self._counters.finished(event.provider, event.operation, event.outcome, event.elapsed_ms / 1000)
        if event.replayed is not None:
            self._counters.replayed(event.provider)

    def _administered(self, event: Admin) -> None:
        self._counters.administered(event.verb, event.outcome)

    def _refreshed(self, event: Auth) -> None:
        self._counters.refreshed(event.provider, event.outcome)
