"""Decode a message: headers without case, one meaning each, and a refusal for what cannot be honoured."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.model import Access, Call, Failure, Reason, SideEffect
from sidecar.wire.request import (
    MAX_CURSOR,
    Arrival,
    asked_of,
    call_id_at,
    decode_cursor,
    decode_input,
    decode_request,
    encode_cursor,
    trace_context,
)
from sidecar.wire.subject import parse_call

SUBJECT = "sidecar.read.acme.alice.github.issues.list"
ARRIVAL = Arrival(now=100.0, wall=1_795_255_200.0, dice=bytes(range(1, 35)), max_timeout_ms=300_000)
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
CALL_ID = "0190a8b0-1234-7abc-8def-0123456789ab"


def decode(headers: dict[str, str] | None = None, payload: bytes = b"{}", subject: str = SUBJECT) -> Call | Failure:
    return decode_request("sidecar", subject, headers, payload, ARRIVAL)


def call(headers: dict[str, str] | None = None) -> Call:
    decoded = decode(headers)
    assert isinstance(decoded, Call), decoded
    return decoded


def refusal(headers: dict[str, str]) -> Failure:
    decoded = decode(headers)
    assert isinstance(decoded, Failure), decoded
    assert decoded.side_effect is SideEffect.NONE
    return decoded


def test_a_message_without_headers_is_a_call() -> None:
    """Every header is optional: 30 s, an id of ours, a trace of ours, no page, not dry."""
    made = call()
    assert (made.access, made.tenant, made.connection) == (Access.READ, "acme", "alice")
    assert (made.provider, made.operation) == ("github", "issues.list")
    assert made.accepted == 100.0
    assert made.deadline == 130.0
    assert made.cursor is None
    assert made.dry_run is False
    assert uuid.UUID(made.call_id).version == 7


def test_a_wrong_subject_comes_first() -> None:
    """What is no call is refused before its headers are read."""
    failure = decode({"Timeout-Ms": "-1"}, subject="sidecar.read.acme.-.github.issues.list")
    assert isinstance(failure, Failure)
    assert "connection" in failure.detail


WRONG = {"Fields": "a", "Timeout-Ms": "0", "Call-Id": "x", "Dry-Run": "maybe", "Cursor": "?", "Idempotency-Key": ""}


@pytest.mark.parametrize("name", list(WRONG))
def test_the_first_wrong_header_is_told(name: str) -> None:
    """Of several wrong headers always the same one is told, so that who mends them one by one gets on."""
    names = list(WRONG)
    failure = decode({later: WRONG[later] for later in reversed(names[names.index(name) :])})
    assert isinstance(failure, Failure)
    assert name in failure.detail


@pytest.mark.parametrize("spelling", ["Timeout-Ms", "timeout-ms", "TIMEOUT-MS", "tImEoUt-mS"])
def test_header_names_have_no_case(spelling: str) -> None:
    """Clients write names as they like: a time-out is never missed for its spelling."""
    assert call({spelling: "1500"}).deadline == 101.5


@pytest.mark.parametrize(
    ("text", "deadline"), [("1", 100.001), ("30000", 130.0), (" 500 ", 100.5), ("0" * 5_000 + "7", 100.007)]
)
def test_a_time_out_sets_the_deadline(text: str, deadline: float) -> None:
    """`Timeout-Ms` counts from the moment the message came."""
    assert call({"Timeout-Ms": text}).deadline == pytest.approx(deadline)


@pytest.mark.parametrize("text", ["300001", "999999999999", "9999999999999", "9" * 5_000, "1" + "0" * 5_000])
def test_a_long_time_out_is_capped(text: str) -> None:
    """Nobody holds a place for longer than the operator allows."""
    assert call({"Timeout-Ms": text}).deadline == 400.0


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-1",
        "1.5",
        "1e3",
        "",
        " ",
        "abc",
        "0x10",
        "+5",
        "1_000",
        "٣",
        "²",
        "NaN",
        "inf",
        "0" * 5_000,
        "9" * 5_000 + "s",
    ],
)
def test_a_wrong_time_out_is_refused(text: str) -> None:
    """A time-out that is no positive whole number is not guessed at."""
    failure = refusal({"Timeout-Ms": text})
    assert failure.reason is Reason.MALFORMED
    assert "Timeout-Ms" in failure.detail
    assert len(failure.detail) < 200


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Fields", Reason.HEADER_UNSUPPORTED),
        ("FIELDS", Reason.HEADER_UNSUPPORTED),
        ("Not-Before", Reason.HEADER_UNSUPPORTED),
    ],
)
@pytest.mark.parametrize("value", ["x", ""])
def test_what_cannot_be_honoured_is_refused(name: str, reason: Reason, value: str) -> None:
    """A caller who sends it relies on it: never accepted and ignored, not even empty."""
    failure = refusal({name: value})
    assert failure.reason is reason
    assert name.lower() in failure.detail.lower()


ONCE = ["Idempotency-Key", "Call-Id", "Timeout-Ms", "Dry-Run", "Cursor", "Not-Before", "Fields", "traceparent"]


@pytest.mark.parametrize("name", ONCE)
def test_a_header_with_two_values_is_refused(name: str) -> None:
    """Whichever were taken, its caller may rely on the other one; two that say the same are one."""
    for headers in ({name: "1", name.swapcase(): "2"}, {name: "2", "": f"x-other {name.lower()}"}):
        failure = refusal(headers)
        assert failure.reason is Reason.MALFORMED
        assert failure.detail.startswith(f"{name} came more than once")
    assert call({"Timeout-Ms": "1500", "timeout-ms": " 1500"}).deadline == 101.5


@pytest.mark.parametrize(
    ("headers", "call_id", "trace_id"),
    [
        (None, None, None),
        ({"call-id": CALL_ID.upper(), "Traceparent": TRACEPARENT}, CALL_ID, TRACE_ID),
        ({"Call-Id": "mine", "traceparent": TRACEPARENT}, None, TRACE_ID),
        ({"Call-Id": CALL_ID, "traceparent": "mine"}, CALL_ID, None),
        ({"Call-Id": CALL_ID, "call-id": CALL_ID[:-1] + "0", "traceparent": TRACEPARENT}, None, TRACE_ID),
    ],
)
def test_of_a_refused_call_is_told_what_is_right(
    headers: dict[str, str] | None, call_id: str | None, trace_id: str | None
) -> None:
    """Its address where there is one, its id and its trace where these are valid; nothing is made up."""
    asked = asked_of(parse_call("sidecar", SUBJECT), headers, ARRIVAL)
    assert (asked.provider, asked.operation, asked.access) == ("github", "issues.list", Access.READ)
    assert (asked.call_id, asked.trace and asked.trace.trace_id) == (call_id, trace_id)
    nowhere = asked_of(parse_call("sidecar", "sidecar.read.acme"), headers, ARRIVAL)
    assert (nowhere.provider, nowhere.operation, nowhere.access) == (None, None, Access.WRITE)
    assert nowhere.call_id == call_id


def test_headers_that_cannot_be_read_are_refused() -> None:
    """Whatever stood in them, its caller relies on it."""
    failure = refusal({"": ""})
    assert failure.reason is Reason.MALFORMED
    assert "header" in failure.detail


def test_what_is_not_ours_may_have_two_values() -> None:
    """Nobody here reads it. Of `tracestate` the standard itself allows several lines."""
    assert call({"X-Team": "a", "x-team": "b", "Timeout-Ms": "1500"}).deadline == 101.5
    assert call({"": "x-team tracestate", "Timeout-Ms": "1500"}).deadline == 101.5


@pytest.mark.parametrize("key", ["k", "!~", "0" * 255, "run-4711/step:notify"])
def test_an_idempotency_key_is_kept(key: str) -> None:
    """As its caller made it, whatever is visible in ASCII."""
    assert call({"IDEMPOTENCY-KEY": f" {key} "}).idempotency_key == key


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "0" * 256, "a\x00", "a\x7f"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """Never cut, mended or ignored, not even empty: its caller relies on it."""
    failure = refusal({"Idempotency-Key": key})
    assert failure.reason is Reason.MALFORMED
    assert "Idempotency-Key" in failure.detail
    assert len(failure.detail) < 200


def test_other_headers_are_nobodys_business() -> None:
    """Headers of the NATS client or of a proxy change nothing."""
    assert call({"Nats-Msg-Id": "7", "X-Anything": "at all\r\n"}).deadline == 130.0


def test_a_call_id_is_kept() -> None:
    """The caller's own id is the call's id, in lower case."""
    given_id = "0190A8B0-1234-7ABC-8DEF-0123456789AB"
    assert call({"call-id": given_id}).call_id == given_id.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "0190a8b012347abc8def0123456789ab",
        "{0190a8b0-1234-7abc-8def-0123456789ab}",
        "urn:uuid:0190a8b0-1234-7abc-8def-0123456789ab",
        "0190a8b0-1234-7abc-8def-0123456789a",
        "0190a8b0-1234-7abc-8def-0123456789abc",
        "0190a8b0_1234-7abc-8def-0123456789ab",
        "+190a8b0-1234-7abc-8def-0123456789ab",
        "\u0660190a8b0-1234-7abc-8def-0123456789ab",
        "0190a8b0-1234-7abc-8def-0123456789ag",
        "x" * 1_000_000,
    ],
)
def test_a_call_id_has_one_form(text: str) -> None:
    """Only 8-4-4-4-12 hexadecimal digits are a UUID (RFC 9562 section 4), so that no two texts name one call."""
    failure = refusal({"Call-Id": text})
    assert failure.reason is Reason.MALFORMED
    assert "Call-Id" in failure.detail
    assert len(failure.detail) < 200


@given(st.floats(0, 2**47 / 1000), st.binary(min_size=10, max_size=10))
def test_our_call_ids_are_uuid7_of_their_moment(wall: float, dice: bytes) -> None:
    """RFC 9562 section 5.7: 48 bits of Unix milliseconds, version 7, variant 10."""
    made = uuid.UUID(call_id_at(wall, dice))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == int(wall * 1000)


def test_call_ids_of_one_moment_differ() -> None:
    """The dice are in the id."""
    assert call_id_at(1.0, b"a" * 10) != call_id_at(1.0, b"b" * 10)


@pytest.mark.parametrize(("text", "dry"), [("true", True), ("TRUE", True), ("false", False), ("False", False)])
def test_dry_run_is_a_flag(text: str, dry: bool) -> None:
    """`Dry-Run: true` asks to send nothing."""
    assert call({"Dry-Run": text}).dry_run is dry


@pytest.mark.parametrize("text", ["", "1", "yes", "on", "tru", "true,true", "\x00"])
def test_an_unclear_dry_run_is_refused(text: str) -> None:
    """Who asked for a dry run never gets a real one for a misspelt word."""
    assert refusal({"Dry-Run": text}).reason is Reason.MALFORMED


# --- trace context ---------------------------------------------------------------------------------------------------


def test_a_callers_trace_is_continued() -> None:
    """The trace id is kept, the caller's span is the parent, the span is ours. https://www.w3.org/TR/trace-context/"""
    trace = call({"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00", "tracestate": "rojo=1"}).trace
    assert (trace.trace_id, trace.parent_span_id, trace.flags, trace.state) == (TRACE_ID, SPAN_ID, "00", "rojo=1")
    assert trace.span_id == ARRIVAL.dice[10:18].hex()


