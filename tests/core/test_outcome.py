"""What an answer means: never a success that is none, never a harmless word for what may have happened."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.outcome import outcome
from sidecar.model import Access, Failure, Outcome, Reason, SideEffect, Success
from sidecar.provider import HookFailed, Provider
from sidecar.wire.request import decode_cursor
from tests.build import CREATE_ITEM, GET_ITEM, provider

WALL = 1_795_255_200.0
DATE = formatdate(WALL, usegmt=True)
OPERATIONS = {
    "items.get": GET_ITEM,
    "items.create": CREATE_ITEM,
    "items.delete": CREATE_ITEM | {"method": "DELETE", "returns": "nothing", "input": {}, "required": []},
    "items.file": GET_ITEM | {"returns": "bytes"},
    "items.inner": GET_ITEM | {"output": "data.items"},
    "items.list": GET_ITEM | {"paging": {"kind": "cursor", "path": "next", "name": "cursor"}},
    "items.links": GET_ITEM | {"paging": {"kind": "link"}},
}
ACME = provider(
    operations=OPERATIONS,
    errors={"code": ["error.code", "code"], "message": ["error.message", "message"], "request_id": ["X-Request-Id"]},
    raw={},
)


def came(
    status: int,
    content: bytes | str | object = b"",
    headers: dict[str, str] | None = None,
    *,
    operation: str = "items.get",
    of: Provider = ACME,
    secrets: tuple[str, ...] = (),
) -> Outcome:
    body = (
        content
        if isinstance(content, bytes)
        else content.encode()
        if isinstance(content, str)
        else json.dumps(content).encode()
    )
    kind = {} if isinstance(content, bytes | str) else {"content-type": "application/json"}
    response = httpx.Response(status, headers=kind | (headers or {}), content=body)
    return outcome(of, of.operations[operation], response, WALL, secrets)


def failed(*args: Any, **named: Any) -> Failure:
    result = came(*args, **named)
    assert isinstance(result, Failure), result
    return result


def succeeded(*args: Any, **named: Any) -> Success:
    result = came(*args, **named)
    assert isinstance(result, Success), result
    return result


# --- success ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
@pytest.mark.parametrize("content", [b"{}", b"[]", b' { "b":1.0, "a":1e3}\n', b'"text"', b"null", b"0"])
def test_json_is_passed_on_byte_for_byte(status: int, content: bytes) -> None:
    """No number is rounded, no key is moved."""
    result = succeeded(status, content)
    assert result == Success(body=content, provider_status=status)


@pytest.mark.parametrize("status", [204, 205])
@pytest.mark.parametrize("operation", ["items.get", "items.create", "items.file", "items.inner"])
def test_no_content_is_null(status: int, operation: str) -> None:
    """A status that means "nothing to say" is a success whose output is null."""
    assert succeeded(status, operation=operation).body == b"null"


@pytest.mark.parametrize("status", [201, 202])
@pytest.mark.parametrize("operation", ["items.get", "items.create", "items.list", "items.inner", "http.request"])
def test_what_was_taken_need_not_say_more(status: int, operation: str) -> None:
    """Created, accepted: without a body that is all there is to say, also where successes have a test. One that holds
    something else than JSON is as wrong as ever, and a file that is empty is a file.
    """
    assert succeeded(status, headers={"content-type": "application/json"}, operation=operation).body == b"null"
    if operation in SLACKISH.operations:
        assert succeeded(status, operation=operation, of=SLACKISH).body == b"null"
    assert failed(status, b" ", operation="items.create").reason is Reason.BAD_PROVIDER_RESPONSE
    assert succeeded(status, operation="items.file").body == b""


@pytest.mark.parametrize("content", [b"", b"OK", b"<html></html>", b"{}"])
def test_an_operation_that_returns_nothing_gives_null(content: bytes) -> None:
    """Whatever stands in the answer of a deletion, nothing was promised."""
    assert succeeded(200, content, operation="items.delete").body == b"null"


@pytest.mark.parametrize("operation", ["items.get", "items.create", "items.list", "items.inner"])
@pytest.mark.parametrize(
    ("content", "headers", "why"),
    [
        (b"", {}, "the answer is empty"),
        (b"", {"content-type": "application/json"}, "the answer is empty"),
        (b"<html>login</html>", {"content-type": "text/html; charset=utf-8"}, "text/html where JSON is due"),
        (b"ok", {"content-type": "text/plain"}, "text/plain where JSON is due"),
        (b"{", {"content-type": "application/json"}, "its body is not JSON"),
        (b'{"a": NaN}', {"content-type": "application/json"}, "its body is not JSON"),
        (b'{"a": "\xff"}', {"content-type": "application/json"}, "its body is not JSON"),
        (b"\xef\xbb\xbf{}", {}, "its body is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, {}, "its JSON is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}, "its JSON is nested too deeply"),
        (b"[" * 100_000, {}, "its JSON is nested too deeply"),
    ],
    ids=lambda value: repr(value[:16]) if isinstance(value, bytes) else None,
)
def test_what_is_not_json_is_never_a_success(operation: str, content: bytes, headers: dict[str, str], why: str) -> None:
    """An empty answer, a login page, half a document, a nesting bomb: told as what it is."""
    failure = failed(200, content, headers, operation=operation)
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE
    assert failure.detail == f"Acme answered 200, but {why}"
    write = operation == "items.create"
    assert failure.side_effect is (SideEffect.UNKNOWN if write else SideEffect.NONE)
    assert failure.provider_status == 200


@pytest.mark.parametrize(
    ("content", "headers", "content_type"),
    [
        (b"\x89PNG", {"content-type": "image/png"}, "image/png"),
        (b"\x00", {}, "application/octet-stream"),
        (b'{"a": 1', {"content-type": "application/json"}, "application/json"),
        (b"", {"content-type": "text/csv"}, "text/csv"),
    ],
)
def test_bytes_are_bytes(content: bytes, headers: dict[str, str], content_type: str) -> None:
    """A file is passed on with its type, whatever it holds, also one that is named JSON and is none."""
    result = succeeded(200, content, headers, operation="items.file")
    assert (result.body, result.content_type) == (content, content_type)


@pytest.mark.parametrize(
    ("content", "headers", "body", "content_type"),
    [
        (b'{"a":1}', {"content-type": "application/json"}, b'{"a":1}', "application/json"),
        (b'{"a":1}', {"content-type": "application/problem+json"}, b'{"a":1}', "application/json"),
        (b"a,b", {"content-type": "text/csv"}, b"a,b", "text/csv"),
        (b"{}\n{}", {"content-type": "application/x-ndjson"}, b"{}\n{}", "application/x-ndjson"),
        (b"{}\n{}", {"content-type": "application/jsonl"}, b"{}\n{}", "application/jsonl"),
        (b"\x89PNG", {"content-type": 'image/png; name="a.json"'}, b"\x89PNG", 'image/png; name="a.json"'),
        (b"{}", {"content-type": "Text/JSON;charset=utf-8"}, b"{}", "application/json"),
        (b"", {"content-type": "text/plain"}, b"null", "application/json"),
        (b"", {"content-type": "application/json"}, b"null", "application/json"),
        (b"", {}, b"null", "application/json"),
    ],
)
def test_a_raw_answer_is_taken_as_it_is(
    content: bytes, headers: dict[str, str], body: bytes, content_type: str
) -> None:
    """JSON as JSON, nothing as null, anything else as bytes with its type."""
    result = succeeded(200, content, headers, operation="http.get")
    assert (result.body, result.content_type) == (body, content_type)


def test_a_raw_answer_named_json_must_be_json() -> None:
    """The reply says JSON only where it is."""
    failure = failed(200, b"{", {"content-type": "application/json"}, operation="http.request")
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE
    assert failure.side_effect is SideEffect.UNKNOWN


@pytest.mark.parametrize("operation", ["items.get", "items.inner", "http.get"])
@pytest.mark.parametrize(
    ("told", "text"),
    [
        (r"\ud83d", "\ufffd"),
        (r"\uDC00", "\ufffd"),
        (r"a\uD83D\ud83d\udE00", "a\ufffd\U0001f600"),
        (r"\\ud83d\ud83d", "\\ud83d\ufffd"),
        (r"\ud83d\\udc00", "\ufffd\\udc00"),
    ],
)
def test_half_a_character_does_not_spoil_the_answer(operation: str, told: str, text: str) -> None:
    """Where a provider cut a text in the middle of one; what no text can hold becomes U+FFFD, the rest stays."""
    content = b'{"data": {"items": "' + told.encode() + b'"}}'
    body = succeeded(200, content, {"content-type": "application/json"}, operation=operation).body
    decoded = msgspec.json.decode(body)
    assert (decoded if operation == "items.inner" else decoded["data"]["items"]) == text


def test_an_output_can_be_a_part_of_the_answer() -> None:
    """`output` names where the operation's result stands; where it does not stand, that is no success. A null that
    stands there is what the provider says.
    """
    assert succeeded(200, {"data": {"items": [1, 2]}}, operation="items.inner").body == b"[1,2]"
    assert succeeded(200, {"data": {"items": None}}, operation="items.inner").body == b"null"
    failure = failed(200, {"data": {}}, operation="items.inner")
    assert failure.detail == "Acme answered 200, but the answer has no data.items"


def test_an_output_hook_shapes_the_answer() -> None:
    """And what it breaks on is a defect, not an answer: it raises."""
    made = provider(
        operations={"items.get": GET_ITEM | {"hooks": {"output": "names"}}},
        code="def names(body):\n    return [item['name'] for item in body]\n",
    )
    assert succeeded(200, [{"name": "a"}], of=made).body == b'["a"]'
    with pytest.raises(HookFailed, match="hook names of provider acme failed"):
        came(200, [{}], of=made)


@pytest.mark.parametrize(
    "code",
    [
        "def explain(status, headers, body):\n    return body['nothing']\n",
        "from sidecar.provider import Explained\n\ndef explain(status, headers, body):\n    return Explained(code=5)\n",
        "def explain(status, headers, body):\n    return {'code': 'gone'}\n",
    ],
    ids=["raises", "another type inside", "another type"],
)
def test_a_refusal_stands_where_the_explain_hook_fails(code: str) -> None:
    """Status and the manifest's paths say it: what the provider refused was not done. The failure is told beside it."""
    errors = {"code": ["error"], "rules": [{"reason": "PROVIDER_NOT_FOUND", "code": ["gone"], "status": [404]}]}
    made = provider(operations=OPERATIONS, code=code, hooks={"explain": "explain"}, errors=errors)
    failure = failed(404, {"error": "gone"}, operation="items.create", of=made)
    assert (failure.reason, failure.side_effect, failure.provider_code) == (
        Reason.PROVIDER_NOT_FOUND,
        SideEffect.NONE,
        "gone",
    )
    assert isinstance(failure.cause, HookFailed)
    assert "hooks.py, line " in failure.cause.place


