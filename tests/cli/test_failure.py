"""How a failure is told: exit codes that scripts rely on, and text that says whether anything happened."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.cli.failure import (
    EXIT,
    EXIT_CODES,
    LOCAL,
    NO_NATS,
    UNKNOWN_CALL,
    CommandFailure,
    exit_code,
    failure_text,
    labelled,
    stop,
)
from sidecar.model import MEANINGS, Code, Failure, Problem, Reason, SideEffect
from sidecar.wire.reply import Asked, FailureReply, failure_reply

REMEMBERED = {
    "INVALID_ARGUMENT": 64,
    "OUT_OF_RANGE": 64,
    "FAILED_PRECONDITION": 64,
    "ALREADY_EXISTS": 64,
    "UNIMPLEMENTED": 64,
    "NOT_FOUND": 66,
    "UNAVAILABLE": 69,
    "INTERNAL": 70,
    "DATA_LOSS": 70,
    "RESOURCE_EXHAUSTED": 75,
    "DEADLINE_EXCEEDED": 75,
    "ABORTED": 75,
    "CANCELLED": 75,
    "UNKNOWN": 75,
    "UNAUTHENTICATED": 77,
    "PERMISSION_DENIED": 77,
}


def failure(**changed: Any) -> CommandFailure:
    known: dict[str, Any] = {"code": "UNAVAILABLE", "reason": "CONNECT_FAILED", "detail": "no route to acme.example"}
    return CommandFailure(**{**known, **changed})


def test_exit_codes_are_stable() -> None:
    """Scripts keep these numbers: every canonical code has the one that was published, and none is left out."""
    assert {str(code): number for code, number in EXIT.items()} == REMEMBERED
    assert set(REMEMBERED) == {str(code) for code in Code}


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("BAD_PROVIDER_RESPONSE", 76),
        ("RESPONSE_TRUNCATED", 76),
        ("REDIRECT_BLOCKED", 76),
        ("TLS_VERIFY_FAILED", 76),
        ("PROVIDER_5XX", 75),
        ("OUTCOME_UNKNOWN", 75),
        ("VALIDATION", 64),
        ("UNKNOWN_PROVIDER", 66),
        ("PROVIDER_NOT_FOUND", 66),
        ("NO_CREDENTIAL", 77),
        ("EGRESS_BLOCKED", 77),
        ("BUG", 70),
        ("QUEUE_FULL", 75),
        ("SHUTTING_DOWN", 69),
    ],
)
def test_exit_code_of_a_reason(reason: str, code: int) -> None:
    """What comes from the provider and cannot be used has a number of its own; else the canonical code decides."""
    assert exit_code(failure(code=MEANINGS[Reason(reason)].code, reason=reason)) == code


def test_a_code_that_nobody_knows_is_a_defect() -> None:
    """A newer sidecar's word never ends in success."""
    assert exit_code(failure(code="SOMETHING_NEW")) == 70


def test_every_exit_code_is_documented() -> None:
    """The help of the commands names each number."""
    for number in (0, 64, 66, 69, 70, 74, 75, 76, 77):
        assert f"\n  {number:<3} " in EXIT_CODES


def test_a_reply_is_read_as_it_is_written() -> None:
    """The command knows every member of the reply's one shape."""
    assert set(FailureReply.__struct_fields__) == set(CommandFailure.__struct_fields__)
    reply = failure_reply(
        Asked(provider="acme", call_id="1"),
        Failure(reason=Reason.VALIDATION, detail="d", problems=(Problem("/a", "is required"),)),
    )
    read = msgspec.json.decode(msgspec.json.encode(reply), type=CommandFailure)
    assert msgspec.to_builtins(read) == msgspec.to_builtins(reply)


@pytest.mark.parametrize("reason", [*LOCAL, *Reason])
def test_what_a_command_stops_for_has_the_same_shape(reason: str) -> None:
    """A failure of the command itself decodes as a reply's failure does, but for reasons of its own."""
    written = msgspec.json.decode(stop(reason, "because").as_json)
    assert set(written) == set(FailureReply.__struct_fields__)
    assert written["type"] == f"urn:connector-sidecar:failure:{reason}"
    assert written["title"]


