"""What one answer means: success beyond the status, or a failure with reason, side effect, and when to come back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from sidecar.core.dig import SEVERAL, dig, dig_text, find
from sidecar.core.next_page import BadCursor, next_cursor, reads_body, split_url
from sidecar.core.page import secret_parameters
from sidecar.core.quota.observe import limits_said, until_reset
from sidecar.core.redact import beginning, redact_text
from sidecar.core.render import CONTENT_TYPES, JSON_TYPE
from sidecar.core.retry import THROTTLED
from sidecar.core.wait import provider_clock, retry_after, usual_reset
from sidecar.manifest import ErrorRule, SuccessTest
from sidecar.model import Access, Failure, Outcome, Problem, Reason, SideEffect, Success
from sidecar.provider import Explained, HookFailed, Operation, Provider
from sidecar.wire.request import encode_cursor

NO_CONTENT = frozenset({204, 205})
NOTHING: tuple[Any, ...] = ([], {}, "")  # some who answer with errors write an empty list of them
NOT_MODIFIED = 304
SAID_LIMIT = 400  # characters
CODE_LIMIT = 200
MAX_PROBLEMS = 50

BY_STATUS: dict[int, Reason] = {
    NOT_MODIFIED: Reason.PROVIDER_PRECONDITION,  # a condition of the request failed (RFC 9110 section 13.1.2)
    401: Reason.CREDENTIAL_REJECTED,
    403: Reason.PROVIDER_FORBIDDEN,
    404: Reason.PROVIDER_NOT_FOUND,
    408: Reason.OUTCOME_UNKNOWN,
    409: Reason.PROVIDER_CONFLICT,
    410: Reason.PROVIDER_NOT_FOUND,
    412: Reason.PROVIDER_PRECONDITION,
    425: Reason.OUTCOME_UNKNOWN,
    428: Reason.PROVIDER_PRECONDITION,
    429: Reason.PROVIDER_RATE_LIMITED,
}
# What a write may have done when it ended so; every other reason means that the provider refused before acting.
UNCERTAIN = frozenset({Reason.OUTCOME_UNKNOWN, Reason.PROVIDER_5XX, Reason.BAD_PROVIDER_RESPONSE})
# After these the answer to a POST lies elsewhere: it may have been done (RFC 9110 section 15.4).
SEE_OTHER = frozenset({302, 303})
# Half of a character above U+FFFF, as it is left over where a provider cuts a text. JSON's grammar has it (RFC 8259
# section 8.2); no text can hold it, and most parsers of agents refuse the whole answer.
HALF = re.compile(rb"\\u[dD][89a-fA-F]")
HALF_OR_ESCAPE = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
REPLACEMENT = rb"\ufffd"
UNREAD = object()  # in place of a body that nobody has decoded yet
PASSED_ON = msgspec.json.Decoder(msgspec.Raw)


def outcome(
    provider: Provider,
    operation: Operation,
    response: httpx.Response,
    wall: float,
    secrets: Sequence[str] = (),
    asked: int | None = None,
) -> Outcome:
    """The outcome of an attempt that was answered. `wall` is Unix seconds, for dates in the answer; `asked` the number
    that a page was asked for by. The secrets are cut out of what it shortens, since they would not be known afterwards;
    the rest is left to `redact_failure`.
    """
    status = response.status_code
    if not 200 <= status < 300:  # noqa: PLR2004
        return _failed(provider, operation, response, wall, secrets)
    test = provider.manifest.success
    if test is None or status in NO_CONTENT:
        return _succeeded(provider, operation, response, UNREAD, secrets, asked)
    body = _decoded(response.content)
    any_form = operation.raw or operation.fact.returns == "bytes"
    if isinstance(body, _Broken) and not any_form:
        return _senseless(provider, operation, response, _not_json(response, body, secrets), secrets)
    if not _passes(test, body, any_form=any_form):
        return _failed(provider, operation, response, wall, secrets)
    return _succeeded(provider, operation, response, body, secrets, asked)


class _Broken(msgspec.Struct, frozen=True):
    why: str


def _passes(test: SuccessTest, body: Any, *, any_form: bool) -> bool:
    """The test of success beyond the status. Where an answer may be of any form, only a wrong value fails."""
    value = None if isinstance(body, _Broken) else dig(body, test.path)
    if test.equals is None:
        return value is None or value in NOTHING
    same = value == test.equals and isinstance(value, bool) is isinstance(test.equals, bool)  # 1 is not true
    return bool(same) or (any_form and value is None)


def _succeeded(
    provider: Provider,
    operation: Operation,
    response: httpx.Response,
    body: Any,
    secrets: Sequence[str],
    asked: int | None,
) -> Outcome:
    """The success that the answer is; `body` is what it says, where that was read already."""
    fact, status, content = operation.fact, response.status_code, response.content
    if fact.returns == "nothing" or status in NO_CONTENT or (operation.raw and not content):
        return Success(body=b"null", provider_status=status)
    if fact.returns == "bytes" or operation.raw:
        content_type = response.headers.get("content-type", "")
        if fact.returns == "bytes" or not JSON_TYPE.match(content_type):
            return Success(body=content, content_type=content_type or CONTENT_TYPES["raw"], provider_status=status)
    return _json(provider, operation, response, body, secrets, asked)


def _json(
    provider: Provider,
    operation: Operation,
    response: httpx.Response,
    body: Any,
    secrets: Sequence[str],
    asked: int | None,
) -> Outcome:
    """The success whose answer must be JSON: passed on as it is, or the part or shape that the operation promises."""
    fact, content, cursor = operation.fact, response.content, None
    shaped = fact.output is not None or operation.output_hook is not None
    if body is UNREAD:
        read = _decoded if shaped or reads_body(fact.paging) else _checked
        body = read(content)
        if isinstance(body, _Broken) and HALF.search(content):
            content = HALF_OR_ESCAPE.sub(_whole_escape, content)
            body = read(content)
    if isinstance(body, _Broken):
        return _senseless(provider, operation, response, _not_json(response, body, secrets), secrets)
    if fact.paging is not None:
        try:
            cursor = next_cursor(fact.paging, response.headers, body, secret_parameters(provider), asked)
        except BadCursor as bad:
            return _senseless(provider, operation, response, f"the answer has {bad}", secrets)
    if fact.output is not None:
        found = find(body, fact.output)
        if not found:
            return _senseless(provider, operation, response, f"the answer has no {fact.output}", secrets)
        body = found[0]
    if operation.output_hook is not None:
        body = operation.output_hook(body)
    return Success(
        body=msgspec.json.encode(body) if shaped else content,
        provider_status=response.status_code,
        next_cursor=encode_cursor(cursor) if cursor else None,
    )


def _whole_escape(found: re.Match[bytes]) -> bytes:
    return REPLACEMENT if found[2] else found[0]


def _not_json(response: httpx.Response, broken: _Broken, secrets: Sequence[str]) -> str:
    kind = beginning(response.headers.get("content-type", "").partition(";")[0].strip(), 80, secrets)
    return f"{kind} where JSON is due" if kind and "json" not in kind else broken.why


def _failed(
    provider: Provider, operation: Operation, response: httpx.Response, wall: float, secrets: Sequence[str]
) -> Failure:
    """The failure that the answer tells: the manifest's rules first, then the table by status."""
    status, headers = response.status_code, response.headers
    if 300 <= status < 400 and status != NOT_MODIFIED:  # noqa: PLR2004
        return _redirected(operation, response, secrets)
    told, failed = explain(provider, response)
    rule = _rule(provider, response, told)
    wait = retry_after((), headers, None, wall)
    reason = rule.reason if rule else _reason(status, wait)
    if reason in THROTTLED:
        wait = _wait(provider, response, told, rule, wall)
    # A status of success proves no refusal: what says so is the manifest, of words that somebody has looked up.
    unsure = reason in UNCERTAIN or (rule is None and status < 300)  # noqa: PLR2004
    uncertain = operation.access is Access.WRITE and unsure
    # Apart: a code such as M_UNKNOWN_TOKEN before a colon would look like the name of a secret.
    words = ": ".join(_shown(part, secrets) for part in (told.code, told.message) if part)
    said = f"{provider.manifest.title} answered {status}" + (f": {words[:SAID_LIMIT]}" if words else "")
    if "lost" in response.extensions:
        said += ", and what it said did not come whole"
    return Failure(
        reason=reason,
        detail=said,
        side_effect=SideEffect.UNKNOWN if uncertain else SideEffect.NONE,
        retry_after=wait,
        hint=rule.hint if rule else None,
        bucket=rule.quota if rule else None,
        done_before=rule.done_before if rule else False,
        problems=tuple(_shown_problem(problem, secrets) for problem in told.problems[:MAX_PROBLEMS]),
        provider_status=status,
        provider_code=told.code and beginning(told.code, CODE_LIMIT, secrets),
        provider_request_id=request_id(provider, headers, secrets),
        cause=failed,
    )


