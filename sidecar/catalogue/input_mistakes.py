"""What is wrong with the inputs of an operation: what would be ignored, and two that are sent by one name."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.catalogue.schema_mistakes import schema_mistakes
from sidecar.core.dig import path_of
from sidecar.core.render import CALL_ID
from sidecar.manifest import Field, Operation


def input_mistakes(fact: Operation) -> Iterator[str]:
    """Each mistake as `key: rule`."""
    used = {name for field in fact.input.values() for name in (field.file_name, field.name_from)}
    for name, field in fact.input.items():
        wrongs = (*_style_mistakes(fact, field), *_name_mistakes(field), *_file_mistakes(fact, field))
        yield from (f"input.{name}.{wrong}" for wrong in wrongs)
        yield from schema_mistakes(f"input.{name}", field)
        if name == CALL_ID and fact.hooks.input is not None:
            yield f"input.{name}: is the call's own id to the input hook; take another name"
        if field.place == "none" and name not in used and fact.hooks.input is None:
            yield f"input.{name}: `in: none`, but no input hook and no other input uses it"
    yield from _same_name_mistakes(fact)


def _style_mistakes(fact: Operation, field: Field) -> Iterator[str]:
    if field.style is None:
        return
    if field.style == "segments":
        if field.place != "path":
            yield "style: segments is for a path"
    elif field.place == "path":
        yield f"style: {field.style} is not for a path"
    elif field.place != "query" and not (field.place == "body" and fact.encoding in {"form", "multipart"}):
        yield f"style: {field.style} is for a query or a form, and would be ignored here"


def _name_mistakes(field: Field) -> Iterator[str]:
    if field.name is not None and not (all(path_of(field.name)) if field.place == "body" else field.name):
        yield f"name: {field.name!r} is empty, or has an empty part"


def _file_mistakes(fact: Operation, field: Field) -> Iterator[str]:
    """What is for files, and bytes that would be sent as their base64."""
    in_multipart = field.place == "body" and fact.encoding == "multipart"
    if field.file_name is not None and field.file_name not in fact.input:
        yield f"fileName: there is no input {field.file_name!r}"
    elif field.file_name is not None and not (in_multipart and field.content_encoding):
        yield "fileName: is of a part of a multipart body that has `contentEncoding: base64`"
    if field.name_from is not None and not (in_multipart and field.name_from in fact.required):
        yield f"nameFrom: {field.name_from!r} must be a required input of a multipart body"
    is_form = field.place == "body" and fact.encoding == "form"
    if field.content_encoding is not None and (is_form or field.place in {"path", "query", "header"}):
        yield "contentEncoding: would be ignored here; bytes go into `in: content` or a part of a multipart body"


def _same_name_mistakes(fact: Operation) -> Iterator[str]:
    """Two values for one placeholder, parameter, header or field of a form. A JSON body is looked through by itself;
    parts of a multipart body may share a name (RFC 7578 section 4.3).
    """
    written: dict[tuple[str, str], str] = {}
    for key, place, wire in (*_fixed_names(fact), *_given_names(fact)):
        first = written.setdefault((place, wire), key)
        if first != key:
            yield f"{key}: {place} {wire} is written by {first} too"


def _fixed_names(fact: Operation) -> Iterator[tuple[str, str, str]]:
    yield from ((f"fixed.query.{name}", "query", name) for name in fact.fixed.query)
    yield from ((f"fixed.header.{name}", "header", name.lower()) for name in fact.fixed.header)
    if fact.encoding == "form":
        yield from ((f"fixed.body.{name}", "form", name) for name in fact.fixed.body)


def _given_names(fact: Operation) -> Iterator[tuple[str, str, str]]:
    for name, field in fact.input.items():
        key, wire = f"input.{name}", field.name or name
        suffix = "[]" if field.style == "brackets" else ""
        match field.place:
            case "path":
                yield key, "path", wire
            case "query":
                yield key, "query", wire + suffix
            case "header":
                yield key, "header", wire.lower()
            case "body" if fact.encoding == "form":
                yield key, "form", ".".join(path_of(wire)) + suffix
            case _:
                pass