@pytest.mark.parametrize("later", [f"01-{TRACE_ID}-{SPAN_ID}-01", f"cc-{TRACE_ID}-{SPAN_ID}-01-what-comes-later"])
def test_a_later_version_of_traceparent_is_read_as_this_one(later: str) -> None:
    """Versioning of the W3C: the first four fields keep their place."""
    assert call({"traceparent": later}).trace.trace_id == TRACE_ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-01-extra",  # version 00 has four fields
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}x-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n",
        "0" * 1_000_000,
    ],
)
def test_a_bad_traceparent_starts_a_new_trace(text: str) -> None:
    """A broken trace header never fails a call, and its tracestate is not believed either."""
    trace = trace_context({"traceparent": text, "tracestate": "rojo=1"}, b"s" * 8, b"t" * 16)
    assert trace.trace_id == (b"t" * 16).hex()
    assert trace.parent_span_id is None
    assert trace.state is None
    assert trace.flags == "01"


# --- cursors ---------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example("page=2&per_page=100")
@example("\x00\n")
@example("é")
def test_a_cursor_round_trips(value: str) -> None:
    """What went out as Next-Cursor comes back as it was; the word is safe in a header and in a shell."""
    word = encode_cursor(value)
    assert all(char.isalnum() or char in "-_" for char in word)
    assert decode_cursor(word) == value


