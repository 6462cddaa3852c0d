"""What a provider's cases leave unproved: operations, error rules, tests of success, waits, limits, and so on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import msgspec

from sidecar.auth.kind import kind_of
from sidecar.core.body import Broken, decoded, whole
from sidecar.core.dig import dig_text
from sidecar.core.outcome import error_rule, outcome
from sidecar.core.quota.observe import limits_said
from sidecar.core.success import failed_test
from sidecar.core.wait import retry_after
from sidecar.fact import Fact
from sidecar.manifest import ErrorRule, Paging, RetryAfter, SuccessTest, Verify
from sidecar.model import Failure, Outcome, Request
from sidecar.provider import Operation, Provider
from sidecar.sandbox.case import SERVER, Case, CaseRequest, succeeds
from sidecar.sandbox.compare import Standing
from sidecar.sandbox.credential import carried
from sidecar.sandbox.play import answer
from sidecar.sandbox.scripted import WALL


class Answered(NamedTuple):
    """One answer that a case gives, and what it means to the provider's manifest."""

    operation: Operation
    response: httpx.Response
    outcome: Outcome


def unproved(provider: Provider, cases: Sequence[Case]) -> Iterator[tuple[str, str, str]]:
    """Where it stands, what no case proves, and which case to add."""
    known = [case for case in cases if case.operation in provider.operations]
    answers = list(_answers(provider, known))
    yield from _operations(provider, known)
    yield from _rules(provider, answers)
    yield from _success_tests(provider, answers)
    yield from _waits(provider, answers)
    yield from _limits(provider, answers)
    yield from _pages(provider, known)
    yield from _credentials(provider, known)
    yield from _account(provider, known)


def _answers(provider: Provider, cases: Sequence[Case]) -> Iterator[Answered]:
    for case in cases:
        operation = provider.operations[case.operation]
        for exchange in case.exchanges:
            given = answer(exchange)
            if isinstance(given, httpx.Response):
                # A hook that raises proves nothing here; the case itself is played, and fails.
                with suppress(Exception):
                    asked = Request("GET", f"{SERVER}{exchange.request.path}")
                    yield Answered(operation, given, outcome(provider, operation, given, WALL, request=asked))


def _operations(provider: Provider, cases: Sequence[Case]) -> Iterator[tuple[str, str, str]]:
    for name, operation in provider.operations.items():
        if operation.raw:  # the product's own, proved with it
            continue
        successes = [case for case in cases if case.operation == name and succeeds(case)]
        if not successes:
            yield name, "no case of it succeeds", f"add a case `operation: {name}` with one exchange and its output"
    for case in cases:
        told = case.expect.output is not msgspec.UNSET or case.expect.output_base64 is not None
        if succeeds(case) and not told:
            yield f"case {case.name!r}", "its success says no output", "add expect.output (or output_base64 for bytes)"


def _rules(provider: Provider, answers: Sequence[Answered]) -> Iterator[tuple[str, str, str]]:
    for index, rule in enumerate(provider.manifest.errors.rules):
        if not any(_applied(provider, rule, item) for item in answers):
            conditions = msgspec.json.encode({"status": rule.status, "code": rule.code, "message": rule.message})
            what = f"no case's answer meets it before an earlier rule does: {rule.reason} {conditions.decode()}"
            yield f"errors.rules.{index}", what, "add a case with such an answer, or remove the rule"


def _applied(provider: Provider, rule: ErrorRule, item: Answered) -> bool:
    if not isinstance(item.outcome, Failure) or item.outcome.reason is not rule.reason:
        return False
    return error_rule(provider, item.operation, item.response) is rule


def _success_tests(provider: Provider, answers: Sequence[Answered]) -> Iterator[tuple[str, str, str]]:
    """A test that several operations have is proved for all of them by one answer that fails it."""
    wanted: dict[SuccessTest, str] = {}
    if provider.manifest.success is not None:
        wanted[_bare(provider.manifest.success)] = "success"
    for name, operation in provider.operations.items():
        for test in operation.fact.tests:
            wanted.setdefault(_bare(test), f"{name}.success")
    met = {_bare(failed) for item in answers if (failed := _failed_test(provider, item)) is not None}
    for test, where in wanted.items():
        if test not in met:
            equals = msgspec.json.encode(test.equals).decode()
            what = f"no case has an answer with a status of success whose {test.path} is not {equals}"
            yield where, what, "add a case with such an answer and the reason expected"


def _failed_test(provider: Provider, item: Answered) -> SuccessTest | None:
    """The test of success that makes a failure of the answer."""
    _, body = whole(item.response.content, decoded)
    if not item.response.is_success or isinstance(body, Broken):
        return None
    return failed_test(provider, item.operation, body)


