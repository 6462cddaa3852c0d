"""Replies: the output as it is, or one shape of failure; always small enough, always one header block."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model import (
    MEANINGS,
    Access,
    Again,
    Code,
    Failure,
    Problem,
    Reason,
    SideEffect,
    Success,
    TraceContext,
    retryable,
)
from sidecar.wire.header import by_lower_case, one_line
from sidecar.wire.reply import MOST_HEADERS, Asked, FailureReply, Reply, encode_reply
from sidecar.wire.request import MAX_CURSOR

CALL_ID = "0190a8b0-1234-7abc-8def-0123456789ab"
ASKED = Asked(
    call_id=CALL_ID,
    provider="github",
    operation="issues.create",
    access=Access.WRITE,
    trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
    catalog_hash="abcdef",
    attempts=2,
)
MEBIBYTE = 1024 * 1024
# gRPC codes and the HTTP statuses that a client may know them by.
STATUSES = {
    Code.INVALID_ARGUMENT: {400, 422},
    Code.UNAUTHENTICATED: {401},
    Code.PERMISSION_DENIED: {403},
    Code.NOT_FOUND: {404},
    Code.ALREADY_EXISTS: {409},
    Code.FAILED_PRECONDITION: {400, 412},
    Code.ABORTED: {409},
    Code.OUT_OF_RANGE: {413},
    Code.RESOURCE_EXHAUSTED: {429},
    Code.CANCELLED: {499},
    Code.DEADLINE_EXCEEDED: {504},
    Code.UNAVAILABLE: {503},
    Code.UNKNOWN: {502},
    Code.INTERNAL: {500},
}


def failed(failure: Failure, asked: Asked = ASKED, max_payload: int = MEBIBYTE) -> tuple[Reply, FailureReply]:
    reply = encode_reply(asked, failure, max_payload)
    return reply, msgspec.json.decode(reply.payload, type=FailureReply)


def size(reply: Reply) -> int:
    """What NATS counts against max_payload: the header block (ADR-4) and the payload."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    return len(f"NATS/1.0\r\n{lines}\r\n".encode()) + len(reply.payload)


def test_an_output_is_the_payload_as_it_is() -> None:
    """Not one byte of the provider's JSON is changed, and the headers say how it came about."""
    body = b'{ "a" :1.0, "b":"\\u00e9" }'
    reply = encode_reply(ASKED, Success(body=body, provider_status=201, next_cursor="bmV4dA"), MEBIBYTE)
    assert reply.payload == body
    assert reply.headers == {
        "Call-Id": CALL_ID,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Attempts": "2",
        "Catalog-Hash": "abcdef",
        "Provider-Status": "201",
        "Next-Cursor": "bmV4dA",
    }


def test_json_needs_no_content_type_and_bytes_have_one() -> None:
    """The content type is named where it is not JSON."""
    plain = encode_reply(ASKED, Success(body=b"null"), MEBIBYTE)
    assert "Content-Type" not in plain.headers
    picture = encode_reply(ASKED, Success(body=b"\x89PNG", content_type="image/png"), MEBIBYTE)
    assert picture.headers["Content-Type"] == "image/png"


def test_a_provider_cannot_write_headers_of_a_reply() -> None:
    """What a provider names as content type stays one line of one header."""
    evil = "text/plain\r\nNats-Service-Error: BUG\x1b[2J"
    reply = encode_reply(ASKED, Success(body=b"x", content_type=evil), MEBIBYTE)
    assert reply.headers["Content-Type"].isprintable()
    assert "Nats-Service-Error" not in reply.headers


def test_a_failure_has_every_member_and_both_error_headers() -> None:
    """RFC 9457 members and ours, recognisable with and without headers."""
    failure = Failure(
        reason=Reason.PROVIDER_RATE_LIMITED,
        detail="GitHub answered 429: slow down",
        retry_after=1.2,
        hint="wait",
        bucket="search",
        provider_status=429,
        provider_code="abuse",
        provider_request_id="r-1",
    )
    reply, _ = failed(failure)
    assert msgspec.json.decode(reply.payload) == {
        "type": "urn:connector-sidecar:failure:PROVIDER_RATE_LIMITED",
        "title": "The provider limits the rate",
        "status": 429,
        "detail": "GitHub answered 429: slow down",
        "code": "RESOURCE_EXHAUSTED",
        "reason": "PROVIDER_RATE_LIMITED",
        "retryable": True,
        "side_effect": "none",
        "retry_after_ms": 1200,
        "attempts": 2,
        "provider": "github",
        "operation": "issues.create",
        "provider_status": 429,
        "provider_code": "abuse",
        "provider_request_id": "r-1",
        "bucket": "search",
        "hint": "wait",
        "errors": [],
        "call_id": CALL_ID,
    }
    assert reply.headers["Nats-Service-Error-Code"] == "429"
    assert reply.headers["Nats-Service-Error"] == "PROVIDER_RATE_LIMITED: GitHub answered 429: slow down"
    assert reply.headers["Call-Id"] == CALL_ID


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_meaning(reason: Reason) -> None:
    """No reason is without code, status and title, and status and code agree."""
    meaning = MEANINGS[reason]
    assert meaning.status in STATUSES[meaning.code]
    assert meaning.title
    assert not meaning.title.endswith(".")
    reply, body = failed(Failure(reason=reason, detail="d"))
    assert (body.code, body.status, body.title) == (meaning.code, meaning.status, meaning.title)
    assert reply.headers["Nats-Service-Error"] == f"{reason}: d"


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("side_effect", SideEffect)
def test_retryable_is_a_promise(reason: Reason, access: Access, side_effect: SideEffect) -> None:
    """The same request may be sent again: never for what will not go away, a write only when nothing happened."""
    failure = Failure(reason=reason, detail="d", side_effect=side_effect)
    expected = MEANINGS[reason].again is Again.YES and (access is Access.READ or side_effect is SideEffect.NONE)
    assert retryable(failure, access) is expected
    _, body = failed(failure, msgspec.structs.replace(ASKED, access=access))
    assert body.retryable is expected


