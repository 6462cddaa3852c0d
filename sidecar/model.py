"""The product's words as frozen values. A leaf: this module imports nothing of ours."""

from __future__ import annotations

from enum import StrEnum

import msgspec

VERSION = "0.1.0"


class Access(StrEnum):
    """What an operation does at the provider: `read` changes nothing, `write` changes something."""

    READ = "read"
    WRITE = "write"


class SideEffect(StrEnum):
    """What is known about the provider's side after a failure."""

    NONE = "none"
    UNKNOWN = "unknown"
    DONE = "done"


class Code(StrEnum):
    """gRPC canonical codes. https://grpc.io/docs/guides/status-codes/"""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    DATA_LOSS = "DATA_LOSS"


class Again(StrEnum):
    """When the same request may be sent again unchanged, as far as its reason decides."""

    NEVER = "never"
    YES = "yes"


class Reason(StrEnum):
    """Why a call failed: one UPPER_SNAKE word, the same for every provider."""

    MALFORMED = "MALFORMED"
    VALIDATION = "VALIDATION"
    ACCESS_MISMATCH = "ACCESS_MISMATCH"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    HEADER_UNSUPPORTED = "HEADER_UNSUPPORTED"
    CALL_ID_IN_USE = "CALL_ID_IN_USE"
    PROVIDER_REJECTED = "PROVIDER_REJECTED"
    NO_CREDENTIAL = "NO_CREDENTIAL"
    CREDENTIAL_REJECTED = "CREDENTIAL_REJECTED"
    REAUTH_REQUIRED = "REAUTH_REQUIRED"
    REFRESH_LOST = "REFRESH_LOST"
    CONNECTION_REVOKED = "CONNECTION_REVOKED"
    CONNECTION_DISABLED = "CONNECTION_DISABLED"
    SCOPE_MISSING = "SCOPE_MISSING"
    PROVIDER_FORBIDDEN = "PROVIDER_FORBIDDEN"
    EGRESS_BLOCKED = "EGRESS_BLOCKED"
    TENANT_DENIED = "TENANT_DENIED"
    PROVIDER_NOT_FOUND = "PROVIDER_NOT_FOUND"
    UNKNOWN_PROVIDER = "UNKNOWN_PROVIDER"
    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    UNKNOWN_CALL = "UNKNOWN_CALL"
    PROVIDER_CONFLICT = "PROVIDER_CONFLICT"
    REDIRECT_BLOCKED = "REDIRECT_BLOCKED"
    TLS_VERIFY_FAILED = "TLS_VERIFY_FAILED"
    PROVIDER_PRECONDITION = "PROVIDER_PRECONDITION"
    NOT_SET_UP = "NOT_SET_UP"
    CAS_CONFLICT = "CAS_CONFLICT"
    IN_PROGRESS = "IN_PROGRESS"
    RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    PROVIDER_RATE_LIMITED = "PROVIDER_RATE_LIMITED"
    LOCAL_RATE_LIMITED = "LOCAL_RATE_LIMITED"
    TENANT_LIMIT = "TENANT_LIMIT"
    QUEUE_FULL = "QUEUE_FULL"
    STORE_FULL = "STORE_FULL"
    CANCELLED_BY_CALLER = "CANCELLED_BY_CALLER"
    BEFORE_SEND = "BEFORE_SEND"
    CONNECT_FAILED = "CONNECT_FAILED"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    CREDENTIAL_REFRESHING = "CREDENTIAL_REFRESHING"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    KEY_UNAVAILABLE = "KEY_UNAVAILABLE"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    PROVIDER_5XX = "PROVIDER_5XX"
    BAD_PROVIDER_RESPONSE = "BAD_PROVIDER_RESPONSE"
    RESPONSE_TRUNCATED = "RESPONSE_TRUNCATED"
    BUG = "BUG"
    CREDENTIAL_CORRUPT = "CREDENTIAL_CORRUPT"


class Meaning(msgspec.Struct, frozen=True):
    """What a reason says on the wire: canonical code, HTTP-like status, title, and whether it may be sent again."""

    code: Code
    status: int
    title: str
    again: Again = Again.NEVER


