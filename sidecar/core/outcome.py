"""What one answer means: success beyond the status, or a failure with reason, side effect, and when to come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from sidecar.core.body import Broken, checked, decoded, is_plain, whole, words
from sidecar.core.dig import SEVERAL, dig_text, find
from sidecar.core.next_page import BadCursor, next_cursor, reads_body
from sidecar.core.page import asked_for, secret_parameters
from sidecar.core.quota.observe import limits_said, until_reset
from sidecar.core.redact import beginning, redact_text
from sidecar.core.redirect import answers_by_redirect, place_of, redirected, told_places
from sidecar.core.render import CONTENT_TYPES, JSON_TYPE
from sidecar.core.retry import THROTTLED
from sidecar.core.success import failed_test, takes_any_form, tests_of
from sidecar.core.wait import provider_clock, retry_after, usual_reset
from sidecar.manifest import ErrorRule, SuccessTest
from sidecar.model import Access, Failure, Outcome, Problem, Reason, Request, SideEffect, Success
from sidecar.provider import Explained, HookFailed, Operation, Provider
from sidecar.wire.request import encode_cursor

NO_CONTENT = frozenset({204, 205})
TAKEN = frozenset({201, 202})  # created, accepted: that says all that some have to say
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
NOTHING_ASKED = Request("GET", "")
UNREAD = object()  # in place of a body that nobody has decoded yet


def outcome(
    provider: Provider,
    operation: Operation,
    response: httpx.Response,
    wall: float,
    secrets: Sequence[str] = (),
    request: Request = NOTHING_ASKED,
) -> Outcome:
    """The outcome of an attempt that was answered. `wall` is Unix seconds, for dates in the answer; `request` what was
    asked for. The secrets are cut out of what it shortens, since they would not be known afterwards; the rest is left
    to `redact_failure`.
    """
    if not 200 <= response.status_code < 300:  # noqa: PLR2004
        if answers_by_redirect(operation, response):
            return _located(provider, operation, response, secrets, request.url)
        return _failed(provider, operation, response, wall, secrets)
    content, body = response.content, UNREAD
    if tests_of(provider, operation) and not _is_silent(operation, response):
        content, body = whole(content, decoded)
        if isinstance(body, Broken) and not takes_any_form(operation):
            return _senseless(provider, operation, response, _not_json(response, body, secrets), secrets)
        test = failed_test(provider, operation, body)
        if test is not None:
            return _failed(provider, operation, response, wall, secrets, test)
    if operation.fact.returns == "location":
        return _located(provider, operation, response, secrets, request.url)
    return _succeeded(provider, operation, response, content, body, secrets, request)


def _located(
    provider: Provider, operation: Operation, response: httpx.Response, secrets: Sequence[str], url: str
) -> Outcome:
    """The success that says where something is; null where it says nothing of it."""
    status = response.status_code
    if not told_places(response.headers):
        return Success(body=b"null", provider_status=status)
    place = place_of(response.headers, url)
    if place is None:
        return _senseless(provider, operation, response, "its Location is not one http or https URL", secrets)
    return Success(body=msgspec.json.encode({"location": place}), provider_status=status)


def _is_silent(operation: Operation, response: httpx.Response) -> bool:
    """Whether it is a success that has nothing to say. Where bytes are due none are a file that is empty."""
    if response.status_code in NO_CONTENT:
        return True
    return response.status_code in TAKEN and not response.content and operation.fact.returns != "bytes"


def _succeeded(
    provider: Provider,
    operation: Operation,
    response: httpx.Response,
    content: bytes,
    body: Any,
    secrets: Sequence[str],
    request: Request,
) -> Outcome:
    """The success that the answer is; `body` is what it says, where that was read already."""
    fact, status = operation.fact, response.status_code
    if fact.returns == "nothing" or _is_silent(operation, response) or (operation.raw and not content):
        return Success(body=b"null", provider_status=status)
    if fact.returns == "bytes" or operation.raw:
        content_type = response.headers.get("content-type", "")
        if fact.returns == "bytes" or not JSON_TYPE.match(content_type):
            return Success(body=content, content_type=content_type or CONTENT_TYPES["raw"], provider_status=status)
    return _json(provider, operation, response, content, body, secrets, request)


def _json(
    provider: Provider,
    operation: Operation,
    response: httpx.Response,
    content: bytes,
    body: Any,
    secrets: Sequence[str],
    request: Request,
) -> Outcome:
    """The success whose answer must be JSON: passed on as it is, or the part or shape that the operation promises."""
    fact, cursor = operation.fact, None
    shaped = fact.output is not None or operation.output_hook is not None
    if body is UNREAD:
        read = decoded if shaped or reads_body(fact.paging) else checked
        content, body = whole(content, read)
    if isinstance(body, Broken):
        return _senseless(provider, operation, response, _not_json(response, body, secrets), secrets)
    if fact.paging is not None:
        try:
            asked = asked_for(operation, request)
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


def _not_json(response: httpx.Response, broken: Broken, secrets: Sequence[str]) -> str:
    kind = beginning(response.headers.get("content-type", "").partition(";")[0].strip(), 80, secrets)
    return f"{kind} where JSON is due" if kind and "json" not in kind else broken.why


def _failed(
    provider: Provider,
    operation: Operation,
    response: httpx.Response,
    wall: float,
    secrets: Sequence[str],
    test: SuccessTest | None = None,
) -> Failure:
    """The failure that the answer tells: the manifest's rules first, then the table by status. `test` is the one of
    success that it fails.
    """
    status, headers = response.status_code, response.headers
    if 300 <= status < 400 and status != NOT_MODIFIED:  # noqa: PLR2004
        return redirected(operation, response, secrets)
    told, failed = explain(provider, response, test)
    rule = _rule(provider, response, told)
    wait = retry_after((), headers, None, wall)
    reason = rule.reason if rule else _reason(status, wait)
    if reason in THROTTLED:
        wait = _wait(provider, response, told, rule, wall)
    # A status of success proves no refusal: what says so is the manifest, of words that somebody has looked up.
    unsure = reason in UNCERTAIN or (rule is None and status < 300)  # noqa: PLR2004
    uncertain = operation.access is Access.WRITE and unsure
    # Apart: a code such as M_UNKNOWN_TOKEN before a colon would look like the name of a secret.
    why = ": ".join(_shown(part, secrets) for part in (told.code, told.message) if part)
    said = f"{provider.manifest.title} answered {status}" + (f": {why[:SAID_LIMIT]}" if why else "")
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
    wait = retry_after(manifest.retry_after, headers, decoded(content), wall)
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


def error_rule(provider: Provider, operation: Operation, response: httpx.Response) -> ErrorRule | None:
    """The manifest's rule for a failed answer: the first that matches."""
    _, body = whole(response.content, decoded)
    test = failed_test(provider, operation, body) if response.is_success else None
    told, _ = explain(provider, response, test)
    return _rule(provider, response, told)


