"""What an answer's body holds: JSON, or why it is none, or a short text for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

# Half of a character above U+FFFF, as it is left over where a provider cuts a text. JSON's grammar has it (RFC 8259
# section 8.2); no text can hold it, and most parsers of agents refuse the whole answer.
HALF = re.compile(rb"\\u[dD][89a-fA-F]")
HALF_OR_ESCAPE = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
REPLACEMENT = rb"\ufffd"
PASSED_ON = msgspec.json.Decoder(msgspec.Raw)
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # controls that no sentence has
MOST_WORDS = 64 * 1024  # bytes


class Broken(msgspec.Struct, frozen=True):
    """Why a body is not JSON."""

    why: str


EMPTY = Broken("the answer is empty")


def decoded(content: bytes) -> Any:
    """The body as Python values, or why it is not JSON."""
    if not content:
        return EMPTY
    try:
        return msgspec.json.decode(content)
    except RecursionError:  # msgspec raises it for deep nesting; it is not a DecodeError
        return Broken("its JSON is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Broken("its body is not JSON")


def checked(content: bytes) -> Any:
    """As `decoded`, for a body that passes through unchanged: checked for form, not built."""
    if not content:
        return EMPTY
    try:
        if not content.isascii():
            content.decode()
        PASSED_ON.decode(content)
    except RecursionError:
        return Broken("its JSON is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Broken("its body is not JSON")
    return None


def whole(content: bytes, read: Callable[[bytes], Any]) -> tuple[bytes, Any]:
    """The body, and what `read` (`decoded` or `checked`) makes of it. Where halves of characters spoil it, both have
    U+FFFD in their place.
    """
    body = read(content)
    if isinstance(body, Broken) and HALF.search(content):
        content = HALF_OR_ESCAPE.sub(_whole_escape, content)
        body = read(content)
    return content, body


def _whole_escape(found: re.Match[bytes]) -> bytes:
    return REPLACEMENT if found[2] else found[0]


def words(headers: Mapping[str, str], content: bytes, body: Any) -> str | None:
    """What a failed answer says to people where it is no document: a text of type `text/plain`, or JSON that is a text.
    `body` is the content decoded. No sentence is markup, has control characters (whose type lies), or is that long.
    """
    if len(content) > MOST_WORDS:
        return None
    if isinstance(body, Broken):
        body = _text(content) if is_plain(headers) else None
    text = body.strip() if isinstance(body, str) else ""
    return None if not text or text.startswith("<") or NO_TEXT.search(text) else text


def is_plain(headers: Mapping[str, str]) -> bool:
    """Whether the answer is a text for people."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "text/plain"


def _text(content: bytes) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