# The reasons by code, as agents were told: which of them may be sent again unchanged.
AGAIN = {
    Code.INVALID_ARGUMENT: False,
    Code.UNAUTHENTICATED: False,
    Code.PERMISSION_DENIED: False,
    Code.NOT_FOUND: False,
    Code.ALREADY_EXISTS: False,
    Code.FAILED_PRECONDITION: False,
    Code.ABORTED: True,
    Code.OUT_OF_RANGE: False,
    Code.CANCELLED: False,
    Code.RESOURCE_EXHAUSTED: True,
    Code.DEADLINE_EXCEEDED: True,
    Code.UNAVAILABLE: True,
    Code.UNKNOWN: True,
    Code.INTERNAL: False,
}


@pytest.mark.parametrize("reason", Reason)
def test_a_code_alone_says_whether_sending_again_can_help(reason: Reason) -> None:
    """A caller that knows gRPC codes only is not misled by any reason."""
    assert (MEANINGS[reason].again is Again.YES) is AGAIN[MEANINGS[reason].code]


@pytest.mark.parametrize(
    ("seconds", "ms"), [(None, None), (0.0, 0), (-5.0, 0), (0.0004, 0), (1.5, 1500), (86400.0, 86_400_000)]
)
def test_a_wait_is_in_milliseconds(seconds: float | None, ms: int | None) -> None:
    """Never negative; absent where nothing is known."""
    _, body = failed(Failure(reason=Reason.PROVIDER_RATE_LIMITED, detail="d", retry_after=seconds))
    assert body.retry_after_ms == ms


def test_an_exception_is_never_sent() -> None:
    """The cause is for a debugger: its text may hold anything."""
    failure = Failure(reason=Reason.BUG, detail="a defect", cause=ValueError("canary-secret"))
    reply, _ = failed(failure)
    assert b"canary" not in reply.payload
    assert "canary" not in str(reply.headers)


def test_a_failure_of_nothing_decoded_is_still_a_failure() -> None:
    """What could not be decoded at all is answered in the same shape."""
    reply, body = failed(Failure(reason=Reason.MALFORMED, detail="d"), Asked())
    assert body.call_id is None
    assert set(reply.headers) == {"Nats-Service-Error-Code", "Nats-Service-Error"}


