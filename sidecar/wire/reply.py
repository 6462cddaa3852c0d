"""Encode what a call ended in as one reply: payload and headers."""

from __future__ import annotations

import msgspec

from sidecar.model import (
    MEANINGS,
    Access,
    Code,
    Failure,
    Outcome,
    Problem,
    Reason,
    SideEffect,
    Success,
    TraceContext,
    retryable,
)
from sidecar.wire import header

FAILURE_TYPE = "urn:connector-sidecar:failure:"
MOST_HEADERS = 16 * 1024  # bytes; a cursor has 8 KiB, a content type 2, and the rest is short
SHORT = 200  # characters of a text of a failure that would not fit; fewer where the server takes very little

replace = msgspec.structs.replace


class FailureReply(msgspec.Struct, frozen=True, kw_only=True):
    """A failure on the wire: RFC 9457 members plus ours, one shape for every provider.

    `retryable`: this same request may be sent again unchanged. `side_effect`: what is known about the provider's side.
    `errors`: each problem of the input by JSON pointer.
    """

    type: str
    title: str
    status: int
    detail: str
    code: Code
    reason: Reason
    retryable: bool
    side_effect: SideEffect
    retry_after_ms: int | None = None
    attempts: int = 0
    provider: str | None = None
    operation: str | None = None
    provider_status: int | None = None
    provider_code: str | None = None
    provider_request_id: str | None = None
    bucket: str | None = None
    hint: str | None = None
    errors: tuple[Problem, ...] = ()
    call_id: str | None = None


class ShownRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request that was not sent; a body that is not text is shown in base64."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None = None
    body_base64: str | None = None


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to `Dry-Run: true`: what would be sent, and in words what the credential adds to it."""

    dry_run: bool = True
    request: ShownRequest
    credential: str


class CancelReply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call that was to be cancelled: `cancelled`, or it ended otherwise before it could be.

    `outcome` is `ok`, or the failure's reason, as the call's own reply tells it.
    """

    call_id: str
    cancelled: bool
    outcome: str
    side_effect: SideEffect


