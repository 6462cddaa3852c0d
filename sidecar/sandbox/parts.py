"""The parts of a multipart body (RFC 7578): those that a request has, and how a case would say them. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sidecar.sandbox.case import CasePart

BOUNDARY = re.compile(r'boundary="?([^";]+)', re.IGNORECASE)
DISPOSITION = re.compile(rb"(?im)^content-disposition:([^\r\n]*)")
CONTENT_TYPE = re.compile(rb"(?im)^content-type:[ \t]*([^\r\n]*)")
PARAMETER = re.compile(rb';[ \t]*(name|filename)="([^"]*)"', re.IGNORECASE)

Said = Mapping[str, str | CasePart | tuple[str | CasePart, ...]]


class Part(msgspec.Struct, frozen=True):
    """One part as it was sent, its names as they stand between the quotes."""

    name: str
    file_name: str | None
    content_type: str | None
    content: bytes


def parts_in(content: bytes, content_type: str) -> Iterator[Part]:
    """The parts of a body, in order; `content_type` names their boundary."""
    boundary = BOUNDARY.search(content_type)
    for chunk in content.split(b"--" + boundary[1].encode())[1:-1] if boundary else ():
        head, _, body = chunk.partition(b"\r\n\r\n")
        disposition, kind = DISPOSITION.search(head), CONTENT_TYPE.search(head)
        names = {key.lower(): value for key, value in PARAMETER.findall(disposition[1] if disposition else b"")}
        yield Part(
            _decoded(names.get(b"name", b"")),
            _decoded(names[b"filename"]) if b"filename" in names else None,
            _decoded(kind[1]) if kind else None,
            body.removesuffix(b"\r\n"),
        )


def expected_parts(said: Said) -> dict[str, Any]:
    """What a case says, as `sent_parts` tells what was sent: equal values are equal bodies."""
    parts = {name: items if isinstance(items, tuple) else (items,) for name, items in said.items()}
    return {name: _one_or_all([_plain(item) for item in items]) for name, items in parts.items()}


def sent_parts(parts: Sequence[Part], said: Said) -> dict[str, Any]:
    """By name what the case would say of the parts: where it names no file name, none is told."""
    found: dict[str, list[Any]] = {}
    for part in parts:
        items = said.get(part.name, ())
        likes = items if isinstance(items, tuple) else (items,)
        at = len(found.setdefault(part.name, []))
        found[part.name].append(_as(part, likes[at] if at < len(likes) else ""))
    return {name: _one_or_all(items) for name, items in found.items()}


def _as(part: Part, like: str | CasePart) -> Any:
    """Text that stands alone is that text and never the base64 of bytes."""
    text = _text(part.content)
    if isinstance(like, str):
        return _base64(part) if text is None else text
    content = _base64(part) if text is None or like.text is None else {"text": text}
    beside = {"file_name": part.file_name, "content_type": part.content_type}
    return content | {key: value for key, value in beside.items() if getattr(like, key) is not None}


def _plain(item: str | CasePart) -> Any:
    if isinstance(item, str):
        return item
    keys = ("text", "base64", "file_name", "content_type")
    return {key: value for key in keys if (value := getattr(item, key)) is not None}


def _one_or_all(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


def _base64(part: Part) -> dict[str, str | None]:
    return {"base64": b64encode(part.content).decode()}


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _decoded(name: bytes) -> str:
    return name.decode(errors="replace")