HOSTILE = [
    "\r\nInjected: 1",
    "a\nb",
    "\x1b[31mred\x1b[0m",
    "\x00",
    "\x85\u2028\u2029",
    "\u202egnp.exe",
    "x" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_no_text_splits_the_headers_of_a_failure(text: str) -> None:
    """A newline, an escape sequence or a megabyte in what a provider said: one printable header line, one reply."""
    reply, body = failed(Failure(reason=Reason.PROVIDER_REJECTED, detail=text))
    line = reply.headers["Nats-Service-Error"]
    assert line.isprintable()
    assert len(line) <= 512
    assert all(value.isprintable() for value in reply.headers.values())
    assert body.detail.startswith(text[:100])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_header_value_is_always_one_line(text: str) -> None:
    """Whatever the text, it cannot start a header of its own."""
    line = one_line(text)
    assert line.isprintable()
    assert len(line) == len(text)


def test_header_names_are_read_without_case_and_values_without_edges() -> None:
    """Of what has two values none counts, and its name is told."""
    assert by_lower_case({"Call-ID": " a ", "call-id": "a\t", "X": "b"}) == {"call-id": "a", "x": "b"}
    assert by_lower_case({"Call-ID": "a", "call-id": "b", "X": "c"}) == {"x": "c", "": "call-id"}
    assert by_lower_case({"Call-ID": "a", "x": "b", "X": "c", "": "call-id"}) == {"": "call-id x"}
    assert by_lower_case(None) == {}


# --- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [-1, 0, 1])
def test_an_output_that_does_not_fit_is_a_failure(room: int) -> None:
    """Exactly max_payload still fits, headers counted; one byte more is told, with what to do."""
    empty = size(encode_reply(ASKED, Success(body=b"", provider_status=200), MEBIBYTE))
    body = b"x" * (4096 - empty + room)
    reply = encode_reply(ASKED, Success(body=body, provider_status=200), 4096)
    assert size(reply) <= 4096
    if room > 0:
        failure = msgspec.json.decode(reply.payload, type=FailureReply)
        assert failure.reason is Reason.RESPONSE_TOO_LARGE
        assert failure.code is Code.OUT_OF_RANGE
        assert failure.hint is not None
    else:
        assert reply.payload == body


def test_what_is_told_of_an_output_that_does_not_fit_is_true() -> None:
    """Also where it is its headers that make it too large."""
    reply = encode_reply(ASKED, Success(body=b"x" * 4_000, provider_status=200), 4_096)
    body = msgspec.json.decode(reply.payload, type=FailureReply)
    assert body.detail == (
        "the output has 4,000 bytes, with the reply's headers more than the 4,096 that one NATS message here holds"
    )


def test_headers_that_are_not_counted_fit() -> None:
    """Far below the limit headers are taken for as large as they can be: no reply has larger ones."""
    asked = msgspec.structs.replace(ASKED, replayed="a" * 36, catalog_hash="f" * 64, attempts=1_000)
    page = Success(body=b"", provider_status=599, next_cursor="c" * MAX_CURSOR, content_type="\U0001f511" * 1_000)
    worst = Failure(reason=Reason.VALIDATION, detail="\U0001f511" * 1_000)
    assert size(encode_reply(asked, page, MEBIBYTE)) <= MOST_HEADERS
    failed = encode_reply(asked, worst, MEBIBYTE)
    assert size(failed) - len(failed.payload) <= MOST_HEADERS


@pytest.mark.parametrize(
    ("access", "attempts", "side_effect"),
    [
        (Access.READ, 1, SideEffect.NONE),
        (Access.WRITE, 1, SideEffect.DONE),
        (Access.WRITE, 0, SideEffect.NONE),  # a dry run
    ],
)
def test_a_write_whose_answer_is_too_large_was_done(access: Access, attempts: int, side_effect: SideEffect) -> None:
    """The agent must not send it again: it happened, only its answer does not fit."""
    asked = msgspec.structs.replace(ASKED, access=access, attempts=attempts)
    reply = encode_reply(asked, Success(body=b"x" * 5000, provider_status=201), 4096)
    body = msgspec.json.decode(reply.payload, type=FailureReply)
    assert body.side_effect is side_effect
    assert body.retryable is False
    assert body.provider_status == 201


@pytest.mark.parametrize(
    "failure",
    [
        Failure(reason=Reason.VALIDATION, detail="\x00" * 100_000),
        Failure(reason=Reason.VALIDATION, detail="d", hint="é" * 100_000),
        Failure(reason=Reason.VALIDATION, detail="d", problems=(Problem("/a" * 50_000, "is wrong"),)),
        Failure(
            reason=Reason.VALIDATION,
            detail="d",
            problems=tuple(Problem(f"/{n}", "is wrong", tuple("abcdefghij" * 10)) for n in range(50)),
        ),
        Failure(reason=Reason.PROVIDER_REJECTED, detail="d", provider_code="c" * 100_000, bucket="b" * 9_000),
        Failure(reason=Reason.PROVIDER_REJECTED, detail="d", provider_request_id="r" * 100_000),
    ],
    ids=["detail", "hint", "pointer", "allowed", "code", "request id"],
)
@pytest.mark.parametrize("most", [1_024, 2_048, 8_192])
@pytest.mark.parametrize("operation", ["issues.create", "o" * 3_200])
def test_a_failure_always_fits(failure: Failure, most: int, operation: str) -> None:
    """Exactly one reply, however long the explanation: what explains least is left out before the reply is."""
    reply, body = failed(failure, msgspec.structs.replace(ASKED, operation=operation), max_payload=most)
    assert size(reply) <= most
    assert body.reason is failure.reason
    assert body.detail
    assert body.call_id == CALL_ID


def test_a_failure_that_fits_is_not_cut() -> None:
    """Every problem of an input is told while there is room."""
    problems = tuple(Problem(f"/field_{number}", "is required") for number in range(50))
    _, body = failed(Failure(reason=Reason.VALIDATION, detail="d" * 2_000, problems=problems))
    assert len(body.errors) == 50
    assert len(body.detail) == 2_000


def test_a_failure_from_later_versions_still_decodes() -> None:
    """New members may come: a reader of this version passes over them."""
    _, body = failed(Failure(reason=Reason.MALFORMED, detail="d"))
    later: dict[str, Any] = {**msgspec.to_builtins(body), "member_of_the_future": {"a": 1}}
    assert msgspec.json.decode(msgspec.json.encode(later), type=FailureReply) == body
