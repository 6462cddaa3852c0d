"""multipart/form-data (RFC 7578) with a boundary chosen by the caller, so that the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

ESCAPES = {'"': "%22", "\r": "%0D", "\n": "%0A"}  # as browsers do: https://html.spec.whatwg.org/#multipart-form-data


def multipart(
    texts: Sequence[tuple[str, str]], files: Sequence[tuple[str, str, bytes]], *, boundary: str
) -> tuple[bytes, str]:
    """The body and its content type. `files` are (field, file name, bytes)."""
    parts: list[bytes] = []
    for name, value in texts:
        parts.append(_part(boundary, f'name="{_escape(name)}"', None, value.encode()))
    for name, file_name, content in files:
        disposition = f'name="{_escape(name)}"; filename="{_escape(file_name)}"'
        parts.append(_part(boundary, disposition, "application/octet-stream", content))
    closing = f"--{boundary}--\r\n".encode()
    return b"".join(parts) + closing, f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, disposition: str, content_type: str | None, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    return f"{head}\r\n".encode() + content + b"\r\n"


def _escape(text: str) -> str:
    return "".join(ESCAPES.get(char, char) for char in text)
