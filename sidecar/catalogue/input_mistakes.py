"""What is wrong with the inputs of an operation: what would be ignored, and two that are sent by one name."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.catalogue.schema_mistakes import kinds_of, schema_mistakes
from sidecar.core.dig import path_of
from sidecar.core.render import CALL_ID
from sidecar.manifest import Field, Operation


def input_mistakes(fact: Operation) -> Iterator[str]:
    """Each mistake as `key: rule`."""
    used = {name for field in fact.input.values() for name in (field.file_name, field.name_from)}
    for name, field in fact.input.items():
        in_text = field.place in {"path", "header"}
        wrongs = (
            *(_text_mistakes(field) if in_text else _style_mistakes(fact, field)),
            *_name_mistakes(field),
            *_file_mistakes(fact, field),
            *_base64_mistakes(fact, field),
        )
        yield from (f"input.{name}.{wrong}" for wrong in wrongs)
        yield from schema_mistakes(f"input.{name}", field)
        if name == CALL_ID and fact.hooks.input is not None:
            yield f"input.{name}: is the call's own id to the input hook; take another name"
        if field.place == "none" and name not in used and fact.hooks.input is None:
            yield f"input.{name}: `in: none`, but no input hook and no other input uses it"
    yield from _same_name_mistakes(fact)
    yield from _empty_mistakes(fact)


def _style_mistakes(fact: Operation, field: Field) -> Iterator[str]:
    if field.style is None:
        return
    if field.style == "segments":
        yield "style: segments is for a path"
    elif field.place != "query" and not (field.place == "body" and fact.encoding in {"form", "multipart"}):
        yield f"style: {field.style} is for a query or a form, and would be ignored here"
    elif field.style in {"comma", "json"} and _is_file(fact, field):
        yield f"style: {field.style} is not for files: each is a part of the body"


def _text_mistakes(field: Field) -> Iterator[str]:
    """What is wrong with the style of an input in a path or a header: there all of it is one text."""
    kinds, place, style = kinds_of(field), field.place, field.style
    if "object" in kinds:
        yield f"type: an object has no form in a {place}; take a text, which the input hook can write"
    elif "array" in kinds and style != "comma":
        yield f"style: a list in a {place} is written with `style: comma` (a,b)"
    elif style == "comma" and kinds and "array" not in kinds:
        yield "style: comma is for a list, and would be ignored here"
    elif style == "comma" and kinds_of(field.items) & {"array", "object"}:
        yield f"items: in a {place} a list holds texts and numbers"
    elif style == "segments" and place == "header":
        yield "style: segments is for a path"
    elif style not in {None, "comma", "segments"}:
        ignored = "is not for a path" if place == "path" else "is for a query or a form, and would be ignored here"
        yield f"style: {style} {ignored}"


def _name_mistakes(field: Field) -> Iterator[str]:
    if field.name is not None and not (all(path_of(field.name)) if field.place == "body" else field.name):
        yield f"name: {field.name!r} is empty, or has an empty part"


def _file_mistakes(fact: Operation, field: Field) -> Iterator[str]:
    """What is for files alone, and what does not fit them."""
    in_multipart = field.place == "body" and fact.encoding == "multipart"
    if field.file_name is not None and field.file_name not in fact.input:
        yield f"fileName: there is no input {field.file_name!r}"
    elif field.file_name is not None and not _is_file(fact, field):
        yield "fileName: is of a part of a multipart body that has `contentEncoding: base64`"
    elif field.file_name is not None:
        yield from _file_name_mistakes(field, fact.input[field.file_name])
    if field.name_from is not None and not (in_multipart and field.name_from in fact.required):
        yield f"nameFrom: {field.name_from!r} must be a required input of a multipart body"


def _file_name_mistakes(field: Field, named: Field) -> Iterator[str]:
    """Names that are one text where there may be several files, and the other way round."""
    files, names = "array" in kinds_of(field), kinds_of(named)
    if files and names and "array" not in names:
        yield f"fileName: {field.file_name!r} must be a list, with one name for each file"
    elif not files and names == {"array"}:
        yield f"fileName: {field.file_name!r} is a list of names, and this is one file"


def _base64_mistakes(fact: Operation, field: Field) -> Iterator[str]:
    """Bytes that would be sent as their base64; in JSON they are."""
    in_form = field.place == "body" and fact.encoding in {"form", "multipart"}
    if field.style == "json" or not (in_form or field.place in {"path", "query", "header"}):
        return
    rule = "would be ignored here; bytes go into `in: content` or a part of a multipart body"
    if field.is_bytes and not _is_file(fact, field):
        yield f"{'items.' if field.content_encoding is None else ''}contentEncoding: {rule}"
    if any(inner.is_bytes for inner in field.any_of or ()):
        yield f"anyOf: contentEncoding {rule}"


def _is_file(fact: Operation, field: Field) -> bool:
    return field.place == "body" and fact.encoding == "multipart" and field.is_bytes


def _same_name_mistakes(fact: Operation) -> Iterator[str]:
    """Two values for one placeholder, parameter, header or field of a form. A JSON body is looked through by itself;
    parts of a multipart body may share a name (RFC 7578 section 4.3).
    """
    written: dict[tuple[str, str], str] = {}
    for key, place, wire in (*_fixed_names(fact), *_given_names(fact)):
        first = written.setdefault((place, wire), key)
        if first != key:
            yield f"{key}: {place} {wire} is written by {first} too"


def _empty_mistakes(fact: Operation) -> Iterator[str]:
    """Of an empty list nothing is repeated."""
    in_form = fact.encoding in {"form", "multipart"}
    for place, values in (("query", fact.fixed.query), ("body", (fact.fixed.body or {}) if in_form else {})):
        for name, value in values.items():
            if value == []:
                yield f"fixed.{place}.{name}: is an empty list, and would not be sent"


def _fixed_names(fact: Operation) -> Iterator[tuple[str, str, str]]:
    yield from ((f"fixed.query.{name}", "query", name) for name in fact.fixed.query)
    yield from ((f"fixed.header.{name}", "header", name.lower()) for name in fact.fixed.header)
    if fact.encoding == "form":
        yield from ((f"fixed.body.{name}", "form", name) for name in fact.fixed.body or ())


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