# --- the test of success beyond the status ---------------------------------------------------------------------------

SLACKISH = provider(
    operations=OPERATIONS,
    success={"path": "ok", "equals": True},
    errors={"code": ["error"], "rules": [{"reason": "PROVIDER_NOT_FOUND", "code": ["channel_not_found"]}]},
    raw={},
)
GRAPHQL = provider(
    operations=OPERATIONS, success={"path": "errors", "equals": None}, errors={"message": ["errors.0.message"]}
)


@pytest.mark.parametrize("operation", ["items.get", "items.create", "items.file", "http.get", "http.request"])
def test_ok_false_is_never_a_success(operation: str) -> None:
    """A status of 200 with `ok: false` is the failure that the manifest's rules say, also of a raw request."""
    failure = failed(200, {"ok": False, "error": "channel_not_found"}, operation=operation, of=SLACKISH)
    assert failure.reason is Reason.PROVIDER_NOT_FOUND
    assert failure.provider_code == "channel_not_found"
    assert failure.side_effect is SideEffect.NONE
    succeeded(200, {"ok": True}, operation=operation, of=SLACKISH)


@pytest.mark.parametrize("body", [{}, [], None, {"ok": None}, {"ok": "true"}, {"ok": 1}, "true"])
def test_what_does_not_say_ok_is_not_ok(body: object) -> None:
    """Only the value itself counts: 1 is not true, and an answer without the field is not a success."""
    assert isinstance(came(200, body, of=SLACKISH), Failure)


