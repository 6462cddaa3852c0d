"""multipart/form-data (RFC 7578) with a boundary made from the call, so that the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

ESCAPES = {'"': "%22", "\r": "%0D", "\n": "%0A"}  # as browsers do: https://html.spec.whatwg.org/#multipart-form-data


def multipart(
    texts: Sequence[tuple[str, str]], files: Sequence[tuple[str, str, bytes]], *, stem: str
) -> tuple[bytes, str]:
    """The body and its content type. `files` are (field, file name, bytes); the boundary starts with `stem`."""
    plain = [(f'name="{_escape(name)}"', None, value.encode()) for name, value in texts]
    whole = [
        (f'name="{_escape(name)}"; filename="{_escape(file_name)}"', "application/octet-stream", content)
        for name, file_name, content in files
    ]
    boundary = _boundary(stem, [content for _, _, content in (*plain, *whole)])
    parts = [_part(boundary, *part) for part in (*plain, *whole)]
    closing = f"--{boundary}--\r\n".encode()
    return b"".join(parts) + closing, f"multipart/form-data; boundary={boundary}"


def _boundary(stem: str, contents: Sequence[bytes]) -> str:
    """A boundary that occurs in no content: whoever knows the stem could else write parts of its own."""
    candidates = (f"{stem}-{number}" for number in count())
    return next(word for word in candidates if not any(word.encode() in content for content in contents))


def _part(boundary: str, disposition: str, content_type: str | None, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    return f"{head}\r\n".encode() + content + b"\r\n"


def _escape(text: str) -> str:
    return "".join(ESCAPES.get(char, char) for char in text)