@given(st.text(max_size=60))
@example("YQ")
@example("YR")  # bits behind the end
@example("YQ==")
def test_a_cursor_has_one_form(word: str) -> None:
    """Only what `encode_cursor` gives is a cursor."""
    value = decode_cursor(word)
    assert value is None or encode_cursor(value) == word


@pytest.mark.parametrize("word", ["", "!", "a", "YQ=", "YQ==", "Y Q", "Y\nQ", "_w", "é", "x" * 20_000])
def test_a_made_up_cursor_is_refused(word: str) -> None:
    """Padding, other alphabets, no UTF-8, over-long: refused as malformed, before anything is sent."""
    assert refusal({"Cursor": word}).reason is Reason.MALFORMED


def test_a_cursor_as_long_as_allowed_is_taken() -> None:
    """The bound is on the word, as in `MAX_CURSOR`."""
    word = encode_cursor("x" * (MAX_CURSOR * 3 // 4))
    assert len(word) == MAX_CURSOR
    assert call({"cursor": word}).cursor == "x" * (MAX_CURSOR * 3 // 4)


# --- the input -------------------------------------------------------------------------------------------------------


def test_an_empty_payload_is_an_empty_object() -> None:
    """An operation without required inputs needs no payload."""
    assert decode_input(b"") == {}


def test_the_payload_is_the_input() -> None:
    """The payload is the input itself, without an envelope."""
    assert decode_input(b' {"a": [1, null, "\\u00e9"]} ') == {"a": [1, None, "é"]}


@pytest.mark.parametrize(
    "payload",
    [
        b" ",
        b"not json",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} {"b": 2}',
        b'{"a": 1}\x00',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b'{"\xff": 1}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\n"}',
        b'{"a": 01}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000,
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_a_payload_that_is_not_json_is_refused(payload: bytes) -> None:
    """Not JSON, not UTF-8, not finite, too deep: malformed, and nothing of it escapes as an exception."""
    failure = decode_input(payload)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.MALFORMED
    assert failure.side_effect is SideEffect.NONE
    assert len(failure.detail) < 300


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"[]", "an array"),
        (b'"x"', "a string"),
        (b"1", "a number"),
        (b"1.5", "a number"),
        (b"true", "a boolean"),
        (b"null", "null"),
    ],
)
def test_an_input_is_an_object(payload: bytes, kind: str) -> None:
    """Any other JSON value is named, with the shape that is due."""
    failure = decode_input(payload)
    assert isinstance(failure, Failure)
    assert kind in failure.detail
    assert failure.hint == 'send {"name": value}'


@given(st.binary(max_size=200))
def test_no_payload_raises(payload: bytes) -> None:
    """Whatever the bytes: an object or a refusal."""
    decoded = decode_input(payload)
    assert isinstance(decoded, dict) or decoded.reason is Reason.MALFORMED


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=6), st.binary(max_size=20))
def test_no_header_raises(headers: dict[str, str], payload: bytes) -> None:
    """Whatever the headers: a call or a refusal."""
    decoded = decode(headers, payload)
    assert isinstance(decoded, Call | Failure)
