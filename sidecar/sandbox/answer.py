"""What one provider of the sandbox answers: the case that the request equals, else its operation's first success. Pure
but for each case's position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from sidecar.core.dig import dig, path_of
from sidecar.core.render import PLACEHOLDER
from sidecar.core.values import as_text, fixed_pairs
from sidecar.manifest import CursorPaging, LinkPaging, OffsetPaging, PagePaging
from sidecar.model import Reason
from sidecar.provider import Operation, Provider
from sidecar.sandbox.case import Case, CaseResponse, Exchange, succeeds
from sidecar.sandbox.compare import Seen, Standing, body_kind, canonical, differences, grouped, parts_of
from sidecar.sandbox.credential import carried

# Whose exchange answers when several cases expect the same request; the first that applies.
STORY, PLAIN, RETRIED, FAILED = range(4)


class Given(msgspec.Struct, frozen=True):
    """What the sandbox does: give the response, or lose the exchange. `wrong` says why it is none of the success."""

    response: CaseResponse | None = None
    lost: str | None = None
    operation: str | None = None
    case: str | None = None
    wrong: str | None = None


@dataclass(slots=True)
class Script:
    """A case as a server sees it: an exchange of which nothing was sent never comes here."""

    case: Case
    exchanges: Sequence[Exchange] = ()
    position: int = 0

    def __post_init__(self) -> None:
        self.exchanges = [exchange for exchange in self.case.exchanges if exchange.lost != "before_send"]

    @property
    def rank(self) -> int:
        if self.position:
            return STORY
        if not succeeds(self.case):
            return FAILED
        return PLAIN if len(self.exchanges) == 1 else RETRIED

    def take(self) -> Exchange:
        """The next exchange; after the last the case starts over."""
        exchange = self.exchanges[self.position]
        self.position = (self.position + 1) % len(self.exchanges)
        return exchange


@dataclass(slots=True)
class Offline:
    """One provider, answering from its cases."""

    provider: Provider
    cases: Sequence[Case]
    scripts: list[Script] = field(init=False)
    page_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.scripts = [script for script in map(Script, self.cases) if script.exchanges]
        self.page_names = frozenset(_page_names(self.cases))

    def answer(self, request: Seen) -> Given:
        """The answer to a request below the provider's base URL."""
        credential = next(filter(partial(_carries, request), map(carried, self.provider.manifest.auth)), None)
        if credential is None:
            return self._refuse()
        equal = [script for script in self.scripts if _expects(script, request, credential)]
        if equal:
            script = min(equal, key=lambda script: script.rank)
            exchange = script.take()
            return Given(exchange.response, exchange.lost, script.case.operation, script.case.name)
        if credential.place == "path":
            request = msgspec.structs.replace(request, path=request.path.removeprefix(credential.value))
        return self._by_operation(request, credential)

    def _by_operation(self, request: Seen, credential: Standing) -> Given:
        matching = [item for item in self.provider.operations.values() if _matches(item, request)]
        if not matching:
            return _wrong(404, f"no operation of {self.provider.name} is a {request.method} of {request.path}")
        problems: list[str] = []
        for operation in matching:
            found = list(self._problems(operation, request, credential))
            if not found:
                return self._first_success(operation, request)
            problems += [f"{operation.name}: {problem}" for problem in found]
        return _wrong(400, "; ".join(problems), matching[0].name)

    def _problems(self, operation: Operation, request: Seen, credential: Standing) -> Iterator[str]:
        """What makes the request none of this operation."""
        known = {".".join(item.wire) for item in operation.parameters if item.place == "query"}
        known |= {f"{name}[]" for name in known} | operation.fact.fixed.query.keys()
        in_brackets = {".".join(item.wire) for item in operation.parameters if item.style == "brackets"}
        if credential.place == "query":
            known.add(credential.name)
        match operation.fact.paging:
            case LinkPaging():
                known |= self.page_names
            case CursorPaging() | OffsetPaging() | PagePaging() as paging if paging.place == "query":
                known.add(paging.name)
        given = {name for name, _ in request.query}
        for name in sorted(name for name in given - known if name.partition("[")[0] not in in_brackets):
            yield f"query parameter {name!r} is not one of it"
        yield from _missing(operation, "query", given)
        yield from _other_query(operation, request)
        yield from _body_problems(operation, request)

    def _first_success(self, operation: Operation, request: Seen) -> Given:
        successes = [case for case in self.cases if case.operation == operation.name and succeeds(case)]
        if not successes:
            return _wrong(404, f"no case of {operation.name} succeeds", operation.name)
        # A plain one before those of mended failures; of pages the first, and the last for whoever asks for a further
        # one: a listing comes to its end.
        if self._asks_further(operation, request):
            case = min(successes, key=lambda case: (case.expect.next_cursor is not None, len(case.exchanges)))
        else:
            case = min(successes, key=lambda case: (len(case.exchanges), case.cursor is not None))
        return Given(case.exchanges[-1].response, None, operation.name, case.name)

    def _asks_further(self, operation: Operation, request: Seen) -> bool:
        """Whether the request has what a page's cursor is sent as."""
        paging, given = operation.fact.paging, {name for name, _ in request.query}
        match paging:
            case None:
                return False
            case LinkPaging():
                return bool(given & self.page_names)
            case _ if paging.place == "query":
                return paging.name in given
        body = _body(operation, request, "json")
        return body is not None and dig(body, paging.name) is not None

    def _refuse(self) -> Given:
        """The provider's own refusal of a credential where a case knows it."""
        for case in self.cases:
            response = case.exchanges[-1].response if case.exchanges else None
            if case.expect.reason is Reason.CREDENTIAL_REJECTED and response is not None:
                return Given(response, None, None, case.name, "the sandbox's credential is not in the request")
        first = carried(self.provider.manifest.auth[0])
        return _wrong(401, f"the sandbox's credential is not in the request; it is {first.value!r} in {first.where}")


