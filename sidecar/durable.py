"""What is kept of a durable call, as frozen values: what was asked, how it stands, and what it ended in."""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import Literal

import msgspec

from sidecar.kept import PACKED_ABOVE, KeptFailure, KeptSuccess
from sidecar.model import Access, Call, TraceContext

FORMAT: Literal[1] = 1


class Stage(StrEnum):
    """How a durable call stands. What is dead failed for good and can be driven again; a result is there for both."""

    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"


class Place(msgspec.Struct, frozen=True):
    """Which durable call."""

    tenant: str
    connection: str
    call_id: str


class DurableCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One durable call. Moments are Unix seconds. `due`: it may not run before. `tries` are runs that failed and can be
    repeated, `waits` those that found no room in a quota; both since it was submitted or driven again for the
    `redriven`th time. `why`: what it waits for since its last run.
    """

    provider: str
    operation: str
    access: Access
    input: bytes
    packed: bool = False
    timeout_ms: int
    trace: TraceContext
    submitted: float
    idempotency_key: str | None = None
    cursor: str | None = None
    due: float | None = None
    stage: Stage = Stage.WAITING
    tries: int = 0
    waits: int = 0
    redriven: int = 0
    why: str | None = None
    ended: KeptSuccess | KeptFailure | None = None
    attempts: int = 0
    format: Literal[1] = FORMAT

    def __repr__(self) -> str:
        return f"DurableCall({self.provider}.{self.operation}, {self.stage})"  # never what was asked or answered

    @property
    def payload(self) -> bytes:
        return zlib.decompress(self.input) if self.packed else self.input

    @property
    def asked(self) -> tuple[object, ...]:
        """What makes two submissions the same."""
        return self.provider, self.operation, self.payload, self.idempotency_key, self.cursor


def durable(call: Call, *, timeout_ms: int, submitted: float, due: float | None) -> DurableCall:
    """What is kept of a call that was submitted."""
    packed = len(call.payload) > PACKED_ABOVE
    return DurableCall(
        provider=call.provider,
        operation=call.operation,
        access=call.access,
        input=zlib.compress(call.payload, level=1) if packed else call.payload,
        packed=packed,
        timeout_ms=timeout_ms,
        trace=call.trace,
        submitted=submitted,
        idempotency_key=call.idempotency_key,
        cursor=call.cursor,
        due=due,
    )


def to_run(place: Place, kept: DurableCall, now: float) -> Call:
    """The call to run at this moment of the monotonic clock, with all of its time.

    It has an idempotency key in any case, so that it is done once however often a sidecar begins it: its own id where
    its caller gave none. One that is driven again after a failure that changed nothing gets a new one of these.
    """
    own = f"{place.call_id}.{kept.redriven}" if kept.redriven else place.call_id
    return Call(
        call_id=place.call_id,
        access=kept.access,
        tenant=place.tenant,
        connection=place.connection,
        provider=kept.provider,
        operation=kept.operation,
        payload=kept.payload,
        accepted=now,
        deadline=now + kept.timeout_ms / 1000,
        trace=kept.trace,
        cursor=kept.cursor,
        idempotency_key=kept.idempotency_key or own,
        durable=own,
    )
