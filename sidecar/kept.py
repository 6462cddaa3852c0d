"""What is kept of a call with an idempotency key, as frozen values: that it is under way, or what it ended in."""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

from sidecar.model import Failure, Outcome, Problem, Reason, SideEffect, Success

FORMAT: Literal[1] = 1
PACKED_ABOVE = 4096  # bytes of an output; a shorter one gains little


class Free(msgspec.Struct, frozen=True, tag="free"):
    """Nothing was sent, and any call may be, but for these runs of durable calls, which a cancel ended before."""

    barred: tuple[str, ...]


class Pending(msgspec.Struct, frozen=True, omit_defaults=True, tag="pending"):
    """The call is under way, by this attempt alone. `doubt`: an earlier attempt may have sent it, and nobody knows what
    came of that. `barred`: as of `Free`.
    """

    fingerprint: str
    attempt: str
    doubt: bool = False
    barred: tuple[str, ...] = ()


class Open(msgspec.Struct, frozen=True, omit_defaults=True, tag="open"):
    """It may have been done, nobody knows, and sending it again is safe: who asks next does. `barred`: as of `Free`."""

    fingerprint: str
    attempt: str
    barred: tuple[str, ...] = ()


class KeptSuccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="success"):
    """An output to the byte; `packed`: `body` is deflated."""

    body: bytes
    packed: bool = False
    content_type: str = "application/json"
    provider_status: int | None = None
    next_cursor: str | None = None


class KeptFailure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="failure"):
    """A failure as it was told."""

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


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """What the first call ended in, for all that repeat it. `judged`: whoever waited for it decided, as its sidecar was
    gone; should that one live after all, it knows better.
    """

    fingerprint: str
    attempt: str
    call_id: str
    attempts: int
    outcome: KeptSuccess | KeptFailure
    judged: bool = False


State = Free | Pending | Open | Done


class Kept(msgspec.Struct, frozen=True):
    """One record."""

    state: State
    format: Literal[1] = FORMAT

    def __repr__(self) -> str:
        return f"Kept({type(self.state).__name__})"  # never an output


def kept_outcome(outcome: Outcome) -> KeptSuccess | KeptFailure:
    """The outcome as it is kept: a long output deflated."""
    if isinstance(outcome, Failure):
        return KeptFailure(**{name: getattr(outcome, name) for name in KeptFailure.__struct_fields__})
    body, packed = outcome.body, len(outcome.body) > PACKED_ABOVE
    return KeptSuccess(
        body=zlib.compress(body, level=1) if packed else body,
        packed=packed,
        content_type=outcome.content_type,
        provider_status=outcome.provider_status,
        next_cursor=outcome.next_cursor,
    )


def told_outcome(kept: KeptSuccess | KeptFailure) -> Outcome:
    """The outcome as the first call told it."""
    if isinstance(kept, KeptFailure):
        return Failure(**msgspec.structs.asdict(kept))
    return Success(
        body=zlib.decompress(kept.body) if kept.packed else kept.body,
        content_type=kept.content_type,
        provider_status=kept.provider_status,
        next_cursor=kept.next_cursor,
    )