def _bare(fact: Fact) -> Any:
    """The fact without the page that says it: what several say of it is one."""
    return msgspec.structs.replace(fact, docs=None, checked=None)


def _waits(provider: Provider, answers: Sequence[Answered]) -> Iterator[tuple[str, str, str]]:
    sources = provider.manifest.retry_after
    for index, source in enumerate(sources):
        if not any(_decides(item, source, sources[:index]) for item in answers):
            what = f"no case's answer takes its wait from here: {source.header or source.path} in {source.unit}"
            yield f"retry_after.{index}", what, "add a case with such an answer, and the wait expected"


def _decides(item: Answered, source: RetryAfter, earlier: tuple[RetryAfter, ...]) -> bool:
    """Whether this source, and no earlier one, is what the failed answer's wait comes from."""
    if not isinstance(item.outcome, Failure) or item.outcome.retry_after is None:
        return False
    headers = httpx.Headers([(name, value) for name, value in item.response.headers.items() if name != "retry-after"])
    body = decoded(item.response.content)
    if source.header is not None and source.header.lower() == "retry-after":
        headers = item.response.headers
    told = retry_after((source,), headers, body, WALL)
    return bool(told) and not retry_after(earlier, headers, body, WALL) if earlier else bool(told)


def _limits(provider: Provider, answers: Sequence[Answered]) -> Iterator[tuple[str, str, str]]:
    for index, source in enumerate(provider.manifest.limits_told):
        if not any(limits_said((source,), item.response.headers, item.response.content, WALL) for item in answers):
            what = f"no case's answer tells how quota {source.quota} stands"
            yield f"limits_told.{index}", what, "add a case with such an answer"


def _pages(provider: Provider, cases: Sequence[Case]) -> Iterator[tuple[str, str, str]]:
    styles: dict[Paging, list[str]] = {}
    for name, operation in provider.operations.items():
        if operation.fact.paging is not None:
            styles.setdefault(_bare(operation.fact.paging), []).append(name)
    for names in styles.values():
        paged = [case for case in cases if case.operation in names and succeeds(case)]
        where, whose = f"{names[0]}.paging", f"of {' or '.join(names)}"
        if not any(case.expect.next_cursor for case in paged):
            yield where, "no case's answer tells a next page", f"add a case {whose} with expect.next_cursor"
        if not any(case.cursor for case in paged):
            yield where, "no case asks for a further page", f"add a case {whose} with `cursor`"
        if all(case.expect.next_cursor for case in paged):
            yield where, "no case's answer is the last page", f"add a case {whose} without expect.next_cursor"


def _credentials(provider: Provider, cases: Sequence[Case]) -> Iterator[tuple[str, str, str]]:
    first = kind_of(provider.manifest.auth[0])
    for index, auth in enumerate(provider.manifest.auth):
        kind = kind_of(auth)
        used = [case for case in cases if (case.auth or first) == kind]
        standing = carried(auth)
        if not any(_shows(exchange.request, standing) for case in used for exchange in case.exchanges):
            what = f"no case shows how {kind} is sent"
            yield f"auth.{index}", what, f"in a case with `auth: {kind}` list {standing.where}: {_listed(standing)}"


def _shows(request: CaseRequest, standing: Standing) -> bool:
    if standing.place == "path":
        return request.path.startswith(f"{standing.value}/")
    listed = request.query if standing.place == "query" else request.headers
    return standing.name.lower() in (given.lower() for given in listed)


def _listed(standing: Standing) -> str:
    return f"{standing.value}/..." if standing.place == "path" else standing.value


def _account(provider: Provider, cases: Sequence[Case]) -> Iterator[tuple[str, str, str]]:
    """The verification call: its input, and where its output names the account."""
    if provider.manifest.verify is None:
        yield "verify", "no call shows whether a credential works", "name a read operation that any credential may call"
    else:
        yield from _verified("verify", provider.manifest.verify, cases)
    for kind, verify in provider.manifest.verify_as.items():
        yield from _verified(f"verify_as.{kind}", verify, [case for case in cases if case.auth == kind])


def _verified(where: str, verify: Verify, cases: Sequence[Case]) -> Iterator[tuple[str, str, str]]:
    calls = [case for case in cases if case.operation == verify.operation and case.input == verify.input]
    outputs = [case.expect.output for case in calls if succeeds(case)]
    if not outputs:
        yield where, f"no case calls {verify.operation} with its input", "add a case that does, and succeeds"
    elif verify.account is not None and not any(dig_text(output, (verify.account,)) for output in outputs):
        what = f"no such case's output has {verify.account}"
        yield f"{where}.account", what, "correct the path, or the case's output"