@pytest.mark.parametrize(("operation", "side_effect"), [("items.get", "none"), ("items.create", "unknown")])
def test_a_refusal_without_a_rule_is_rejected(operation: str, side_effect: str) -> None:
    """No rule for it: the provider refused, for a reason of its own. Whether a write was done before nobody knows:
    GraphQL says of a timeout so, too.
    """
    failure = failed(200, {"ok": False, "error": "whatever"}, of=SLACKISH, operation=operation)
    assert (failure.reason, failure.side_effect) == (Reason.PROVIDER_REJECTED, side_effect)


def test_an_answer_without_content_needs_no_ok() -> None:
    """204 has no body to look into."""
    assert succeeded(204, b"", of=SLACKISH).body == b"null"


@pytest.mark.parametrize(
    ("status", "kind", "reason", "side_effect"),
    [
        (504, "text/plain", Reason.PROVIDER_5XX, SideEffect.UNKNOWN),
        (503, "text/plain", Reason.PROVIDER_UNAVAILABLE, SideEffect.NONE),
        (400, "text/plain", Reason.PROVIDER_RATE_LIMITED, SideEffect.NONE),
        (504, "application/json", Reason.PROVIDER_RATE_LIMITED, SideEffect.NONE),
    ],
)
def test_a_gateways_words_are_not_the_providers(
    status: int, kind: str, reason: Reason, side_effect: SideEffect
) -> None:
    """A rule by message alone means what the provider says; a plain text of a failing server may be anybody's, and a
    write that was perhaps done is not sent again for it. A rule that names the status means whoever says it.
    """
    rules = [
        {"reason": "PROVIDER_UNAVAILABLE", "status": [503], "message": "rate limit"},
        {"reason": "PROVIDER_RATE_LIMITED", "message": "rate limit"},
    ]
    of = provider(errors={"message": ["message"], "rules": rules})
    said = "upstream timed out after rate limit layer"
    content: object = said if kind == "text/plain" else {"message": said}
    told = failed(status, content, {"content-type": kind}, operation="items.create", of=of)
    assert (told.reason, told.side_effect) == (reason, side_effect)
    assert said in told.detail


