"""The wire: one spelling of every name, nothing ignored that somebody relies on, and a reply that always fits."""

from __future__ import annotations

from tests.prove_red.row import Row

REQUEST = "tests/wire/test_request.py"
REPLY = "tests/wire/test_reply.py"
SUBJECT = "tests/wire/test_subject.py"

ROWS = (
    Row(
        promise="Header names are read without regard to case.",
        file="sidecar/wire/header.py",
        good="given = {name.lower(): value.strip() for name",
        bad="given = {name: value.strip() for name",
        tests=(f"{REQUEST}::test_header_names_have_no_case",),
    ),
    Row(
        promise="`Fields` and `Not-Before` are refused, not ignored; not even empty.",
        file="sidecar/wire/request.py",
        good="if name.lower() in given), None)",
        bad="if given.get(name.lower())), None)",
        tests=(f"{REQUEST}::test_what_cannot_be_honoured_is_refused",),
    ),
    Row(
        promise="An `Idempotency-Key` that is none is refused, not ignored; not even empty.",
        file="sidecar/wire/request.py",
        good="    if key is None or IDEMPOTENCY_KEY.fullmatch(key):",
        bad="    if not key or IDEMPOTENCY_KEY.fullmatch(key):",
        tests=(f"{REQUEST}::test_a_key_that_is_none_is_refused",),
    ),
    Row(
        promise="A header of ours with two values is refused: none of them is taken.",
        file="sidecar/wire/request.py",
        good="    if twice is not None:\n",
        bad="    if twice == header.CURSOR:\n",
        tests=(f"{REQUEST}::test_a_header_with_two_values_is_refused",),
    ),
    Row(
        promise="No two subjects name one connection: a token has one spelling.",
        file="sidecar/wire/subject.py",
        good="return text if encode_token(text) == token else None",
        bad="return text",
        tests=(f"{SUBJECT}::test_what_is_not_canonical_is_refused",),
    ),
    Row(
        promise="A call can never be for the connection `-`.",
        file="sidecar/wire/subject.py",
        good="        if name == EVERY:\n",
        bad="        if name == EVERY and what == 'tenant':\n",
        tests=(f"{SUBJECT}::test_a_dash_is_never_a_name",),
    ),
    Row(
        promise="Nobody holds a place for longer than the operator allows.",
        file="sidecar/wire/request.py",
        good="min(said.timeout_ms, arrival.max_timeout_ms) / 1000",
        bad="said.timeout_ms / 1000",
        tests=(f"{REQUEST}::test_a_long_time_out_is_capped",),
    ),
    Row(
        promise="A `Cursor` that was never given out is refused.",
        file="sidecar/wire/request.py",
        good="return value if value and encode_cursor(value) == word else None",
        bad="return value or None",
        tests=(f"{REQUEST}::test_a_cursor_has_one_form",),
    ),
    Row(
        promise="A `Cursor` where there are no pages is refused, not ignored.",
        file="sidecar/core/page.py",
        good="            return Failure(reason=Reason.MALFORMED, detail=detail)\n",
        bad="            return request\n",
        tests=("tests/core/test_page.py::test_a_cursor_where_there_are_no_pages_is_refused",),
    ),
    Row(
        promise="Where no answer says which page it is, the next follows the one that was asked for.",
        file="sidecar/core/outcome.py",
        good="            asked = asked_for(operation, request)",
        bad="            asked = None",
        tests=("tests/execute/test_around.py::test_the_next_page_follows_the_one_that_was_asked_for",),
    ),
    Row(
        promise="A flag that says `last` is not one that says `more`.",
        file="sidecar/core/next_page.py",
        good="return None if paging.last is None else not _is_up(read(paging.last))",
        bad="return None if paging.last is None else _is_up(read(paging.last))",
        tests=("tests/core/test_next_page.py::test_what_an_answer_does_not_say_is_what_was_asked_for",),
    ),
    Row(
        promise="A listing does not end in silence where its last item has no id to go on from.",
        file="sidecar/core/next_page.py",
        good='if found is None and of_last and dig(body, f"{list_path}-1") is not None:',
        bad='if found == "" and of_last and dig(body, f"{list_path}-1") is not None:',
        tests=("tests/core/test_next_page.py::test_a_last_item_without_its_id_is_told",),
    ),
    Row(
        promise="A content type that would be ignored is refused.",
        file="sidecar/core/raw.py",
        good="if named is not None and not JSON_TYPE.match(named):",
        bad="if named is not None and not named:",
        tests=("tests/core/test_raw.py::test_a_body_that_is_not_one_is_refused",),
    ),
    Row(
        promise="A flag in a header is a text: `false` is not up.",
        file="sidecar/core/next_page.py",
        good="    return flag.strip().lower() not in DOWN if isinstance(flag, str) else bool(flag)",
        bad="    return bool(flag)",
        tests=("tests/core/test_next_page.py::test_headers_may_tell_of_the_next_page",),
    ),
    Row(
        promise="Who asked for a dry run never gets a real call for a misspelt word.",
        file="sidecar/wire/request.py",
        good='if text not in {"true", "false"}:',
        bad='if text not in {"true", "false", "yes", "1"}:',
        tests=(f"{REQUEST}::test_an_unclear_dry_run_is_refused",),
    ),
    Row(
        promise="A call id has one form.",
        file="sidecar/wire/request.py",
        good="    return text.lower()\n\n\ndef _flag",
        bad="    return text\n\n\ndef _flag",
        tests=(f"{REQUEST}::test_a_call_id_is_kept",),
    ),
    Row(
        promise="A caller's trace is continued.",
        file="sidecar/wire/request.py",
        good="return TraceContext(match[2], span_id, match[3], match[4]",
        bad="return TraceContext(trace.hex(), span_id, match[3], match[4]",
        tests=(f"{REQUEST}::test_a_callers_trace_is_continued",),
    ),
    Row(
        promise="A reply always fits one NATS message, its headers counted.",
        file="sidecar/wire/reply.py",
        good="or _size(reply) <= max_payload",
        bad="or len(reply.payload) <= max_payload",
        tests=(f"{REPLY}::test_an_output_that_does_not_fit_is_a_failure",),
    ),
    Row(
        promise="A failure always fits one NATS message, whatever it has to name.",
        file="sidecar/wire/reply.py",
        good="        operation = asked.operation and asked.operation[:most]\n",
        bad="        operation = asked.operation\n",
        tests=(f"{REPLY}::test_a_failure_always_fits",),
    ),
    Row(
        promise="A write whose answer is too large was done.",
        file="sidecar/wire/reply.py",
        good="side_effect=SideEffect.DONE if done else SideEffect.NONE,",
        bad="side_effect=SideEffect.NONE,",
        tests=(f"{REPLY}::test_a_write_whose_answer_is_too_large_was_done",),
    ),
    Row(
        promise="A header's value is always one line.",
        file="sidecar/wire/header.py",
        good='return "".join(char if char.isprintable() else " " for char in text[:limit])',
        bad="return text[:limit]",
        tests=(f"{REPLY}::test_a_header_value_is_always_one_line",),
    ),
    Row(
        promise="`retryable` is a promise: a write only when nothing happened.",
        file="sidecar/model.py",
        good="return again or access is Access.READ or failure.side_effect is SideEffect.NONE",
        bad="return again or access is Access.READ or failure.side_effect is not SideEffect.DONE",
        tests=(f"{REPLY}::test_retryable_is_a_promise",),
    ),
    Row(
        promise="A failure says when to come back, in milliseconds.",
        file="sidecar/wire/reply.py",
        good="max(0, round(failure.retry_after * 1000))",
        bad="max(0, round(failure.retry_after))",
        tests=(f"{REPLY}::test_a_wait_is_in_milliseconds",),
    ),
    Row(
        promise="No payload raises: what is nested too deeply is refused.",
        file="sidecar/wire/request.py",
        good="    except RecursionError:  # msgspec raises it for deep nesting; it is not a DecodeError\n",
        bad="    except OverflowError:\n",
        tests=(f"{REQUEST}::test_a_payload_that_is_not_json_is_refused",),
    ),
    Row(
        promise="Within a major version no field is removed: what was once sent is still read.",
        file="sidecar/wire/reply.py",
        good="    bucket: str | None = None\n    hint: str | None = None\n    errors",
        bad="    hint: str | None = None\n    errors",
        tests=("tests/wire/test_examples.py::test_an_example_decodes_and_loses_nothing",),
    ),
    Row(
        promise="The committed schemas are what the code says.",
        file="sidecar/wire/event.py",
        good="    attempt: int\n    method: str",
        bad="    attempt: float\n    method: str",
        tests=("tests/wire/test_schemas.py::test_the_committed_files_are_what_the_code_says",),
    ),
)