def _wrong(status: int, why: str, operation: str | None = None) -> Given:
    body = {"error": "sandbox", "message": f"sandbox: {why}"}
    return Given(CaseResponse(status=status, json=body), None, operation, None, why)


def _expects(script: Script, request: Seen, credential: Standing) -> bool:
    expected = script.exchanges[script.position].request
    return next(differences(expected, request, credential), None) is None


def _carries(request: Seen, credential: Standing) -> bool:
    """Whether the sandbox's credential of a kind is in the request."""
    place, name, value = credential
    if place == "path":
        return request.path.startswith(f"{value}/")
    return (name, value) in (request.query if place == "query" else request.headers.items())


def _matches(operation: Operation, request: Seen) -> bool:
    if operation.raw or operation.fact.method != request.method:
        return False
    deep = {item.wire[0] for item in operation.parameters if item.place == "path" and item.style == "segments"}
    pattern = "".join(
        re.escape(part) if index % 2 == 0 else ".+" if part in deep else "[^/]+"
        for index, part in enumerate(PLACEHOLDER.split(operation.fact.path))
    )
    return re.fullmatch(pattern, request.path) is not None


def _body_problems(operation: Operation, request: Seen) -> Iterator[str]:
    fact, found = operation.fact, body_kind(request)
    places = {item.place for item in operation.parameters}
    if "content" in places:
        if fact.encoding == "json" and found != "json":
            yield f"its body is JSON, this one is {found}"
        return
    due = fact.encoding if "body" in places or fact.fixed.body is not None else "none"
    body = _body(operation, request, found) if found == due else {}
    if body is None:
        yield f"its body is a JSON object{f' in {fact.wrap!r}' if fact.wrap else ''}"
    elif found not in (due, "none"):
        yield f"its body is {due}, this one is {found}"
    else:
        yield from _unknown(operation, body, found)
        yield from _missing(operation, "body", body)
        yield from _other_body(operation.fact.fixed.body or {}, body, found)


def _unknown(operation: Operation, body: Mapping[str, Any], kind: str) -> Iterator[str]:
    if any(item.name_from for item in operation.parameters):  # the parts' names are inputs of the caller
        return
    fields = [item for item in operation.parameters if item.place == "body"]
    known = {item.wire[0] if kind == "json" else ".".join(item.wire) for item in fields}
    known.update(operation.fact.fixed.body or ())
    known |= {f"{name}[]" for name in known}
    paging = operation.fact.paging
    if isinstance(paging, CursorPaging | OffsetPaging | PagePaging) and paging.place == "body":
        known.add(path_of(paging.name)[0])
    for name in sorted(body.keys() - known):
        yield f"{name!r} is not a field of its body"


def _missing(operation: Operation, place: str, given: Any) -> Iterator[str]:
    """Required inputs of the place that are not there. What an input hook makes of them cannot be known here."""
    if operation.input_hook is not None:
        return
    for item in operation.parameters:
        if item.place == place and item.name in operation.fact.required and not item.name_from:
            name = ".".join(item.wire)
            there = dig(given, name) is not None if isinstance(given, dict) and len(item.wire) > 1 else name in given
            if not there and f"{name}[]" not in given:
                yield f"{name!r} is required in its {place}"


def _other_query(operation: Operation, request: Seen) -> Iterator[str]:
    """Fixed parameters that the request has with another value, or not: operations of one path are told apart by them.
    A page by Link has what the provider wrote into it.
    """
    given = grouped(request.query)
    for name, value in operation.fact.fixed.query.items():
        left_out = name not in given and isinstance(operation.fact.paging, LinkPaging)
        if not _repeats(value, given.get(name, ())) and not left_out:
            yield f"query parameter {name!r} is {as_text(value)!r} in it"


def _other_body(fixed: Mapping[str, Any], body: Mapping[str, Any], kind: str, place: str = "") -> Iterator[str]:
    """As `_other_query`, of its body."""
    for name, value in fixed.items():
        given, shown = body.get(name), f"{place}{name}"
        if kind == "json" and isinstance(value, dict) and isinstance(given, dict):
            yield from _other_body(value, given, kind, f"{shown}.")
            continue
        same = canonical(given) == canonical(value) if kind == "json" else _repeats(value, given or ())
        if name not in body or not same:
            yield f"{shown!r} is {canonical(value)} in its body"


def _repeats(fixed: object, given: Sequence[str]) -> bool:
    """Whether each text of a fixed value is among those that were sent by its name."""
    return {text for _, text in fixed_pairs({"": fixed})} <= set(given)


def _body(operation: Operation, request: Seen, kind: str) -> dict[str, Any] | None:
    """The body's fields, those of a form with all of their texts; None where it does not hold any."""
    if kind == "none":
        return {}
    if kind == "multipart":
        return dict(grouped([(part.name, part.content.decode(errors="replace")) for part in parts_of(request)]))
    if kind == "form":
        return dict(grouped(parse_qsl(request.content.decode(errors="replace"), keep_blank_values=True)))
    try:
        body = msgspec.json.decode(request.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if operation.fact.wrap is not None:
        body = body.get(operation.fact.wrap) if isinstance(body, dict) else None
    return body if isinstance(body, dict) else None


def _page_names(cases: Sequence[Case]) -> Iterator[str]:
    """The query parameters of next pages that Link headers tell."""
    for case in cases:
        for cursor in (case.cursor, case.expect.next_cursor):
            yield from (name for name, _ in parse_qsl(cursor or "", keep_blank_values=True))