def test_a_rule_meets_each_of_several_codes() -> None:
    """A provider that lists its errors: the rule for one of them counts."""
    rules = [{"reason": "PROVIDER_NOT_FOUND", "code": ["gone", "missing"]}]
    made = provider(operations=OPERATIONS, errors={"code": ["errors.*.code"], "rules": rules})
    assert failed(400, {"errors": [{"code": "odd"}, {"code": "gone"}]}, of=made).reason is Reason.PROVIDER_NOT_FOUND
    assert failed(400, {"errors": [{"code": "odd"}]}, of=made).reason is Reason.PROVIDER_REJECTED


@pytest.mark.parametrize("operation", ["items.get", "items.create"])
def test_html_with_a_status_of_success_is_no_success_there_either(operation: str) -> None:
    """The test needs JSON."""
    failure = failed(200, b"<html>", {"content-type": "text/html"}, operation=operation, of=SLACKISH)
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE


def test_a_file_needs_no_ok() -> None:
    """Bytes of a provider whose JSON says `ok` are a success when they are not JSON."""
    succeeded(200, b"\x89PNG", {"content-type": "image/png"}, operation="items.file", of=SLACKISH)


def test_graphql_errors_are_failures() -> None:
    """`errors` must not be there."""
    assert failed(200, {"data": None, "errors": [{"message": "no such field"}]}, of=GRAPHQL).detail.endswith(
        "no such field"
    )
    succeeded(200, {"data": {}}, of=GRAPHQL)
    succeeded(200, {"data": {}, "errors": None}, of=GRAPHQL)
    succeeded(200, {"data": {}, "errors": []}, of=GRAPHQL)


