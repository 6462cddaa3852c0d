"""The headers of requests, replies and failures as schemas. Their names are compared without case."""

from __future__ import annotations

from typing import Any

from sidecar.wire import header
from sidecar.wire.request import DEFAULT_TIMEOUT_MS, MAX_CURSOR, UNSUPPORTED

NUMBER = "^[0-9]+$"
TRACEPARENT = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"


def _text(description: str, **rules: object) -> dict[str, Any]:
    return {"type": "string", "description": description, **rules}


_COMMON = {
    header.CALL_ID: _text("The call's id: look it up with `sidecar trace show`."),
    header.TRACEPARENT: _text("The call's span (W3C trace context).", pattern=TRACEPARENT),
    header.ATTEMPTS: _text("HTTP exchanges made; left out when there were none.", pattern=NUMBER),
    header.CATALOG_HASH: _text("Digest of the catalogue that served the call."),
    header.IDEMPOTENT_REPLAYED: _text(
        "There where an earlier call with this `Idempotency-Key` had this answer; nothing was sent. The payload is "
        "that call's to the byte (a failure's `call_id` too), `Call-Id` and `traceparent` are this call's.",
        const="true",
    ),
}

_REQUEST = {
    header.CALL_ID: _text(
        "A UUID of the caller's for this call; without it the sidecar makes one. The call is cancelled by it, and no "
        "other call of the connection in flight may have it.",
        format="uuid",
    ),
    header.TIMEOUT_MS: _text(
        f"Milliseconds until the reply is due, {DEFAULT_TIMEOUT_MS} when left out. The sidecar has an upper bound; "
        "the caller's own time-out should be a second longer.",
        pattern=NUMBER,
    ),
    header.DRY_RUN: _text(
        "`true`: check everything, show the request, send nothing.", pattern="^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"
    ),
    header.CURSOR: _text("The `Next-Cursor` of an earlier reply, unchanged: the next page.", maxLength=MAX_CURSOR),
    header.IDEMPOTENCY_KEY: _text(
        "Whatever is sent with this key for this connection and operation within 24 hours is done once, and answered "
        "alike. Make it of the run, its step, the operation and the input; a key used for another input is refused.",
        pattern="^[!-~]{1,255}$",
    ),
    header.TRACEPARENT: _text("The caller's span (W3C trace context); one that cannot be used starts a new trace."),
    header.TRACESTATE: _text("The caller's trace state (W3C trace context); accepted, not sent on."),
    **{name: _text(f"Refused by this version: {detail}.") for name, (_, detail) in UNSUPPORTED.items()},
}

_REPLY = {
    **_COMMON,
    header.PROVIDER_STATUS: _text("HTTP status of the provider's answer.", pattern=NUMBER),
    header.NEXT_CURSOR: _text("There is a next page: send this as `Cursor` with the same input."),
    header.CONTENT_TYPE: _text("The payload's media type, where it is not application/json."),
}

_FAILURE = {
    header.ERROR_CODE: _text("The failure's `status`, HTTP-like.", pattern=NUMBER),
    header.ERROR: _text("`REASON: sentence`, at most 512 characters."),
    **_COMMON,
}

_SUBMIT = {
    **{name: described for name, described in _REQUEST.items() if name not in (header.DRY_RUN, header.NOT_BEFORE)},
    header.NOT_BEFORE: _text(
        "The moment before which it is not done (RFC 3339, with its offset), at most 90 days ahead.", format="date-time"
    ),
    header.TIMEOUT_MS: _text(
        f"Milliseconds of one run, {DEFAULT_TIMEOUT_MS} when left out; the time in the queue does not count.",
        pattern=NUMBER,
    ),
}

HEADERS: dict[str, dict[str, Any]] = {
    "RequestHeaders": {"type": "object", "properties": _REQUEST},
    "SubmitHeaders": {"type": "object", "properties": _SUBMIT},
    "ReplyHeaders": {"type": "object", "properties": _REPLY},
    "FailureHeaders": {
        "type": "object",
        "properties": _FAILURE,
        "required": [header.ERROR_CODE, header.ERROR],
    },
}