def _wait(
    provider: Provider, response: httpx.Response, told: Explained, rule: ErrorRule | None, wall: float
) -> float | None:
    """Seconds until a limited answer may be asked for again. What a manifest names may stand in every answer, and means
    a wait only here: the first that is not past, else the rule's own.
    """
    manifest, headers, content = provider.manifest, response.headers, response.content
    wait = retry_after(manifest.retry_after, headers, _decoded(content), wall)
    if told.retry_at is not None and not wait:
        wait = max(told.retry_at - provider_clock(headers, wall), 0.0)
    reset = until_reset(limits_said(manifest.limits_told, headers, content, wall))
    wait = wait or reset or usual_reset(headers, wall) or wait
    return rule.wait_seconds if rule and wait is None else wait


def _shown(text: str, secrets: Sequence[str]) -> str:
    """What a provider said, short and without anybody's secrets; cut first, since it may be megabytes."""
    return redact_text(beginning(text, 2 * SAID_LIMIT, secrets))[:SAID_LIMIT]


def _shown_problem(problem: Problem, secrets: Sequence[str]) -> Problem:
    pointer = beginning(problem.pointer, SAID_LIMIT, secrets)
    return msgspec.structs.replace(problem, pointer=pointer, detail=_shown(problem.detail, secrets))


