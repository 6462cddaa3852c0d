"""Trace events: what happened to a call, published on `sidecar.trace.<tenant>.<connection>.<provider>.<event>`.

HTTP attributes carry OpenTelemetry's names (https://opentelemetry.io/docs/specs/semconv/http/http-spans/). Events hold
no secrets and no success bodies; of a failure the first 4 KiB of the answer, redacted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import msgspec

from sidecar.model import Access, Code, Reason, SideEffect


class _Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """What every event says, in this order. `time` is RFC 3339, `elapsed_ms` counts from when the message came."""

    time: str
    call_id: str
    trace_id: str
    span_id: str
    tenant: str
    connection: str
    provider: str
    operation: str
    elapsed_ms: float


class Started(_Event, frozen=True, kw_only=True, tag_field="event", tag="started"):
    """A call was accepted and is about to run. Of a write it is in the kernel before the request's first byte."""

    access: Access
    timeout_ms: int
    input_bytes: int
    input_sha256: str
    catalog_hash: str
    sidecar: str
    parent_span_id: str | None = None
    cursor: str | None = None


class Attempt(_Event, frozen=True, kw_only=True, tag_field="event", tag="attempt"):
    """One HTTP exchange: what was asked, what came back, and what was decided."""

    attempt: int
    method: str = msgspec.field(name="http.request.method")
    url: str = msgspec.field(name="url.full")
    request_headers: dict[str, str] = {}
    request_bytes: int = msgspec.field(name="http.request.body.size", default=0)
    request_sha256: str = ""
    status: int | None = msgspec.field(name="http.response.status_code", default=None)
    response_headers: dict[str, str] = {}
    response_bytes: int | None = msgspec.field(name="http.response.body.size", default=None)
    response_sha256: str | None = None
    provider_request_id: str | None = None
    duration_ms: float
    first_byte_ms: float | None = None
    reused: bool | None = None
    reason: Reason | None = msgspec.field(name="error.type", default=None)
    side_effect: SideEffect | None = None
    said: str | None = None
    decided: str = ""
    token_valid_s: float | None = None


class Wait(_Event, frozen=True, kw_only=True, tag_field="event", tag="wait"):
    """The call waits before its next attempt: for a bucket, or after a failed attempt (`jitter` as drawn)."""

    seconds: float
    why: str
    bucket: str | None = None
    jitter: float | None = None


class Finished(_Event, frozen=True, kw_only=True, tag_field="event", tag="finished"):
    """The call ended. `why` holds the decisions in plain words; `outcome` is `ok` or the failure's reason. `replayed`:
    it is the answer to this earlier call with the same idempotency key, and nothing was sent.
    """

    outcome: str
    code: Code | None = None
    side_effect: SideEffect | None = None
    status: int | None = msgspec.field(name="http.response.status_code", default=None)
    provider_code: str | None = None
    provider_request_id: str | None = None
    attempts: int = 0
    output_bytes: int | None = None
    detail: str | None = None
    hint: str | None = None
    retry_after_ms: int | None = None
    dry_run: bool = False
    replayed: str | None = None
    why: tuple[str, ...] = ()


class Admin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag="admin"):
    """An operator changed or asked something about a connection."""

    time: str
    tenant: str
    connection: str
    provider: str
    verb: str
    outcome: str
    detail: str | None = None


class Auth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag="auth"):
    """A connection's tokens were to be renewed. `valid_s`: how many seconds the new one lives, where that is known."""

    time: str
    tenant: str
    connection: str
    provider: str
    outcome: Literal["renewed", "failed", "unanswered", "reauth_required", "lost", "late"]
    valid_s: float | None = None
    detail: str | None = None


CallEvent = Started | Attempt | Wait | Finished
Event = Started | Attempt | Wait | Finished | Admin | Auth

encoder = msgspec.json.Encoder()
decoder = msgspec.json.Decoder(Event)


_NAMES = {kind: str(kind.__struct_config__.tag) for kind in (Started, Attempt, Wait, Finished, Admin, Auth)}


def timestamp(wall: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the microsecond."""
    seconds = int(wall)
    micros = str(int((wall - seconds) * 1e6)).zfill(6)
    return f"{_to_the_second(seconds)}.{micros}Z"


@lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def event_name(event: Event) -> str:
    """The last token of the event's subject."""
    return _NAMES[type(event)]