def explain(
    provider: Provider, response: httpx.Response, test: SuccessTest | None = None
) -> tuple[Explained, HookFailed | None]:
    """What a failed answer says: by the paths of the test that it fails, by the provider's hook or the manifest's
    paths, else as a text. Where the hook fails the paths say it: the provider's refusal stands, whatever our reading of
    it does.
    """
    _, body = whole(response.content, decoded)
    known = None if isinstance(body, Broken) else body
    told, failed = _explained(provider, response, known)
    code = (test and dig_text(known, test.code)) or told.code
    message = (
        (test and dig_text(known, test.message)) or told.message or words(response.headers, response.content, body)
    )
    return msgspec.structs.replace(told, code=code, message=message), failed


def _explained(provider: Provider, response: httpx.Response, known: Any) -> tuple[Explained, HookFailed | None]:
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
    rules = provider.manifest.errors.rules
    if status >= 500 and is_plain(headers):  # noqa: PLR2004
        # Perhaps not the provider's words, but those of whoever stands before it: they count where the status does too.
        rules = tuple(rule for rule in rules if rule.message is None or rule.status)
    return next((rule for rule in rules if _matches(rule, status, headers, told)), None)


def _matches(rule: ErrorRule, status: int, headers: Mapping[str, str], told: Explained) -> bool:
    if rule.status and status not in rule.status:
        return False
    if rule.code and not (told.code in rule.code or set(rule.code).intersection((told.code or "").split(SEVERAL))):
        return False
    if rule.message is not None and rule.message.lower() not in (told.message or "").lower():
        return False
    return all(headers.get(name) == value for name, value in rule.header.items())


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
