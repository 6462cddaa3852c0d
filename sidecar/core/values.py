"""Values as the text of their place: a segment of a path, a header, pairs of a query or form. None leaves its place."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from sidecar.model import Problem
from sidecar.provider import Parameter

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Pairs = list[tuple[str, str]]


class Refused(Exception):
    """A value that would leave its place. `name` is a path into the input; whoever renders makes a failure of it."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(rule)
        self.problem = Problem(f"/{name}", rule)


def as_text(value: object) -> str:
    """A value as the provider's text: JSON's words, but text without quotes and whole numbers without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return msgspec.json.encode(value).decode()


def path_text(parameter: Parameter, value: object) -> str:
    """What stands in the path for an input. The commas of a list are its own: one in an item is encoded (RFC 6570
    section 3.2.2).
    """
    name = parameter.name
    if parameter.style == "segments":
        return "/".join(path_segment(name, part) for part in str(value).split("/"))
    if parameter.style == "comma" and isinstance(value, list):
        if not value:
            raise Refused(name, "an empty list cannot be part of a path")
        return ",".join(path_segment(f"{name}/{at}", item) for at, item in enumerate(value))
    return path_segment(name, value)


def path_segment(name: str, value: object) -> str:
    """A value as one segment of a path, percent-encoded. `.` and `..` would be resolved away, controls never belong."""
    text = as_text(value)
    if text in {"", ".", ".."}:
        raise Refused(name, f"{text!r} cannot be part of a path")
    no_controls(name, text)
    return quote(text, safe="")


def header_text(parameter: Parameter, value: object) -> str:
    """What an input's header holds."""
    name = parameter.name
    if parameter.style == "comma" and isinstance(value, list):
        return ",".join(header_value(f"{name}/{at}", item) for at, item in enumerate(value))
    return header_value(name, value)


def header_value(name: str, value: object) -> str:
    """A value as a header's value: printable ASCII (RFC 9110 section 5.5), so it cannot start a header of its own."""
    text = as_text(value)
    if not text.isascii() or not text.isprintable():
        raise Refused(name, "a header's value is printable ASCII on one line")
    return text.strip()


def fixed_pairs(fixed: Mapping[str, Any]) -> Pairs:
    """Fixed values as name-value pairs; a list is repeated."""
    return [pair for name, value in fixed.items() for pair in pairs(name, None, value)]


def given_pairs(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> Pairs:
    """Inputs as name-value pairs, in the manifest's order. A null is left out."""
    found: Pairs = []
    for parameter in parameters:
        value = values.get(parameter.name)
        if value is not None:
            found += pairs(".".join(parameter.wire), parameter.style, value)
    return found


def pairs(name: str, style: str | None, value: Any) -> Iterator[tuple[str, str]]:
    """One value as the pairs that its style makes of it."""
    if style == "brackets" and isinstance(value, dict | list):
        yield from _in_brackets(name, value)
    elif style == "json" or isinstance(value, dict):
        yield name, msgspec.json.encode(value).decode()
    elif not isinstance(value, list):
        yield name, as_text(value)
    elif style == "comma":
        yield name, ",".join(as_text(item) for item in value)
    else:
        for item in value:
            yield name, as_text(item)


def of_base64(name: str, value: object) -> bytes:
    """The bytes that a text stands for."""
    if not isinstance(value, str):
        raise Refused(name, "is not base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(name, "is not base64") from None


def no_controls(name: str, text: str) -> None:
    """Raises Refused where the text could end its line."""
    if CONTROL.search(text):
        raise Refused(name, "has a control character")


def _in_brackets(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """What a value holds, each below its place: `a[key]`, `a[]`, and `a[0][key]` where elements have parts. A null is
    left out. Raises Refused for a key with brackets, which would lead to another place.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key or "[" in key or "]" in key:
                raise Refused(name, f"{key!r} cannot be a name in brackets")
            yield from _in_brackets(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        flat = not any(isinstance(item, dict | list) for item in value)
        for at, item in enumerate(value):
            yield from _in_brackets(f"{name}[]" if flat else f"{name}[{at}]", item)
    elif value is not None:
        yield name, as_text(value)