# --- failures by status ----------------------------------------------------------------------------------------------

# status: (reason, side effect of a write)
BY_STATUS = {
    400: (Reason.PROVIDER_REJECTED, SideEffect.NONE),
    401: (Reason.CREDENTIAL_REJECTED, SideEffect.NONE),
    402: (Reason.PROVIDER_REJECTED, SideEffect.NONE),
    403: (Reason.PROVIDER_FORBIDDEN, SideEffect.NONE),
    404: (Reason.PROVIDER_NOT_FOUND, SideEffect.NONE),
    405: (Reason.PROVIDER_REJECTED, SideEffect.NONE),
    408: (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN),
    409: (Reason.PROVIDER_CONFLICT, SideEffect.NONE),
    410: (Reason.PROVIDER_NOT_FOUND, SideEffect.NONE),
    412: (Reason.PROVIDER_PRECONDITION, SideEffect.NONE),
    418: (Reason.PROVIDER_REJECTED, SideEffect.NONE),
    422: (Reason.PROVIDER_REJECTED, SideEffect.NONE),
    425: (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN),
    428: (Reason.PROVIDER_PRECONDITION, SideEffect.NONE),
    429: (Reason.PROVIDER_RATE_LIMITED, SideEffect.NONE),
    499: (Reason.PROVIDER_REJECTED, SideEffect.NONE),
    500: (Reason.PROVIDER_5XX, SideEffect.UNKNOWN),
    501: (Reason.PROVIDER_5XX, SideEffect.UNKNOWN),
    502: (Reason.PROVIDER_5XX, SideEffect.UNKNOWN),
    503: (Reason.PROVIDER_5XX, SideEffect.UNKNOWN),
    504: (Reason.PROVIDER_5XX, SideEffect.UNKNOWN),
    599: (Reason.PROVIDER_5XX, SideEffect.UNKNOWN),
    600: (Reason.BAD_PROVIDER_RESPONSE, SideEffect.UNKNOWN),
    999: (Reason.BAD_PROVIDER_RESPONSE, SideEffect.UNKNOWN),
}


@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize("operation", ["items.get", "items.create", "http.get", "http.request", "items.file"])
def test_a_status_has_its_reason(status: int, operation: str) -> None:
    """One table, also for raw requests: what a write may have done is never called nothing."""
    failure = failed(status, b"", operation=operation)
    reason, side_effect = BY_STATUS[status]
    write = ACME.operations[operation].access is Access.WRITE
    assert failure.reason is reason
    assert failure.side_effect is (side_effect if write else SideEffect.NONE)
    assert failure.provider_status == status
    assert failure.detail == f"Acme answered {status}"


@given(st.integers(100, 999), st.binary(max_size=60))
def test_only_2xx_can_be_a_success(status: int, content: bytes) -> None:
    """Whatever the status and the body, nothing raises and nothing else succeeds."""
    result = came(status, content)
    assert isinstance(result, Failure) or 200 <= status < 300


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308, 399])
@pytest.mark.parametrize("operation", ["items.get", "items.create"])
def test_a_redirect_is_not_followed(status: int, operation: str) -> None:
    """Its host is named, not its query, which may hold anything; a write after 302 or 303 may have been done."""
    failure = failed(status, b"", {"location": "https://user:pw@other.example/login?code=canary"}, operation=operation)
    assert failure.reason is Reason.REDIRECT_BLOCKED
    assert "other.example" in failure.detail
    assert "canary" not in failure.detail
    assert "pw" not in failure.detail
    uncertain = operation == "items.create" and status in {302, 303}
    assert failure.side_effect is (SideEffect.UNKNOWN if uncertain else SideEffect.NONE)


@pytest.mark.parametrize("location", ["", "/relative", "http://[broken", "\x00", "javascript:x", "x" * 5_000])
def test_a_redirect_to_nowhere_is_still_told(location: str) -> None:
    """No Location, or one that is no URL."""
    assert failed(302, b"", {"location": location}).reason is Reason.REDIRECT_BLOCKED


