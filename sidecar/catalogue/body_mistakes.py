"""What is wrong with the body of an operation: parts that cannot be in it, two for one place, what would be ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar.catalogue.path_mistakes import index_mistakes
from sidecar.core.dig import path_of
from sidecar.manifest import Field, Operation

TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
CONTENT_TYPE = re.compile(
    rf'{TOKEN}/{TOKEN}([ \t]*;[ \t]*{TOKEN}=({TOKEN}|"[ !#-\[\]-~]*"))*'
)  # RFC 9110 section 8.3.1


def body_mistakes(fact: Operation) -> Iterator[str]:
    """Each mistake as `key: rule`."""
    places = [field.place for field in fact.input.values()]
    has_content = "content" in places
    has_fixed = fact.fixed.body is not None
    has_body = has_content or "body" in places or has_fixed
    if fact.method == "GET" and has_body:
        yield "method: GET carries no body"
    if places.count("content") > 1 or (has_content and ("body" in places or has_fixed)):
        yield "input: one `in: content` is the whole body; nothing else can be in it"
    if fact.encoding == "raw" and ("body" in places or has_fixed):
        yield "encoding: raw takes its body from one `in: content`"
    if fact.encoding in {"form", "multipart"} and has_content:
        yield f"encoding: {fact.encoding} is made of fields, not of one `in: content`"
    if fact.encoding in {"form", "multipart"} and fact.fixed.body == {} and "body" not in places:
        yield f"fixed.body: is empty, and a {fact.encoding} body has fields; only a JSON body can be an empty object"
    yield from _wrap_mistakes(fact, has_fields=has_body and not has_content)
    yield from _content_type_mistakes(fact, has_body=has_body)
    yield from _fixed_mistakes(fact)
    yield from _place_mistakes(fact)


def _wrap_mistakes(fact: Operation, *, has_fields: bool) -> Iterator[str]:
    if fact.wrap == "":
        yield "wrap: is empty; leave it out"
    if fact.wrap is not None and fact.encoding != "json":
        yield "wrap: only a JSON body can be wrapped"
    elif fact.wrap is not None and not has_fields:
        yield "wrap: there are no fields of a body to wrap"


def _content_type_mistakes(fact: Operation, *, has_body: bool) -> Iterator[str]:
    named = {f"input.{name}": field.name or name for name, field in fact.input.items() if field.place == "header"}
    for key, name in (named | {f"fixed.header.{name}": name for name in fact.fixed.header}).items():
        if has_body and name.lower() == "content-type":
            yield f"{key}: would be ignored; the type of a body is what content_type says"
    if fact.content_type is None:
        return
    if not CONTENT_TYPE.fullmatch(fact.content_type):
        yield f"content_type: {fact.content_type!r} is not one: type/subtype, and parameters such as ; charset=utf-8"
    if fact.encoding == "multipart":
        yield "content_type: that of a multipart body names its boundary, and is made with it"
    elif not has_body:
        yield "content_type: there is no body"


def _fixed_mistakes(fact: Operation) -> Iterator[str]:
    r"""Names in `fixed.body` are literal: `a.b` is no path there, and `a\.b` would be sent with its backslash."""
    paths = [path_of(field.name or name) for name, field in _in_body(fact).items()]
    nests = {path[0] for path in paths if len(path) > 1} if fact.encoding == "json" else set()
    for name in fact.fixed.body or ():
        head = name.partition(".")[0]
        if "\\." in name:
            yield f"fixed.body: {name!r} would be sent with its backslash; names are literal here, a dot is a dot"
        elif head != name and head in nests:
            yield f"fixed.body: {name!r} is a name with a dot, not a place in {head!r}; nest it as YAML does"


def _place_mistakes(fact: Operation) -> Iterator[str]:
    """Two inputs for one place of a JSON body, one inside of another's value, or one in a list."""
    if fact.encoding != "json":
        return
    written: dict[tuple[str, ...], str] = dict.fromkeys(_leaves(fact.fixed.body or {}), "fixed.body")
    for name, field in _in_body(fact).items():
        path = path_of(field.name or name)
        yield from index_mistakes(f"input.{name}.name", field.name or name)
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