MEANINGS: dict[Reason, Meaning] = {
    Reason.MALFORMED: Meaning(Code.INVALID_ARGUMENT, 400, "The request is not well formed"),
    Reason.VALIDATION: Meaning(Code.INVALID_ARGUMENT, 422, "The input does not fit the operation"),
    Reason.ACCESS_MISMATCH: Meaning(Code.INVALID_ARGUMENT, 400, "The operation belongs to the other kind of subject"),
    Reason.IDEMPOTENCY_MISMATCH: Meaning(Code.INVALID_ARGUMENT, 422, "The idempotency key was used for another input"),
    Reason.HEADER_UNSUPPORTED: Meaning(Code.INVALID_ARGUMENT, 400, "A header asks for what cannot be honoured here"),
    Reason.CALL_ID_IN_USE: Meaning(Code.INVALID_ARGUMENT, 400, "Another call in flight has this call id"),
    Reason.PROVIDER_REJECTED: Meaning(Code.INVALID_ARGUMENT, 400, "The provider rejected the request"),
    Reason.NO_CREDENTIAL: Meaning(Code.UNAUTHENTICATED, 401, "The connection has no credential"),
    Reason.CREDENTIAL_REJECTED: Meaning(Code.UNAUTHENTICATED, 401, "The provider rejected the credential"),
    Reason.REAUTH_REQUIRED: Meaning(Code.UNAUTHENTICATED, 401, "The account's owner must allow access again"),
    Reason.REFRESH_LOST: Meaning(Code.UNAUTHENTICATED, 401, "A renewed credential was lost; allow access again"),
    Reason.CONNECTION_REVOKED: Meaning(Code.UNAUTHENTICATED, 401, "The connection was revoked"),
    Reason.CONNECTION_DISABLED: Meaning(Code.PERMISSION_DENIED, 403, "The connection is disabled"),
    Reason.SCOPE_MISSING: Meaning(Code.PERMISSION_DENIED, 403, "The credential lacks a scope"),
    Reason.PROVIDER_FORBIDDEN: Meaning(Code.PERMISSION_DENIED, 403, "The provider refused permission"),
    Reason.EGRESS_BLOCKED: Meaning(Code.PERMISSION_DENIED, 403, "The address may not be called"),
    Reason.TENANT_DENIED: Meaning(Code.PERMISSION_DENIED, 403, "The sidecar does not serve it"),
    Reason.PROVIDER_NOT_FOUND: Meaning(Code.NOT_FOUND, 404, "The provider does not have it"),
    Reason.UNKNOWN_PROVIDER: Meaning(Code.NOT_FOUND, 404, "No such provider is served"),
    Reason.UNKNOWN_OPERATION: Meaning(Code.NOT_FOUND, 404, "The provider has no such operation"),
    Reason.UNKNOWN_CALL: Meaning(Code.NOT_FOUND, 404, "No such call is known"),
    Reason.PROVIDER_CONFLICT: Meaning(Code.ALREADY_EXISTS, 409, "The provider reports a conflict"),
    Reason.REDIRECT_BLOCKED: Meaning(Code.FAILED_PRECONDITION, 400, "A redirect was not followed"),
    Reason.TLS_VERIFY_FAILED: Meaning(Code.FAILED_PRECONDITION, 400, "The provider's certificate was not accepted"),
    Reason.PROVIDER_PRECONDITION: Meaning(Code.FAILED_PRECONDITION, 412, "A precondition of the provider failed"),
    Reason.NOT_SET_UP: Meaning(Code.FAILED_PRECONDITION, 412, "The sidecar is not set up for it"),
    Reason.CAS_CONFLICT: Meaning(Code.ABORTED, 409, "The record was changed meanwhile", Again.YES),
    Reason.IN_PROGRESS: Meaning(Code.ABORTED, 409, "The same call is still under way", Again.YES),
    Reason.RESPONSE_TOO_LARGE: Meaning(Code.OUT_OF_RANGE, 413, "The provider's answer is too large"),
    Reason.REQUEST_TOO_LARGE: Meaning(Code.OUT_OF_RANGE, 413, "The request is too large"),
    Reason.PROVIDER_RATE_LIMITED: Meaning(Code.RESOURCE_EXHAUSTED, 429, "The provider limits the rate", Again.YES),
    Reason.LOCAL_RATE_LIMITED: Meaning(
        Code.RESOURCE_EXHAUSTED, 429, "The quota is used up before the deadline", Again.YES
    ),
    Reason.TENANT_LIMIT: Meaning(Code.RESOURCE_EXHAUSTED, 429, "The tenant has as much under way as it may", Again.YES),
    Reason.QUEUE_FULL: Meaning(Code.RESOURCE_EXHAUSTED, 429, "The sidecar has no room for another call", Again.YES),
    Reason.STORE_FULL: Meaning(Code.RESOURCE_EXHAUSTED, 429, "The store is full", Again.YES),
    Reason.CANCELLED_BY_CALLER: Meaning(Code.CANCELLED, 499, "The caller cancelled the call"),
    Reason.BEFORE_SEND: Meaning(Code.DEADLINE_EXCEEDED, 504, "The deadline passed before anything was sent", Again.YES),
    Reason.CONNECT_FAILED: Meaning(Code.UNAVAILABLE, 503, "The provider could not be reached", Again.YES),
    Reason.PROVIDER_UNAVAILABLE: Meaning(Code.UNAVAILABLE, 503, "The provider is unavailable", Again.YES),
    Reason.CIRCUIT_OPEN: Meaning(Code.UNAVAILABLE, 503, "The provider fails; it is left alone for a while", Again.YES),
    Reason.CREDENTIAL_REFRESHING: Meaning(Code.UNAVAILABLE, 503, "The credential is being renewed", Again.YES),
    Reason.STORE_UNAVAILABLE: Meaning(Code.UNAVAILABLE, 503, "The store does not answer", Again.YES),
    Reason.SHUTTING_DOWN: Meaning(Code.UNAVAILABLE, 503, "The sidecar is shutting down", Again.YES),
    Reason.KEY_UNAVAILABLE: Meaning(Code.UNAVAILABLE, 503, "The encryption key is not available", Again.YES),
    Reason.OUTCOME_UNKNOWN: Meaning(Code.UNKNOWN, 502, "Sent, and no answer came", Again.YES),
    Reason.PROVIDER_5XX: Meaning(Code.UNKNOWN, 502, "The provider failed", Again.YES),
    Reason.BAD_PROVIDER_RESPONSE: Meaning(Code.UNKNOWN, 502, "The provider's answer makes no sense", Again.YES),
    Reason.RESPONSE_TRUNCATED: Meaning(Code.UNKNOWN, 502, "The provider's answer was cut off", Again.YES),
    Reason.BUG: Meaning(Code.INTERNAL, 500, "A defect of the sidecar"),
    Reason.CREDENTIAL_CORRUPT: Meaning(Code.INTERNAL, 500, "The stored credential cannot be opened"),
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with an input, found by its JSON pointer (RFC 6901)."""

    pointer: str
    detail: str
    allowed: tuple[str, ...] = ()
    nearest: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What a call, or one attempt of it, ends in when it does not succeed.

    `retry_after` is in seconds. `done_before`: where the call may have been sent before, this answer says that it was
    done. `cause` keeps the exception for a debugger and for `provider check`; a sidecar never sends or prints it.
    """

    reason: Reason
    detail: str
    side_effect: SideEffect = SideEffect.NONE
    retry_after: float | None = None
    hint: str | None = None
    problems: tuple[Problem, ...] = ()
    bucket: str | None = None
    provider_status: int | None = None
    provider_code: str | None = None
    provider_request_id: str | None = None
    done_before: bool = False
    cause: BaseException | None = None


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """What a call ends in when it succeeds: `body` is the operation's output, bytes ready for the reply."""

    body: bytes
    content_type: str = "application/json"
    provider_status: int | None = None
    next_cursor: str | None = None


Outcome = Success | Failure


class Request(msgspec.Struct, frozen=True):
    """One HTTP request as rendered, without any credential: safe to show, hash and trace. `base` is the base URL, which
    `url` begins with: a key in the path stands behind it.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    base: str = ""


class TraceContext(msgspec.Struct, frozen=True):
    """W3C trace context of a call: ids in lower-case hex. https://www.w3.org/TR/trace-context/"""

    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    flags: str = "01"
    state: str | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request of an agent, decoded: `deadline` is a moment of the process's monotonic clock, in seconds. `durable`
    names this run, where it is one of a durable call.
    """

    call_id: str
    access: Access
    tenant: str
    connection: str
    provider: str
    operation: str
    payload: bytes
    accepted: float
    deadline: float
    trace: TraceContext
    cursor: str | None = None
    dry_run: bool = False
    idempotency_key: str | None = None
    durable: str | None = None


def retryable(failure: Failure, access: Access, *, again: bool = False) -> bool:
    """Whether the caller may send the same request again unchanged: a write only when nothing happened, or when its
    idempotency key keeps it from being done twice (`again`).
    """
    if MEANINGS[failure.reason].again is Again.NEVER:
        return False
    return again or access is Access.READ or failure.side_effect is SideEffect.NONE