def test_not_modified_is_a_precondition() -> None:
    """304 answers a condition that a raw request brought (RFC 9110 section 13.1.2); it leads nowhere."""
    assert failed(304, operation="http.get").reason is Reason.PROVIDER_PRECONDITION


# --- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ({"error": {"code": "bad", "message": "no"}}, "bad", "Acme answered 400: bad: no"),
        ({"code": 17, "message": "no"}, "17", "Acme answered 400: 17: no"),
        ({"message": ["a", "b"]}, None, "Acme answered 400: a; b"),
        ({"error": {"code": {"x": 1}, "message": None}}, None, "Acme answered 400"),
        ({"error": "flat"}, None, "Acme answered 400"),
        ([], None, "Acme answered 400"),
        ("text", None, "Acme answered 400"),
    ],
)
def test_a_failed_answer_says_why(body: object, code: str | None, detail: str) -> None:
    """Code and message by the manifest's paths, the first that says something."""
    failure = failed(400, body, {"X-Request-Id": "r-1"})
    assert (failure.provider_code, failure.detail, failure.provider_request_id) == (code, detail, "r-1")


@pytest.mark.parametrize("content", [b"", b"<html>", b"{", b"[" * 100_000, b"\xff"], ids=lambda c: repr(c[:8]))
def test_an_error_page_is_explained_by_its_status(content: bytes) -> None:
    """A strange body never breaks an explanation."""
    assert failed(500, content).detail == "Acme answered 500"


LONG = """
from sidecar.model import Problem
from sidecar.provider import Explained

def explain(status, headers, body):
    return Explained("c" * 100_000, "a-" * 1_000_000, tuple(Problem("/p" * 1_000, "d" * 10_000) for _ in range(1_000)))
"""


def test_no_answer_makes_a_long_explanation() -> None:
    """Megabytes of words, codes, ids and findings are cut before anything is done with them."""
    made = provider(
        operations=OPERATIONS, code=LONG, hooks={"explain": "explain"}, errors={"request_id": ["X-Request-Id"]}
    )
    failure = failed(400, {}, {"X-Request-Id": "r" * 9_000}, of=made)
    assert len(failure.detail) < 500
    assert len(failure.provider_code or "") <= 200
    assert len(failure.provider_request_id or "") <= 200
    assert len(failure.problems) <= 50
    assert all(len(problem.pointer) + len(problem.detail) <= 1_000 for problem in failure.problems)


def test_findings_of_a_provider_come_without_its_secrets() -> None:
    """Tokens in what a hook found are cut out as in the message."""
    code = LONG.replace('("/p" * 1_000, "d" * 10_000)', '("/title", "is wrong, token=canary")').replace(
        "1_000))", "1))"
    )
    made = provider(operations=OPERATIONS, code=code, hooks={"explain": "explain"})
    (problem,) = failed(400, {}, of=made).problems
    assert problem.detail == "is wrong, token=[redacted]"


def test_a_token_in_a_message_is_cut_out() -> None:
    """Also one that is not ours."""
    assert "canary" not in failed(400, {"message": "bad token=canary-0123456789"}).detail


# --- the manifest's rules --------------------------------------------------------------------------------------------

