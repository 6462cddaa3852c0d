"""Gmail and Google Calendar: one call is one mail and one event, and nothing that is written leaves its place."""

from __future__ import annotations

from tests.prove_red.row import Row

GMAIL = "tests/connectors/test_gmail.py"
GOOGLE = "tests/connectors/test_google.py"
GMAIL_HOOKS = "connectors/gmail/hooks.py"

ROWS = (
    Row(
        promise="An input hook can make an id of the call's own.",
        file="sidecar/core/plan.py",
        good="hook({**values, CALL_ID: known_by})",
        bad='hook({**values, CALL_ID: "one"})',
        tests=("tests/execute/test_hooks.py::test_an_input_hook_can_make_an_id_of_the_calls_own",),
    ),
    Row(
        promise="A new event has the id of its call, so that the same call sent twice makes one.",
        file="connectors/google_calendar/hooks.py",
        good='return {"event_id": values["call_id"].replace("-", ""), **_event(values)}',
        bad='return {**_event(values), "event_id": values["call_id"]}',
        tests=(f"{GOOGLE}::test_the_id_of_a_new_event_is_one_that_google_takes",),
    ),
    Row(
        promise="A mail can be found again by the id of the call that sent it.",
        file=GMAIL_HOOKS,
        good="f\"<{values['call_id']}@{domain}>\"",
        bad='f"<{len(values)}@{domain}>"',
        tests=(f"{GMAIL}::test_the_same_call_writes_the_same_bytes_under_an_id_of_its_own",),
    ),
    Row(
        promise="No name makes a second recipient.",
        file=GMAIL_HOOKS,
        good='return formataddr((" ".join(name.split()).strip(\'" \'), address.rstrip(">")))',
        bad='return f"{name}<{address}"',
        tests=(f"{GMAIL}::test_an_address_is_one_recipient_with_its_name",),
    ),
    Row(
        promise="A subject is shown as it was written, also where it looks like an encoded one.",
        file=GMAIL_HOOKS,
        good='return Header(text, "utf-8" if "=?" in text else None, header_name="Subject").encode()',
        bad='return Header(text, header_name="Subject").encode()',
        tests=(f"{GMAIL}::test_a_subject_arrives_as_it_was_written",),
    ),
    Row(
        promise="No text of a mail ends its part, even where it knows the boundary.",
        file=GMAIL_HOOKS,
        good='Charset("utf-8"))',
        bad='Charset("us-ascii"))',
        tests=(f"{GMAIL}::test_no_text_ends_a_part",),
    ),
    Row(
        promise="A message that was sent along is a file, not a part of the message's own text.",
        file=GMAIL_HOOKS,
        good='if not inner or part.get("filename") or depth == MAX_DEPTH:',
        bad="if not inner or depth == MAX_DEPTH:",
        tests=(f"{GMAIL}::test_a_forwarded_message_is_a_file",),
    ),
    Row(
        promise="A wait that a limited answer tells in words counts by the provider's clock.",
        file="sidecar/core/outcome.py",
        good="wait = max(told.retry_at - provider_clock(headers, wall), 0.0)",
        bad="wait = max(told.retry_at - wall, 0.0)",
        tests=("tests/core/test_outcome_limits.py::test_a_moment_told_in_words_is_waited_for",),
    ),
    Row(
        promise="A case that names the call's id takes no other value in its place.",
        file="sidecar/sandbox/compare.py",
        good="re.fullmatch(CALL_ID.pattern.join(map(re.escape, expected.split(CALL_ID_MARK))), sent)",
        bad="re.search(CALL_ID.pattern.join(map(re.escape, expected.strip('{}\"').split(CALL_ID_MARK))), sent)",
        tests=("tests/sandbox/test_compare.py::test_the_call_id_in_a_body_is_any_calls",),
    ),
)
