"""multipart/form-data (RFC 7578) with a boundary made from the call, so that the same input gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from mimetypes import MimeTypes
from pathlib import PurePosixPath

ESCAPES = {'"': "%22", "\r": "%0D", "\n": "%0A"}  # as browsers do: https://html.spec.whatwg.org/#multipart-form-data
DIGITS = 60  # of a SHA-256: with the word before it 68 characters, and RFC 2046 section 5.1.1 allows 70
UNKNOWN = "application/octet-stream"
# Of these Python says nothing, or another thing in each version. https://www.iana.org/assignments/media-types
OWN_TYPES = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".js": "text/javascript",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".ogg": "audio/ogg",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".wav": "audio/wav",  # in nobody's register, and what browsers send
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}

Part = tuple[str, str | None, bytes]


def multipart(
    texts: Sequence[tuple[str, str]], files: Sequence[tuple[str, str, bytes]], *, call_id: str
) -> tuple[bytes, str]:
    """The body and its content type. `files` are (field, file name, bytes)."""
    plain: list[Part] = [(f'name="{_escape(name)}"', None, value.encode()) for name, value in texts]
    whole: list[Part] = [
        (f'name="{_escape(name)}"; filename="{_escape(file_name)}"', type_of(file_name), content)
        for name, file_name, content in files
    ]
    boundary = _boundary(call_id, [*plain, *whole])
    parts = [_part(boundary, *part) for part in (*plain, *whole)]
    closing = f"--{boundary}--\r\n".encode()
    return b"".join(parts) + closing, f"multipart/form-data; boundary={boundary}"


def type_of(file_name: str) -> str:
    """The content type that the ending of a file's name tells. Whatever else the name holds, it is one of a table."""
    return _types().get(PurePosixPath(file_name).suffix.lower(), UNKNOWN)


@cache
def _types() -> Mapping[str, str]:
    """By ending. Without the files of the machine: everywhere the same name has the same type."""
    return MimeTypes(()).types_map[True] | OWN_TYPES


def _boundary(call_id: str, parts: Sequence[Part]) -> str:
    """A boundary that occurs in no part: whoever knew it could else write parts of its own. It is a hash of them all,
    and no content can hold a hash of itself.
    """
    digest = hashlib.sha256(call_id.encode())
    for disposition, _, content in parts:
        digest.update(disposition.encode())
        digest.update(content)
    return f"sidecar-{digest.hexdigest()[:DIGITS]}"


def _part(boundary: str, disposition: str, content_type: str | None, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    return f"{head}\r\n".encode() + content + b"\r\n"


def _escape(text: str) -> str:
    return "".join(ESCAPES.get(char, char) for char in text)