class Reply(msgspec.Struct, frozen=True):
    """One message ready to be published."""

    payload: bytes
    headers: dict[str, str]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a reply says about the call it answers; as much as could be decoded. `replayed`: the id of the earlier call
    whose answer it is; `again`: its idempotency key allows to send it again, whatever came of it.
    """

    call_id: str | None = None
    provider: str | None = None
    operation: str | None = None
    access: Access = Access.WRITE
    trace: TraceContext | None = None
    catalog_hash: str | None = None
    attempts: int = 0
    replayed: str | None = None
    again: bool = False


def traceparent(trace: TraceContext) -> str:
    return f"00-{trace.trace_id}-{trace.span_id}-{trace.flags}"


def encode_reply(asked: Asked, outcome: Outcome, max_payload: int) -> Reply:
    """The one reply of a call. What does not fit `max_payload` becomes a failure that says so."""
    if isinstance(outcome, Failure):
        return encode_failure(asked, outcome, max_payload)
    headers = _common(asked)
    if outcome.provider_status is not None:
        headers[header.PROVIDER_STATUS] = str(outcome.provider_status)
    if outcome.next_cursor is not None:
        headers[header.NEXT_CURSOR] = outcome.next_cursor
    if outcome.content_type != "application/json":
        headers[header.CONTENT_TYPE] = header.one_line(outcome.content_type)
    reply = Reply(outcome.body, headers)
    if not _fits(reply, max_payload):
        return encode_failure(asked, too_large(asked.access, outcome, asked.attempts, max_payload), max_payload)
    return reply


def encode_failure(asked: Asked, failure: Failure, max_payload: int) -> Reply:
    """The reply of a failure. It is never too large: what explains least is left out before the reply would be."""
    reply, most = _failure(asked, failure), SHORT
    while most and not _fits(reply, max_payload):
        operation = asked.operation and asked.operation[:most]
        reply = _failure(replace(asked, operation=operation), _shortened(failure, most))
        most //= 2
    return reply


def failure_reply(asked: Asked, failure: Failure) -> FailureReply:
    meaning = MEANINGS[failure.reason]
    return FailureReply(
        type=f"{FAILURE_TYPE}{failure.reason}",
        title=meaning.title,
        status=meaning.status,
        detail=failure.detail,
        code=meaning.code,
        reason=failure.reason,
        retryable=retryable(failure, asked.access, again=asked.again),
        side_effect=failure.side_effect,
        retry_after_ms=None if failure.retry_after is None else max(0, round(failure.retry_after * 1000)),
        attempts=asked.attempts,
        provider=asked.provider,
        operation=asked.operation,
        provider_status=failure.provider_status,
        provider_code=failure.provider_code,
        provider_request_id=failure.provider_request_id,
        bucket=failure.bucket,
        hint=failure.hint,
        errors=failure.problems,
        call_id=asked.replayed or asked.call_id,
    )


def cancel_reply(asked: Asked, outcome: Outcome) -> CancelReply:
    """What a canceller is told of the call, from how it ended."""
    done = asked.access is Access.WRITE and asked.attempts > 0
    if isinstance(outcome, Failure):
        word, side_effect = str(outcome.reason), outcome.side_effect
    else:
        word, side_effect = "ok", SideEffect.DONE if done else SideEffect.NONE
    cancelled = word == Reason.CANCELLED_BY_CALLER
    return CancelReply(call_id=asked.call_id or "", cancelled=cancelled, outcome=word, side_effect=side_effect)


def too_large(access: Access, success: Success, attempts: int, most: int) -> Failure:
    """The failure in place of an output that does not fit one message."""
    done = access is Access.WRITE and attempts > 0
    size = f"{len(success.body):,} bytes, with the reply's headers more than the {most:,}"
    return Failure(
        reason=Reason.RESPONSE_TOO_LARGE,
        detail=f"the output has {size} that one NATS message here holds",
        side_effect=SideEffect.DONE if done else SideEffect.NONE,
        hint="ask for fewer or smaller items (a limit, a page, fewer fields), or raise max_payload of the NATS server",
        provider_status=success.provider_status,
    )


def _failure(asked: Asked, failure: Failure) -> Reply:
    body = failure_reply(asked, failure)
    headers = _common(asked)
    headers[header.ERROR_CODE] = str(body.status)
    headers[header.ERROR] = header.one_line(f"{failure.reason}: {failure.detail}")
    return Reply(msgspec.json.encode(body), headers)


def _shortened(failure: Failure, most: int) -> Failure:
    """The failure without its single problems (`detail` sums them up), every text cut to so many characters."""
    return replace(
        failure,
        detail=failure.detail[:most],
        hint=failure.hint and failure.hint[:most],
        problems=(),
        bucket=failure.bucket and failure.bucket[:most],
        provider_code=failure.provider_code and failure.provider_code[:most],
        provider_request_id=failure.provider_request_id and failure.provider_request_id[:most],
    )


def _fits(reply: Reply, max_payload: int) -> bool:
    """Whether it is no more than NATS takes. Its headers are counted where they could matter: near the limit."""
    return len(reply.payload) + MOST_HEADERS <= max_payload or _size(reply) <= max_payload


def _size(reply: Reply) -> int:
    """What NATS counts against max_payload: the header block and the payload.
    https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md
    """
    lines = sum(len(name) + len(value.encode()) + 4 for name, value in reply.headers.items())
    return len("NATS/1.0\r\n\r\n") + lines + len(reply.payload)


def _common(asked: Asked) -> dict[str, str]:
    headers: dict[str, str] = {}
    if asked.call_id is not None:
        headers[header.CALL_ID] = asked.call_id
    if asked.trace is not None:
        headers[header.TRACEPARENT] = traceparent(asked.trace)
    if asked.attempts:
        headers[header.ATTEMPTS] = str(asked.attempts)
    if asked.catalog_hash is not None:
        headers[header.CATALOG_HASH] = asked.catalog_hash
    if asked.replayed is not None:
        headers[header.IDEMPOTENT_REPLAYED] = "true"
    return headers
