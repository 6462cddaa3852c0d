"""The inputs of a multipart body as its parts: texts as a form has them, files as bytes with a name each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.core.values import Pairs, Refused, as_text, no_controls, of_base64, pairs
from sidecar.provider import Parameter

MOST_PARTS = 1_000  # each costs time to write, and to read

Files = list[tuple[str, str, bytes]]


def parts_of(fields: Sequence[Parameter], values: Mapping[str, Any]) -> tuple[Pairs, Files]:
    """The texts, and of each file its field, its own name and its bytes. A null is left out."""
    texts: Pairs = []
    files: Files = []
    for parameter in fields:
        value = values.get(parameter.name)
        if value is None:
            continue
        name = str(values[parameter.name_from]) if parameter.name_from else ".".join(parameter.wire)
        no_controls(parameter.name_from or parameter.name, name)
        if parameter.base64:
            files += _files(parameter, name, value, values)
        else:
            texts += pairs(name, parameter.style, value)
    if len(texts) + len(files) > MOST_PARTS:
        raise Refused(fields[0].name, f"a multipart body has at most {MOST_PARTS:,} parts")
    return texts, files


def _files(parameter: Parameter, name: str, value: Any, values: Mapping[str, Any]) -> Files:
    """Each file of a list is a part of the same name (RFC 7578 section 4.3)."""
    if isinstance(value, list):
        contents = [of_base64(f"{parameter.name}/{at}", item) for at, item in enumerate(value)]
        name = f"{name}[]" if parameter.style == "brackets" else name
    else:
        contents = [of_base64(parameter.name, value)]
    return [
        (name, file_name or parameter.name, content)
        for file_name, content in zip(_file_names(parameter, len(contents), values), contents, strict=True)
    ]


def _file_names(parameter: Parameter, count: int, values: Mapping[str, Any]) -> list[str]:
    """The name of each of `count` files; empty where none is given. Raises Refused where names and files differ."""
    given = values.get(parameter.file_name) if parameter.file_name else None
    if given is None:
        return [""] * count
    named = str(parameter.file_name)
    names = [as_text(item) for item in given] if isinstance(given, list) else [as_text(given)]
    if len(names) != count:
        raise Refused(named, f"each file has one name: there are {len(names)} for {count}")
    for at, file_name in enumerate(names):
        no_controls(f"{named}/{at}" if isinstance(given, list) else named, file_name)
    return names
