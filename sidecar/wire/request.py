"""Decode one message into a call, or into the failure that says what is wrong with it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.model import Call, Failure, Reason, TraceContext
from sidecar.wire import header
from sidecar.wire.reply import Asked
from sidecar.wire.subject import CALL_ID, Address, parse_call

DEFAULT_TIMEOUT_MS = 30_000
MAX_CURSOR = 8_192
MOST_DIGITS = 12  # of a time-out that are read: three years are more than any sidecar gives
VARIANT = "89ab"  # RFC 9562 section 4.1: the two bits above are 10
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

# Of each of these a call has one. A `tracestate` may come in several lines: https://www.w3.org/TR/trace-context/
ONCE = (
    header.IDEMPOTENCY_KEY,
    header.CALL_ID,
    header.TIMEOUT_MS,
    header.DRY_RUN,
    header.CURSOR,
    header.NOT_BEFORE,
    header.FIELDS,
    header.TRACEPARENT,
)

# What a later version will honour. Until then it is refused: a caller who sends it relies on it.
UNSUPPORTED = {
    header.FIELDS: (
        Reason.HEADER_UNSUPPORTED,
        "Fields (projection) cannot be honoured by this version; send the call without it and pick from the answer",
    ),
    header.NOT_BEFORE: (
        Reason.HEADER_UNSUPPORTED,
        "Not-Before belongs to durable calls: publish it on the submit subject, or send the call when it is due",
    ),
}


class Arrival(msgspec.Struct, frozen=True):
    """What a call takes from outside its message: the moment it came (monotonic), the wall clock, and dice."""

    now: float
    wall: float
    dice: bytes  # 34 random bytes: 10 for the call id, 8 for the span id, 16 for the trace id
    max_timeout_ms: int


class _Said(msgspec.Struct, frozen=True):
    """What a caller says of a call in headers."""

    timeout_ms: int = DEFAULT_TIMEOUT_MS
    call_id: str | None = None
    trace: TraceContext | None = None
    cursor: str | None = None
    dry_run: bool = False
    idempotency_key: str | None = None


UNSAID = _Said()


def decode_request(
    prefix: str, subject: str, headers: Mapping[str, str] | None, payload: bytes, arrival: Arrival
) -> Call | Failure:
    """The call that a message asks for."""
    address = parse_call(prefix, subject)
    if isinstance(address, Failure):
        return address
    said = _said(header.by_lower_case(headers), arrival) if headers else UNSAID
    if isinstance(said, Failure):
        return said
    return Call(
        call_id=said.call_id or call_id_at(arrival.wall, arrival.dice),
        access=address.access,
        tenant=address.tenant,
        connection=address.connection,
        provider=address.provider,
        operation=address.operation,
        payload=payload,
        accepted=arrival.now,
        deadline=arrival.now + min(said.timeout_ms, arrival.max_timeout_ms) / 1000,
        trace=said.trace or TraceContext(arrival.dice[18:34].hex(), arrival.dice[10:18].hex()),
        cursor=said.cursor,
        dry_run=said.dry_run,
        idempotency_key=said.idempotency_key,
    )


def asked_of(address: Address | Failure, headers: Mapping[str, str] | None, arrival: Arrival) -> Asked:
    """What is known of a call that was refused for its subject or a header: what of it is right."""
    given = header.by_lower_case(headers)
    call_id = _call_id(given)
    trace = trace_context(given, arrival.dice[10:18], arrival.dice[18:34])
    known = Asked(
        call_id=None if isinstance(call_id, Failure) else call_id,
        trace=None if trace.parent_span_id is None else trace,
    )
    if isinstance(address, Failure):
        return known
    place = {"provider": address.provider, "operation": address.operation, "access": address.access}
    return msgspec.structs.replace(known, **place)


def decode_input(payload: bytes) -> dict[str, Any] | Failure:
    """The operation's input: a JSON object, empty when there is no payload."""
    if not payload:
        return {}
    try:
        value = msgspec.json.decode(payload)
    except RecursionError:  # msgspec raises it for deep nesting; it is not a DecodeError
        return Failure(reason=Reason.MALFORMED, detail="the payload is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Failure(reason=Reason.MALFORMED, detail=f"the payload is not JSON: {error}")
    if not isinstance(value, dict):
        return Failure(
            reason=Reason.MALFORMED,
            detail=f"the payload must be a JSON object, not {_json_type(value)}",
            hint='send {"name": value}',
        )
    return value


def call_id_at(wall: float, dice: bytes) -> str:
    """A UUIDv7 (RFC 9562 section 5.7) of this moment from 10 random bytes."""
    text = ((int(wall * 1000) & (1 << 48) - 1).to_bytes(6) + dice[:10]).hex()
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{VARIANT[dice[2] >> 4 & 3]}{text[17:20]}-{text[20:]}"


def trace_context(given: Mapping[str, str], span: bytes, trace: bytes) -> TraceContext:
    """The caller's trace continued by a span of ours; a new trace where none (or an unusable one) was given."""
    span_id = span.hex()
    match = TRACEPARENT.fullmatch(given.get("traceparent", ""))
    if match is None or not _is_usable(match):
        return TraceContext(trace_id=trace.hex(), span_id=span_id)
    return TraceContext(match[2], span_id, match[3], match[4], given.get("tracestate"))


def _is_usable(match: re.Match[str]) -> bool:
    """Version ff and ids of zeros are forbidden; only a later version than 00 may have more fields."""
    version, trace_id, span_id, _, more = match.groups()
    return version != "ff" and bool(int(trace_id, 16) and int(span_id, 16)) and not (version == "00" and more)


def encode_cursor(value: str) -> str:
    """A provider's cursor as an opaque header-safe word."""
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def decode_cursor(word: str) -> str | None:
    """The provider's cursor, or None when `encode_cursor` never gave this word."""
    try:
        value = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return value if value and encode_cursor(value) == word else None


def _said(given: Mapping[str, str], arrival: Arrival) -> _Said | Failure:
    """What the headers say, by lower-case name; or what is wrong with the first that is."""
    unclear = given.get(header.UNCLEAR, "").split()
    if not unclear and header.UNCLEAR in given:
        detail = "the block of headers cannot be read: it is the line `NATS/1.0`, then lines of `Name: value`"
        return Failure(reason=Reason.MALFORMED, detail=detail)
    twice = next((name for name in ONCE if name.lower() in unclear), None)
    if twice is not None:
        detail = f"{twice} came more than once, with different values; send the one that is meant"
        return Failure(reason=Reason.MALFORMED, detail=detail)
    refused = next((name for name in UNSUPPORTED if name.lower() in given), None)
    if refused is not None:
        reason, detail = UNSUPPORTED[refused]
        return Failure(reason=reason, detail=detail)
    timeout_ms = _timeout_ms(given)
    if isinstance(timeout_ms, Failure):
        return timeout_ms
    call_id = _call_id(given)
    if isinstance(call_id, Failure):
        return call_id
    dry_run = _flag(given, header.DRY_RUN)
    if isinstance(dry_run, Failure):
        return dry_run
    cursor = _cursor(given)
    if isinstance(cursor, Failure):
        return cursor
    key = _idempotency_key(given)
    if isinstance(key, Failure):
        return key
    trace = trace_context(given, arrival.dice[10:18], arrival.dice[18:34])
    return _Said(timeout_ms, call_id, trace, cursor, dry_run, key)


def _timeout_ms(given: Mapping[str, str]) -> int | Failure:
    text = given.get(header.TIMEOUT_MS.lower())
    if text is None:
        return DEFAULT_TIMEOUT_MS
    digits = text.lstrip("0")
    if not digits.isascii() or not digits.isdigit():
        return Failure(reason=Reason.MALFORMED, detail=f"Timeout-Ms must be a whole number above 0, not {text[:40]!r}")
    return int(digits[:MOST_DIGITS])


def _call_id(given: Mapping[str, str]) -> str | Failure | None:
    text = given.get(header.CALL_ID.lower())
    if text is None:
        return None
    if not CALL_ID.fullmatch(text):
        return Failure(reason=Reason.MALFORMED, detail=f"Call-Id must be a UUID, not {text[:60]!r}")
    return text.lower()


def _flag(given: Mapping[str, str], name: str) -> bool | Failure:
    text = given.get(name.lower(), "false").lower()
    if text not in {"true", "false"}:
        return Failure(reason=Reason.MALFORMED, detail=f"{name} must be true or false, not {text[:40]!r}")
    return text == "true"


def _cursor(given: Mapping[str, str]) -> str | Failure | None:
    word = given.get(header.CURSOR.lower())
    if word is None:
        return None
    value = decode_cursor(word) if len(word) <= MAX_CURSOR else None
    if value is None:
        return Failure(reason=Reason.MALFORMED, detail="Cursor must be the Next-Cursor of an earlier reply, unchanged")
    return value


def _idempotency_key(given: Mapping[str, str]) -> str | Failure | None:
    key = given.get(header.IDEMPOTENCY_KEY.lower())
    if key is None or IDEMPOTENCY_KEY.fullmatch(key):
        return key
    return Failure(
        reason=Reason.MALFORMED,
        detail=f"Idempotency-Key must be 1 to 255 visible ASCII characters, not {key[:40]!r}",
        hint="make it of the run, its step, the operation and the input, such as a SHA-256 of them in hex",
    )


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
