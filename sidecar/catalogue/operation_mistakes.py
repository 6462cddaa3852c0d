"""What is wrong with one operation, beyond the form of its parts: what would fail, or be ignored, when it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar.catalogue.place_mistakes import Places, operation_place_mistakes
from sidecar.catalogue.schema_mistakes import schema_mistakes
from sidecar.core.dig import path_of
from sidecar.core.render import CALL_ID, PLACEHOLDER
from sidecar.manifest import CursorPaging, Field, Operation
from sidecar.wire.subject import OPERATION

BUILT_IN = ("http", "body", "result")  # first words of operations that every provider has
PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+)+/?|/")  # RFC 3986 section 3.3, no empty segment


def operation_mistakes(name: str, fact: Operation, places: Places) -> Iterator[str]:
    """Each mistake as `key: rule`. `places` are those of the provider's credentials."""
    if not OPERATION.fullmatch(name) or name.split(".", maxsplit=1)[0] in BUILT_IN:
        yield f"is not a name for an operation: lower-case words of [a-z0-9_] and dots, not starting with {BUILT_IN}"
    if not fact.docs:
        yield "docs: the URL of the provider's page is required"
    for required in fact.required:
        if required not in fact.input:
            yield f"required: there is no input {required!r}"
    yield from _path_mistakes(fact)
    yield from _field_mistakes(fact)
    for field_name, field in fact.input.items():
        yield from schema_mistakes(f"input.{field_name}", field)
    yield from operation_place_mistakes(fact, places)
    yield from _body_mistakes(fact)
    yield from _place_mistakes(fact)
    yield from _answer_mistakes(fact)


def _path_mistakes(fact: Operation) -> Iterator[str]:
    plain = PLACEHOLDER.sub("x", fact.path)
    if not PATH.fullmatch(plain) or {".", ".."} & set(plain.split("/")):
        yield f"path: {fact.path!r} must start with / and be a path alone: no query, no dots, placeholders of [a-z0-9_]"
    placeholders = set(PLACEHOLDER.findall(fact.path)) - {CALL_ID}
    in_path = {field.name or name: name for name, field in fact.input.items() if field.place == "path"}
    for missing in sorted(placeholders - in_path.keys()):
        yield f"path: {{{missing}}} has no input with `in: path`"
    for wire in sorted(in_path.keys() - placeholders):
        yield f"input.{in_path[wire]}: `in: path`, but the path has no {{{wire}}}"
    for field in in_path.values():
        if field not in fact.required:
            yield f"required: must list {field}, which is part of the path"


def _field_mistakes(fact: Operation) -> Iterator[str]:
    used = {name for field in fact.input.values() for name in (field.file_name, field.name_from)}
    for name, field in fact.input.items():
        if field.style == "segments" and field.place != "path":
            yield f"input.{name}.style: segments is for a path"
        if field.style not in {None, "segments"} and field.place == "path":
            yield f"input.{name}.style: {field.style} is not for a path"
        if field.file_name is not None and field.file_name not in fact.input:
            yield f"input.{name}.fileName: there is no input {field.file_name!r}"
        if field.name_from is not None and (fact.encoding != "multipart" or field.name_from not in fact.required):
            yield f"input.{name}.nameFrom: {field.name_from!r} must be a required input of a multipart body"
        if name == CALL_ID and fact.hooks.input is not None:
            yield f"input.{name}: is the call's own id to the input hook; take another name"
        if field.place == "none" and name not in used and fact.hooks.input is None:
            yield f"input.{name}: `in: none`, but no input hook and no other input uses it"


def _body_mistakes(fact: Operation) -> Iterator[str]:
    places = [field.place for field in fact.input.values()]
    has_body = bool({"body", "content"} & set(places)) or bool(fact.fixed.body)
    if fact.method == "GET" and has_body:
        yield "method: GET carries no body"
    if places.count("content") > 1 or ("content" in places and ("body" in places or fact.fixed.body)):
        yield "input: one `in: content` is the whole body; nothing else can be in it"
    if fact.wrap is not None and fact.encoding != "json":
        yield "wrap: only a JSON body can be wrapped"
    if fact.encoding == "raw" and "body" in places:
        yield "encoding: raw takes its body from one `in: content`"
    if isinstance(fact.paging, CursorPaging) and fact.paging.place == "body" and fact.encoding != "json":
        yield "paging: a cursor goes into the body of a JSON request only"


def _place_mistakes(fact: Operation) -> Iterator[str]:
    """Two inputs for one place of a JSON body, or one inside of another's value."""
    if fact.encoding != "json":
        return
    written: dict[tuple[str, ...], str] = dict.fromkeys(_leaves(fact.fixed.body), "fixed.body")
    for name, field in _in_body(fact).items():
        path = path_of(field.name or name)
        if path in written:
            yield f"input.{name}: {'.'.join(path)} is written by {written[path]} too"
        written[path] = f"input.{name}"
    for path, who in written.items():
        for shorter in (path[:size] for size in range(1, len(path))):
            if shorter in written:
                yield f"{who}: {'.'.join(path)} lies inside of {'.'.join(shorter)}, which {written[shorter]} writes"


def _in_body(fact: Operation) -> Mapping[str, Field]:
    return {name: field for name, field in fact.input.items() if field.place == "body"}


def _leaves(body: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in body.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)


def _answer_mistakes(fact: Operation) -> Iterator[str]:
    """What shapes an output that there is none of."""
    if fact.returns == "json":
        return
    for key, there in (("output", fact.output), ("paging", fact.paging), ("hooks.output", fact.hooks.output)):
        if there is not None:
            yield f"{key}: an operation that returns {fact.returns} has none"
