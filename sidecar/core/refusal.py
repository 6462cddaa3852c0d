"""What a call is told that ends before, or without, a provider's answer: one sentence for each case."""

from __future__ import annotations

from sidecar.core.redact import Hidden, without_secrets
from sidecar.model import Call, Failure, Reason, Request, SideEffect, Success
from sidecar.provider import Operation
from sidecar.wire.request import decode_cursor
from sidecar.wire.subject import Address, CancelAddress, call_subject, cancel_subject

MAX_URL = 32 * 1024  # no server that we know takes more; HTTPX takes twice as much, and raises
WHY_STOPPED = {
    Reason.CANCELLED_BY_CALLER: "a message on the call's cancel subject ended it",
    Reason.SHUTTING_DOWN: "the sidecar shuts down and could not finish this call in time: it ended",
    Reason.BEFORE_SEND: "the deadline passed",
}
PLAIN_JSON = Success(body=b"").content_type
NO_WORD = 16  # characters; a password may be a word that answers hold, a key or token is longer


def stopped(reason: Reason, attempts: int, *, under_way: bool, side_effect: SideEffect) -> Failure:
    """The end of a call that was told to stop; `under_way`: during the exchange that is counted last. What may have
    done something and ended with this process is no refusal: whoever took it for one would send it again.
    """
    if under_way:
        when = f"during attempt {attempts}"
    else:
        when = f"before attempt {attempts + 1}" if attempts else "before anything was sent"
    late = under_way and reason is Reason.BEFORE_SEND
    given_up = reason is Reason.SHUTTING_DOWN and side_effect is not SideEffect.NONE
    ended = Reason.OUTCOME_UNKNOWN if late or given_up else reason
    return Failure(reason=ended, detail=f"{WHY_STOPPED[reason]} {when}", side_effect=side_effect)


def out_of_time(waited: float) -> Failure:
    detail = f"the deadline passed before anything was sent: {waited:.3f} s went by before the call had its turn"
    return Failure(reason=Reason.BEFORE_SEND, detail=detail)


def found_late(failure: Failure) -> Failure:
    """What the search for a credential failed with, told as the caller's deadline where that ended it: a store that was
    given no time is not away.
    """
    if failure.reason is not Reason.STORE_UNAVAILABLE or not isinstance(failure.cause, TimeoutError):
        return failure
    detail = "the deadline passed before anything was sent: the credential had not been found by then"
    return Failure(reason=Reason.BEFORE_SEND, detail=detail, cause=failure.cause)


def unknown_operation(call: Call, close_by: str | None) -> Failure:
    asked = f"{call.provider} has no operation {call.operation}"
    detail = f"{asked}; did you mean {close_by}?" if close_by else asked
    return Failure(reason=Reason.UNKNOWN_OPERATION, detail=detail)


def access_mismatch(prefix: str, call: Call, operation: Operation) -> Failure:
    what = f"{call.provider}.{call.operation}"
    address = Address(operation.access, call.tenant, call.connection, call.provider, call.operation)
    right = call_subject(prefix, address)
    return Failure(
        reason=Reason.ACCESS_MISMATCH,
        detail=f"{what} is a {operation.access} operation and was sent to a {call.access} subject; publish on {right}",
        hint=f"publish on {right}",
    )


def call_id_in_use(prefix: str, call: Call) -> Failure:
    """Of two calls with one id nobody could say which one a cancel or a trace means; and a call that is sent again
    because its reply is late would be done twice.
    """
    cancel = cancel_subject(prefix, CancelAddress(call.tenant, call.connection, call.call_id))
    return Failure(
        reason=Reason.CALL_ID_IN_USE,
        detail=f"a call of connection {call.connection} with Call-Id {call.call_id} is in flight, so this is not begun",
        hint=f"give every call a Call-Id of its own, or none; to end the one in flight publish on {cancel}",
    )


def keyless() -> Failure:
    return Failure(
        reason=Reason.NOT_SET_UP,
        detail="this sidecar keeps no records of idempotency keys, so that it could not keep one; nothing was sent",
    )


def unusable(call: Call, kind: str) -> Failure:
    detail = f"the stored credential is of kind {kind}, which {call.provider} does not take (any more)"
    return Failure(reason=Reason.NO_CREDENTIAL, detail=detail)


def too_long(request: Request) -> Failure | None:
    """The refusal of a URL that nobody would take."""
    if len(request.url) <= MAX_URL:
        return None
    return Failure(
        reason=Reason.REQUEST_TOO_LARGE,
        detail=f"with this input the URL has {len(request.url):,} characters; at most {MAX_URL:,} are sent",
        hint="shorten what goes into the path or the query",
    )


def moved(call: Call) -> Failure:
    return Failure(
        reason=Reason.CAS_CONFLICT,
        detail=f"connection {call.connection} of {call.provider} was given another base URL while this call ran",
    )


def untold() -> Failure:
    return Failure(
        reason=Reason.STORE_UNAVAILABLE,
        detail="NATS takes no messages now, so that this write could not be told before it was sent; it was not sent",
        retry_after=1.0,
    )


def echoing(success: Success, secrets: Hidden, proofs: Hidden, title: str, side_effect: SideEffect) -> Failure | None:
    """The failure in place of a success that would hand the credential to the agent: by its cursor, where no secret has
    a place, or by its body, which is looked through for what proves who one is.
    """
    cursor = success.next_cursor and decode_cursor(success.next_cursor)
    if cursor and without_secrets(cursor, secrets.long) != cursor:
        where = "into the cursor of the next page"
    elif proofs.stand_in(success.body):
        where = "into its answer"
    elif success.content_type != PLAIN_JSON and proofs.stand_in(success.content_type.encode()):
        where = "into its answer's content type"
    else:
        return None
    return Failure(
        reason=Reason.BAD_PROVIDER_RESPONSE,
        detail=f"{title} wrote the credential {where}",
        side_effect=side_effect,
        provider_status=success.provider_status,
    )