def error_rule(provider: Provider, response: httpx.Response) -> ErrorRule | None:
    """The manifest's rule for a failed answer: the first that matches."""
    told, _ = explain(provider, response)
    return _rule(provider, response, told)


def explain(provider: Provider, response: httpx.Response) -> tuple[Explained, HookFailed | None]:
    """What a failed answer says, by the provider's hook or the manifest's paths. Where the hook fails the paths say it:
    the provider's refusal stands, whatever our reading of it does.
    """
    body = _decoded(response.content)
    known = None if isinstance(body, _Broken) else body
    failed: HookFailed | None = None
    if provider.explain is not None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            return provider.explain(response.status_code, headers, known), None
        except HookFailed as error:
            failed = error.with_traceback(None)
    errors = provider.manifest.errors
    return Explained(dig_text(known, errors.code), dig_text(known, errors.message)), failed


def request_id(provider: Provider, headers: httpx.Headers, secrets: Sequence[str]) -> str | None:
    """The provider's own id of this exchange, for its support."""
    known = next((headers[name] for name in provider.manifest.errors.request_id if name in headers), None)
    return known and beginning(known, CODE_LIMIT, secrets)


def _reason(status: int, wait: float | None) -> Reason:
    if status == 503 and wait is not None:  # noqa: PLR2004
        return Reason.PROVIDER_UNAVAILABLE
    if status < 200 or status >= 600:  # noqa: PLR2004
        return Reason.BAD_PROVIDER_RESPONSE
    if status >= 500:  # noqa: PLR2004
        return Reason.PROVIDER_5XX
    return BY_STATUS.get(status, Reason.PROVIDER_REJECTED)


def _rule(provider: Provider, response: httpx.Response, told: Explained) -> ErrorRule | None:
    status, headers = response.status_code, response.headers
    return next((rule for rule in provider.manifest.errors.rules if _matches(rule, status, headers, told)), None)


def _matches(rule: ErrorRule, status: int, headers: Mapping[str, str], told: Explained) -> bool:
    if rule.status and status not in rule.status:
        return False
    if rule.code and not (told.code in rule.code or set(rule.code).intersection((told.code or "").split(SEVERAL))):
        return False
    if rule.message is not None and rule.message.lower() not in (told.message or "").lower():
        return False
    return all(headers.get(name) == value for name, value in rule.header.items())


def _redirected(operation: Operation, response: httpx.Response, secrets: Sequence[str]) -> Failure:
    """A redirect is never followed: it would carry the credential to where an answer says."""
    place = beginning(_host(response.headers.get("location", "")), 100, secrets)
    where = f" to host {place}" if place else ""
    uncertain = operation.access is Access.WRITE and response.status_code in SEE_OTHER
    return Failure(
        reason=Reason.REDIRECT_BLOCKED,
        detail=f"the provider answered {response.status_code}, a redirect{where}; it is not followed",
        side_effect=SideEffect.UNKNOWN if uncertain else SideEffect.NONE,
        hint="it may have been moved or renamed; else check the connection's base_url: its scheme, host and path",
        provider_status=response.status_code,
    )


def _host(url: str) -> str:
    try:
        return split_url(url.strip()).hostname or ""
    except ValueError:
        return ""


def _senseless(
    provider: Provider, operation: Operation, response: httpx.Response, why: str, secrets: Sequence[str]
) -> Failure:
    """A status of success whose body is not what it must be: never told as a success."""
    return Failure(
        reason=Reason.BAD_PROVIDER_RESPONSE,
        detail=f"{provider.manifest.title} answered {response.status_code}, but {why}",
        side_effect=SideEffect.UNKNOWN if operation.access is Access.WRITE else SideEffect.NONE,
        provider_status=response.status_code,
        provider_request_id=request_id(provider, response.headers, secrets),
    )


def _decoded(content: bytes) -> Any:
    """The body as Python values, or why it is not JSON."""
    if not content:
        return _Broken("the answer is empty")
    try:
        return msgspec.json.decode(content)
    except RecursionError:  # msgspec raises it for deep nesting; it is not a DecodeError
        return _Broken("its JSON is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Broken("its body is not JSON")


def _checked(content: bytes) -> Any:
    """As `_decoded`, for a body that passes through unchanged: checked for form, not built."""
    if not content:
        return _Broken("the answer is empty")
    try:
        if not content.isascii():
            content.decode()
        PASSED_ON.decode(content)
    except RecursionError:
        return _Broken("its JSON is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Broken("its body is not JSON")
    return None