RULES = provider(
    operations=OPERATIONS,
    errors={
        "code": ["code"],
        "message": ["message"],
        "rules": [
            {"reason": "PROVIDER_RATE_LIMITED", "status": [403], "header": {"X-Remaining": "0"}, "hint": "slow down"},
            {"reason": "SCOPE_MISSING", "status": [403], "message": "not Accessible"},
            {"reason": "PROVIDER_NOT_FOUND", "status": [400, 422], "code": ["gone", "lost"]},
            {"reason": "OUTCOME_UNKNOWN", "code": ["maybe"]},
        ],
    },
)


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason"),
    [
        (403, {}, {"x-remaining": "0"}, Reason.PROVIDER_RATE_LIMITED),
        (403, {"message": "not accessible"}, {"x-remaining": "0"}, Reason.PROVIDER_RATE_LIMITED),  # the first wins
        (403, {"message": "Resource NOT accessible by token"}, {"x-remaining": "1"}, Reason.SCOPE_MISSING),
        (403, {"message": "no"}, {}, Reason.PROVIDER_FORBIDDEN),
        (422, {"code": "gone"}, {}, Reason.PROVIDER_NOT_FOUND),
        (404, {"code": "maybe"}, {}, Reason.OUTCOME_UNKNOWN),
        (423, {"code": "gone"}, {}, Reason.PROVIDER_REJECTED),
        (422, {"code": "other"}, {}, Reason.PROVIDER_REJECTED),
        (500, {"code": "maybe"}, {}, Reason.OUTCOME_UNKNOWN),
    ],
)
def test_a_rule_needs_all_that_it_names(status: int, body: object, headers: dict[str, str], reason: Reason) -> None:
    """Status, code, words of the message without case, headers; the first that matches wins over the status."""
    failure = failed(status, body, headers, operation="items.create", of=RULES)
    assert failure.reason is reason
    assert failure.hint == ("slow down" if reason is Reason.PROVIDER_RATE_LIMITED else None)
    assert failure.side_effect is (SideEffect.UNKNOWN if reason is Reason.OUTCOME_UNKNOWN else SideEffect.NONE)


# --- when to come back -----------------------------------------------------------------------------------------------

WAITS = provider(
    operations=OPERATIONS,
    retry_after=[
        {"unit": "milliseconds", "path": "retry_after_ms"},
        {"unit": "seconds", "header": "X-Wait"},
        {"unit": "epoch_seconds", "header": "X-Reset"},
        {"unit": "epoch_milliseconds", "header": "X-Reset-Ms"},
    ],
)
HOUR_AHEAD = formatdate(WALL + 3600, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({}, {}, None),
        ({"Retry-After": "2"}, {}, 2.0),
        ({"Retry-After": "0.25"}, {}, 0.25),
        ({"Retry-After": " 7 "}, {}, 7.0),
        ({"Retry-After": "86400"}, {}, 86_400.0),
        ({"Retry-After": "-5"}, {}, 0.0),
        ({"Retry-After": "0"}, {}, 0.0),
        ({"Retry-After": formatdate(WALL + 90, usegmt=True)}, {}, 90.0),
        ({"Retry-After": formatdate(WALL - 90, usegmt=True)}, {}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 10:01:30 GMT"}, {}, 90.0),
        ({"Retry-After": "Saturday, 21-Nov-26 10:01:30 GMT"}, {}, 90.0),  # RFC 850
        ({"Retry-After": "Sat Nov 21 10:01:30 2026"}, {}, 90.0),  # asctime
        # The provider's clock is an hour ahead: its own Date is the measure.
        ({"Retry-After": formatdate(WALL + 3690, usegmt=True), "Date": HOUR_AHEAD}, {}, 90.0),
        ({"X-Reset": str(int(WALL) + 3690), "Date": HOUR_AHEAD}, {}, 90.0),
        ({"Retry-After": "soon"}, {}, None),
        ({"Retry-After": ""}, {}, None),
        ({"Retry-After": "1_000"}, {}, None),
        ({"Retry-After": "1e3"}, {}, None),
        ({"Retry-After": "0x10"}, {}, None),
        ({"Retry-After": "nan"}, {}, None),
        ({"Retry-After": "inf"}, {}, None),
        ({"Retry-After": "9" * 400}, {}, None),
        ({"Retry-After": "9" * 20}, {}, 1e12),
        ({"Retry-After": "7, 7"}, {}, 7.0),
        ({"Retry-After": "5\x1f"}, {}, 5.0),
        ({"Retry-After": "Sat, 99 Foo 2026 10:01:30 GMT"}, {}, None),
        ({"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2359"}, {}, 0.0),
        ({"X-Wait": "3"}, {}, 3.0),
        ({"X-Wait": "3.5"}, {}, 3.5),
        ({"X-Reset": str(WALL + 12)}, {}, 12.0),
        ({"X-Reset": str(WALL - 12)}, {}, 0.0),
        ({"X-Reset-Ms": str(int(WALL * 1000) + 1500)}, {}, 1.5),
        ({}, {"retry_after_ms": 1200}, 1.2),
        ({}, {"retry_after_ms": "1200"}, 1.2),
        ({}, {"retry_after_ms": True}, None),
        ({}, {"retry_after_ms": [1]}, None),
        ({}, {"retry_after_ms": None}, None),
        ({}, {"retry_after_ms": 1e300}, None),
        # `0` beside a later reset means the reset, and the manifest's own source comes before the standard header.
        ({"Retry-After": "0", "X-Reset": str(WALL + 12)}, {}, 12.0),
        ({"Retry-After": "5", "X-Wait": "0"}, {}, 5.0),
        ({"Retry-After": "5", "X-Wait": "9"}, {}, 9.0),
        ({"Retry-After": "5"}, {"retry_after_ms": 250}, 0.25),
        ({"Retry-After": "garbage", "X-Reset": str(WALL + 12)}, {}, 12.0),
    ],
)
def test_a_limit_says_when_to_come_back(headers: dict[str, str], body: object, wait: float | None) -> None:
    """Seconds, fractions, dates, epochs, from headers or the body; garbage says nothing, the past means now."""
    failure = failed(429, body, headers, of=WAITS)
    assert failure.reason is Reason.PROVIDER_RATE_LIMITED
    assert failure.retry_after == (None if wait is None else pytest.approx(wait))