@pytest.mark.parametrize(
    ("changed", "head"),
    [
        (
            {"code": "INVALID_ARGUMENT", "reason": "VALIDATION"},
            "refused   INVALID_ARGUMENT / VALIDATION            nothing was sent",
        ),
        (
            {"code": "UNAUTHENTICATED", "reason": "NO_CREDENTIAL"},
            "failed    UNAUTHENTICATED / NO_CREDENTIAL          nothing was sent",
        ),
        (
            {"code": "NOT_FOUND", "reason": "PROVIDER_NOT_FOUND", "attempts": 1},
            "failed    NOT_FOUND / PROVIDER_NOT_FOUND           nothing was changed",
        ),
        (  # of an account that was tried before it is stored: no attempt of a call
            {"code": "UNAUTHENTICATED", "reason": "CREDENTIAL_REJECTED", "provider_status": 401},
            "failed    UNAUTHENTICATED / CREDENTIAL_REJECTED    nothing was changed",
        ),
        (
            {"code": "UNKNOWN", "reason": "OUTCOME_UNKNOWN", "attempts": 1, "side_effect": "unknown"},
            "unknown   UNKNOWN / OUTCOME_UNKNOWN                the request was sent: it may have happened",
        ),
        (
            {"code": "OUT_OF_RANGE", "reason": "RESPONSE_TOO_LARGE", "attempts": 1, "side_effect": "done"},
            "failed    OUT_OF_RANGE / RESPONSE_TOO_LARGE        it was done at the provider",
        ),
        (
            {"code": "UNAVAILABLE", "reason": NO_NATS},
            "failed    UNAVAILABLE / NO_NATS                    nothing was sent",
        ),
        ({"code": "NOT_FOUND", "reason": UNKNOWN_CALL}, "refused   NOT_FOUND / UNKNOWN_CALL"),
        ({"code": "UNKNOWN", "reason": "NEW", "side_effect": "later"}, "failed    UNKNOWN / NEW"),
    ],
)
def test_the_first_line(changed: dict[str, Any], head: str) -> None:
    """Refused, failed or unknown; code and reason; and whether anything happened."""
    assert failure_text(failure(**changed)).splitlines()[0] == head


def test_every_problem_of_the_input_is_a_line() -> None:
    """Pointers and findings stand below each other, then what to do."""
    text = failure_text(
        failure(
            code="INVALID_ARGUMENT",
            reason="VALIDATION",
            errors=(Problem("/titel", "is not a field; did you mean `title`?"), Problem("", "must be an object")),
            hint="see the input of acme.items.create: sidecar provider show acme.items.create",
            call_id="0193a5f2-7b1c-7d2e-8f00-1234567890ab",
        )
    )
    assert text.splitlines()[1:] == [
        "  /titel  is not a field; did you mean `title`?",
        "  /       must be an object",
        "  see       the input of acme.items.create: sidecar provider show acme.items.create",
    ]


def test_what_the_provider_said_and_what_to_do() -> None:
    """Status, code, request id and attempts of the provider; when to try again; where to read the whole story."""
    text = failure_text(
        failure(
            code="RESOURCE_EXHAUSTED",
            reason="PROVIDER_RATE_LIMITED",
            detail="Acme answered 429",
            attempts=3,
            provider="acme",
            provider_status=429,
            provider_code="slow_down",
            provider_request_id="8c1f",
            bucket="posts",
            retryable=True,
            retry_after_ms=1200,
            call_id="0193a5f2-7b1c-7d2e-8f00-1234567890ab",
        )
    )
    assert text.splitlines()[1:] == [
        "  Acme answered 429",
        "  acme      429, slow_down, request id 8c1f, 3 attempts",
        "  bucket    posts",
        "  again     the same request may be sent again in 1.20 s",
        "  why       sidecar trace show 0193a5f2-7b1c-7d2e-8f00-1234567890ab",
    ]


def test_nothing_from_outside_steers_the_terminal() -> None:
    """A reply's text adds no line and no control."""
    evil = "\x1b[2J\nrefused\u202e"
    text = failure_text(
        failure(
            code=evil,
            reason=evil,
            detail=evil,
            side_effect=SideEffect.UNKNOWN,
            attempts=1,
            provider=evil,
            provider_code=evil,
            provider_request_id=evil,
            bucket=evil,
            hint=evil,
            errors=(Problem(evil, evil),),
            call_id=evil,
        )
    )
    assert all(line.isprintable() for line in text.split("\n"))
    assert not any(line.startswith("refused") for line in text.split("\n"))


def test_problems_are_bounded() -> None:
    """A thousand findings do not bury the rest."""
    lines = failure_text(failure(errors=tuple(Problem(f"/{n}", "is wrong") for n in range(1000)))).splitlines()
    assert len(lines) == 52
    assert lines[-1] == "  and 950 more problems; --json lists all"


@pytest.mark.parametrize(
    ("hint", "label"),
    [
        ("served: github, slack", ("served", "github, slack")),
        ("look at the provider", ("look", "at the provider")),
        ("an operator can enable it", ("hint", "an operator can enable it")),
        ("see", ("hint", "see")),
    ],
)
def test_a_hint_s_first_word_may_be_its_label(hint: str, label: tuple[str, str]) -> None:
    """What to do is seen at a glance."""
    assert labelled(hint) == label
