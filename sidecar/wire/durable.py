"""Durable calls on the wire: what is submitted, what is answered, what waits, and the word that stands in the queue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from sidecar.model import Call, Failure, Reason
from sidecar.wire import header
from sidecar.wire.request import Arrival, decode_request
from sidecar.wire.subject import CALL_ID, ResultAddress, call_subject, encode_token, parse_submit

MOST_AHEAD = 90 * 24 * 3600  # seconds
# Python takes weeks, commas and missing parts, too. https://www.rfc-editor.org/rfc/rfc3339#section-5.6
RFC_3339 = re.compile(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE)


class SubmitReply(msgspec.Struct, frozen=True, kw_only=True):
    """A durable call was taken: it will run, whatever becomes of this sidecar. Its result is published, and kept a day
    for `result.get`.
    """

    call_id: str
    result_subject: str
    due: str | None = None


class ResultRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose result."""

    call_id: str


class QueueRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a tenant's durable calls: to list them, or to show or drive again one of them."""

    act: Literal["list", "show", "redrive"] = "list"
    call_id: str | None = None
    stage: Literal["waiting", "done", "dead"] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


class QueuedCall(msgspec.Struct, frozen=True, kw_only=True):
    """How a durable call stands; never what was asked or answered."""

    call_id: str
    connection: str
    provider: str
    operation: str
    stage: str
    submitted: str
    due: str | None = None
    tries: int = 0
    waits: int = 0
    why: str | None = None
    side_effect: str | None = None
    attempts: int = 0


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The durable calls of a tenant, the newest first: how many there are, and those that were looked at."""

    total: int
    calls: tuple[QueuedCall, ...]


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """One durable call as it came, its operation not looked up yet; `due` in Unix seconds."""

    call: Call
    timeout_ms: int
    due: float | None


class QueueWord(msgspec.Struct, frozen=True):
    """What stands in the queue: which call is to be looked at. It holds nothing of what was asked."""

    connection: str
    call_id: str


def result_subject(prefix: str, address: ResultAddress) -> str:
    tenant, connection = encode_token(address.tenant), encode_token(address.connection)
    return f"{prefix}.result.{tenant}.{connection}.{address.call_id}"


def decode_submit(
    prefix: str, subject: str, headers: Mapping[str, str] | None, payload: bytes, arrival: Arrival
) -> Submitted | Failure:
    """The durable call that a message asks for."""
    address = parse_submit(prefix, subject)
    if isinstance(address, Failure):
        return address
    given = header.by_lower_case(headers)
    due = _due(given.pop(header.NOT_BEFORE.lower(), None), arrival.wall)
    if isinstance(due, Failure):
        return due
    call = decode_request(prefix, call_subject(prefix, address), given, payload, arrival)
    if isinstance(call, Failure):
        return call
    if call.dry_run:
        detail = "Dry-Run belongs to read and write: what is submitted is to be done"
        return Failure(reason=Reason.HEADER_UNSUPPORTED, detail=detail)
    return Submitted(call=call, timeout_ms=round((call.deadline - call.accepted) * 1000), due=due)


def decode_result_request(payload: bytes) -> str | Failure:
    """The id of the call whose result is asked for."""
    try:
        asked = msgspec.json.decode(payload, type=ResultRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Failure(reason=Reason.MALFORMED, detail=f"the payload is not {{call_id}}: {error}")
    if not CALL_ID.fullmatch(asked.call_id):
        return Failure(reason=Reason.MALFORMED, detail="call_id must be a UUID, as `submit` answered it")
    return asked.call_id.lower()


def _due(text: str | None, wall: float) -> float | Failure | None:
    if text is None:
        return None
    try:
        due = datetime.fromisoformat(text.upper()).timestamp() if RFC_3339.fullmatch(text) else None
    except ValueError:
        due = None
    if due is None:
        detail = f"Not-Before must be a moment of RFC 3339, such as 2026-11-21T20:00:00Z, not {text[:40]!r}"
        return Failure(reason=Reason.MALFORMED, detail=detail)
    if due - wall > MOST_AHEAD:
        return Failure(reason=Reason.MALFORMED, detail="Not-Before is more than 90 days ahead, the longest there is")
    return due if due > wall else None