@given(st.text(max_size=40), st.text(max_size=40))
@example("Mon, 01 Jan 9999 00:00:00 -2359", "")
@example("\u0663", "\u0663")
@example("Thu, 01 Jan 1970 00:00:00 +999999999", "-0")
def test_no_wait_raises_or_is_negative(retry_after: str, date: str) -> None:
    """Whatever the headers say: a wait that can be slept, or none."""
    headers = {b"retry-after": retry_after.encode(), b"date": date.encode()}
    response = httpx.Response(429, headers=headers)
    result = outcome(WAITS, WAITS.operations["items.get"], response, WALL)
    assert isinstance(result, Failure)
    assert result.retry_after is None or 0 <= result.retry_after < 1e15


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Retry-After": "3"}, Reason.PROVIDER_UNAVAILABLE),
        ({"Retry-After": "0"}, Reason.PROVIDER_UNAVAILABLE),
        ({"Retry-After": "soon"}, Reason.PROVIDER_5XX),
        ({}, Reason.PROVIDER_5XX),
    ],
)
def test_503_with_a_time_was_refused_before_acting(headers: dict[str, str], reason: Reason) -> None:
    """Without one, nobody knows what happened."""
    failure = failed(503, b"", headers, operation="items.create")
    assert failure.reason is reason
    assert failure.side_effect is (SideEffect.NONE if reason is Reason.PROVIDER_UNAVAILABLE else SideEffect.UNKNOWN)


# --- pages -----------------------------------------------------------------------------------------------------------


def test_the_next_page_comes_with_the_output() -> None:
    """As an opaque word that gives the provider's cursor back."""
    result = succeeded(200, {"next": "c=1&d"}, operation="items.list")
    assert decode_cursor(result.next_cursor or "") == "c=1&d"
    assert succeeded(200, {"next": ""}, operation="items.list").next_cursor is None
    linked = succeeded(200, [], {"link": "<https://x/?page=2>; rel=next"}, operation="items.links")
    assert decode_cursor(linked.next_cursor or "") == "page=2"


def test_a_cursor_that_is_none_is_no_success() -> None:
    """Half a listing is not passed off as a whole one."""
    failure = failed(200, {"next": {"a": 1}}, operation="items.list")
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE
    assert failure.detail == "Acme answered 200, but the answer has no text or number for the cursor of the next page"


def test_a_key_in_a_link_does_not_reach_the_agent() -> None:
    """Providers that take the key in the query repeat it in their links."""
    made = provider(operations=OPERATIONS, auth=[{"kind": "api_key", "place": "query", "name": "key"}])
    link = {"link": "<https://x/?key=canary&page=2>; rel=next"}
    result = succeeded(200, [], link, operation="items.links", of=made)
    assert decode_cursor(result.next_cursor or "") == "page=2"
