"""How a command fails: the one shape of a failure, as text or JSON, and the exit code that scripts rely on."""

from __future__ import annotations

import msgspec

from sidecar.model import MEANINGS, Code, Problem, Reason, SideEffect
from sidecar.trace.line import Paint, Tone, columns, counted, plain, seconds, unpainted
from sidecar.wire.reply import FAILURE_TYPE

OK = 0
UNWRITTEN = 74
EXIT: dict[str, int] = {
    Code.INVALID_ARGUMENT: 64,
    Code.OUT_OF_RANGE: 64,
    Code.FAILED_PRECONDITION: 64,
    Code.ALREADY_EXISTS: 64,
    Code.UNIMPLEMENTED: 64,
    Code.NOT_FOUND: 66,
    Code.UNAVAILABLE: 69,
    Code.INTERNAL: 70,
    Code.DATA_LOSS: 70,
    Code.RESOURCE_EXHAUSTED: 75,
    Code.DEADLINE_EXCEEDED: 75,
    Code.ABORTED: 75,
    Code.CANCELLED: 75,
    Code.UNKNOWN: 75,
    Code.UNAUTHENTICATED: 77,
    Code.PERMISSION_DENIED: 77,
}
# Where the reason says more than its code: what came from the provider cannot be used as an answer.
EXIT_BY_REASON: dict[str, int] = {
    Reason.BAD_PROVIDER_RESPONSE: 76,
    Reason.RESPONSE_TRUNCATED: 76,
    Reason.REDIRECT_BLOCKED: 76,
    Reason.TLS_VERIFY_FAILED: 76,
    "BAD_REPLY": 76,
}
EXIT_CODES = """\b
Exit codes (the numbers of sysexits.h):
  0   it succeeded
  64  refused: the command, the input or the provider's rules (nothing to repeat unchanged)
  66  not found: provider, operation, call, or the thing at the provider
  69  unavailable: no NATS, no sidecar, or the provider is down
  70  a defect of the sidecar
  74  what was to be printed could not be written
  75  not now, or not known: a limit, a deadline, or the outcome of a write is unknown
  76  the answer of the provider, or of the sidecar, cannot be used
  77  not allowed: credential or permission
"""

# What stops a command before any sidecar was asked, or instead of its answer: (code, status, title).
USAGE = "USAGE"
SETTINGS = "SETTINGS"
NO_FILE = "NO_FILE"
NO_NATS = "NO_NATS"
NATS_DENIED = "NATS_DENIED"
NO_SIDECAR = "NO_SIDECAR"
NO_REPLY = "NO_REPLY"
BAD_REPLY = "BAD_REPLY"
NOT_READY = "NOT_READY"
NOT_CONNECTED = "NOT_CONNECTED"
GIVEN_UP = "GIVEN_UP"
UNKNOWN_CALL = "UNKNOWN_CALL"
UNKNOWN_TENANT = "UNKNOWN_TENANT"
AMBIGUOUS_CALL = "AMBIGUOUS_CALL"
NOT_SERVED_YET = "NOT_SERVED_YET"
DEFECT = "DEFECT"
LOCAL: dict[str, tuple[Code, int, str]] = {
    USAGE: (Code.INVALID_ARGUMENT, 400, "The command is not well formed"),
    SETTINGS: (Code.INVALID_ARGUMENT, 400, "A setting is wrong"),
    NO_FILE: (Code.NOT_FOUND, 404, "A file cannot be read"),
    NO_NATS: (Code.UNAVAILABLE, 503, "NATS cannot be reached"),
    NATS_DENIED: (Code.PERMISSION_DENIED, 403, "NATS gives this login no right to it"),
    NO_SIDECAR: (Code.UNAVAILABLE, 503, "No sidecar answers"),
    NO_REPLY: (Code.DEADLINE_EXCEEDED, 504, "No reply came in time"),
    BAD_REPLY: (Code.UNKNOWN, 502, "The reply is not one of a sidecar"),
    NOT_CONNECTED: (Code.UNAUTHENTICATED, 401, "The account was not connected"),
    NOT_READY: (Code.FAILED_PRECONDITION, 400, "Something that it needs is missing"),
    GIVEN_UP: (Code.UNKNOWN, 502, "Calls in flight were given up"),
    UNKNOWN_CALL: (Code.NOT_FOUND, 404, "The trace has no such call"),
    UNKNOWN_TENANT: (Code.NOT_FOUND, 404, "Nothing is kept of this tenant"),
    AMBIGUOUS_CALL: (Code.INVALID_ARGUMENT, 400, "Several calls end like this"),
    NOT_SERVED_YET: (Code.UNIMPLEMENTED, 501, "This version does not serve it"),
    DEFECT: (Code.INTERNAL, 500, "A defect of the command"),
}
SURELY_UNSENT = frozenset({NO_FILE, NO_NATS, NATS_DENIED, NO_SIDECAR, NOT_SERVED_YET})

HINT_WORDS = frozenset({"ask", "check", "connect", "give", "look", "name", "publish", "see", "send", "start", "served"})
MOST_PROBLEMS = 50
MAX_DETAIL = 1_000


class CommandFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as a command reads it. Lenient where `FailureReply` is strict: a newer sidecar may know more words."""

    code: str
    reason: str
    detail: str
    type: str = ""
    title: str = ""
    status: int = 0
    retryable: bool = False
    side_effect: str = SideEffect.NONE
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


class Stopped(Exception):
    """The command ends here. `reply` is the sidecar's own JSON, where there is one."""

    def __init__(self, failure: CommandFailure, reply: bytes | None = None) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.reply = reply

    @property
    def as_json(self) -> bytes:
        return self.reply if self.reply is not None else msgspec.json.encode(self.failure)


def stop(
    reason: str,
    detail: str,
    hint: str | None = None,
    *,
    errors: tuple[Problem, ...] = (),
    side_effect: SideEffect = SideEffect.NONE,
    call_id: str | None = None,
) -> Stopped:
    """The end of a command for a reason of its own, or for one of the sidecar's."""
    if reason in LOCAL:
        code, status, title = LOCAL[reason]
    else:
        meaning = MEANINGS[Reason(reason)]
        code, status, title = meaning.code, meaning.status, meaning.title
    return Stopped(
        CommandFailure(
            type=f"{FAILURE_TYPE}{reason}",
            title=title,
            status=status,
            detail=detail,
            code=code,
            reason=reason,
            hint=hint,
            errors=errors,
            side_effect=side_effect,
            call_id=call_id,
        )
    )


def exit_code(failure: CommandFailure) -> int:
    """The exit code of a failure; a code that we do not know is a defect of somebody."""
    return EXIT_BY_REASON.get(failure.reason) or EXIT.get(failure.code, 70)


def failure_text(failure: CommandFailure, paint: Paint = unpainted) -> str:
    """The failure for a person: who says it, whether anything happened, what is wrong, what to do."""
    word = _verdict(failure)
    tone = Tone.WARN if word == "unknown" else Tone.BAD
    head = f"{plain(failure.code, 40)} / {plain(failure.reason, 60)}"
    lines = [f"{paint(word, tone)}{' ' * (10 - len(word))}{head:<40} {_what_happened(failure)}".rstrip()]
    rows = [[plain(item.pointer or "/", 100), plain(item.detail)] for item in failure.errors[:MOST_PROBLEMS]]
    more = len(failure.errors) - len(rows)
    lines += [f"  {line}" for line in columns(rows)] or [f"  {plain(failure.detail, MAX_DETAIL)}"]
    if more > 0:
        lines.append(f"  and {counted(more, 'more problem')}; --json lists all")
    lines += [f"  {label:<9} {text}".rstrip() for label, text in _facts(failure)]
    return "\n".join(lines)


def _verdict(failure: CommandFailure) -> str:
    if failure.side_effect == SideEffect.UNKNOWN:
        return "unknown"
    unsent = not _was_sent(failure) and failure.side_effect == SideEffect.NONE
    return "refused" if unsent and exit_code(failure) in {64, 66} else "failed"


def _was_sent(failure: CommandFailure) -> bool:
    """Whether the provider was asked: by the call's attempts, or to see what it says of a credential."""
    return failure.attempts > 0 or failure.provider_status is not None


def _what_happened(failure: CommandFailure) -> str:
    match failure.side_effect:
        case SideEffect.UNKNOWN:
            return "the request was sent: it may have happened"
        case SideEffect.DONE:
            return "it was done at the provider"
        case SideEffect.NONE if failure.reason not in LOCAL or failure.reason in SURELY_UNSENT:
            return "nothing was changed" if _was_sent(failure) else "nothing was sent"
        case _:
            return ""


def _facts(failure: CommandFailure) -> list[tuple[str, str]]:
    """What else is known, each with a label of its own."""
    facts: list[tuple[str, str]] = []
    said = [
        *([str(failure.provider_status)] if failure.provider_status is not None else []),
        *([plain(failure.provider_code, 100)] if failure.provider_code else []),
        *([f"request id {plain(failure.provider_request_id, 100)}"] if failure.provider_request_id else []),
        *([counted(failure.attempts, "attempt")] if failure.attempts else []),
    ]
    if said and _was_sent(failure):
        facts.append((plain(failure.provider or "provider", 20), ", ".join(said)))
    if failure.bucket:
        facts.append(("bucket", plain(failure.bucket)))
    if failure.retryable:
        when = "" if failure.retry_after_ms is None else f" in {seconds(failure.retry_after_ms / 1000)}"
        facts.append(("again", f"the same request may be sent again{when}"))
    if failure.hint:
        facts.append(labelled(failure.hint))
    if failure.call_id and _verdict(failure) != "refused":
        facts.append(("why", f"sidecar trace show {plain(failure.call_id, 40)}"))
    return facts


def labelled(hint: str) -> tuple[str, str]:
    """A hint with its first word as label, where that word says what to do: `see`, `look`, `connect` ..."""
    word, _, rest = plain(hint, MAX_DETAIL).partition(" ")
    label = word.rstrip(":")
    return (label, rest) if label in HINT_WORDS and rest else ("hint", plain(hint, MAX_DETAIL))
