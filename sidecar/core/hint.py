"""What the caller can do about a failure, in one sentence, where the failure itself does not say."""

from __future__ import annotations

import shlex

import msgspec

from sidecar.model import Call, Failure, Reason, SideEffect
from sidecar.provider import Operation
from sidecar.wire.request import decode_input

LATE = frozenset({Reason.OUTCOME_UNKNOWN, Reason.RESPONSE_TRUNCATED})  # of a read: what came, or would, changed nothing
MOST = 200  # characters of a value that is repeated in a hint


def with_hint(failure: Failure, call: Call, operation: Operation | None) -> Failure:
    """The failure with a hint: the one it brings, or ours."""
    hint = failure.hint or _hint(failure, call, operation)
    return failure if hint is None else msgspec.structs.replace(failure, hint=hint)


def with_same_key(failure: Failure) -> Failure:
    """What may have been done, where the call's idempotency key keeps it from being done twice."""
    hint = failure.hint or "send it again, unchanged and with the same idempotency key: it is not done twice"
    return msgspec.structs.replace(failure, hint=hint)


def _hint(failure: Failure, call: Call, operation: Operation | None) -> str | None:
    if failure.side_effect is SideEffect.UNKNOWN and operation is not None:
        return _look_up(call, operation)
    if isinstance(failure.cause, TimeoutError) and failure.reason in LATE:
        return "a longer Timeout-Ms (--timeout) gives it more time"
    who = f"{call.provider} {_options(call)}"
    match failure.reason:
        case Reason.NO_CREDENTIAL | Reason.CONNECTION_REVOKED:
            return f"connect it: sidecar connect {who}"
        case Reason.REAUTH_REQUIRED | Reason.REFRESH_LOST:
            return f"its owner can allow access again: sidecar connect {who}"
        case Reason.CREDENTIAL_REJECTED:
            return f"give a valid credential: sidecar connection import {who}"
        case Reason.CONNECTION_DISABLED:
            return f"an operator can enable it: sidecar connection enable {who}"
        case Reason.UNKNOWN_OPERATION:
            return f"see what there is: sidecar provider show {call.provider}"
        case Reason.RESPONSE_TOO_LARGE:
            return "ask for fewer or smaller items (a limit, a page, fewer fields), or raise SIDECAR_MAX_RESPONSE_BYTES"
        case _:
            return None


def _look_up(call: Call, operation: Operation) -> str:
    """How to find out whether an uncertain write happened."""
    if operation.fact.look_up is None:
        return "look at the provider whether it happened before sending it again"
    command = f"sidecar call {call.provider}.{operation.fact.look_up}"
    with_input = _filled_in(call, operation.looked_up_by or ())
    return f"look whether it happened before sending it again: {command}{with_input} {_options(call)}"


def _filled_in(call: Call, names: tuple[str, ...]) -> str:
    """The look-up's input, of what the write was given; nothing where that is not all it needs, or no short word."""
    values = decode_input(call.payload) if names else {}
    if isinstance(values, Failure) or not names:
        return ""
    known = {name: values.get(name) for name in names}
    plain = all(isinstance(value, str | int) and len(str(value)) <= MOST for value in known.values())
    return f" {shlex.quote(msgspec.json.encode(known).decode())}" if plain else ""


def _options(call: Call) -> str:
    """Whose connection, quoted for a shell: a name may hold anything, and hints are pasted."""
    tenant = f" --tenant {shlex.quote(call.tenant)}" if call.tenant != "default" else ""
    return f"-c {shlex.quote(call.connection)}{tenant}"
