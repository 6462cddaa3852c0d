"""HTTP/1.1 as bytes: the head of a request, and what the head of a response says about its body. No I/O here.

What leaves is exactly the caller's headers, in their order and spelling, without those that belong to the connection
and with five of ours: Host, User-Agent (when missing), Accept-Encoding, Content-Length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache

import httpx
import msgspec

from sidecar.model import VERSION

USER_AGENT = f"connector-sidecar/{VERSION}".encode()
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # say Content-Length: 0 without one, RFC 9110 section 8.6
CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})  # never part of a field value, RFC 9110 section 5.5
KEEP_ALIVE = re.compile(rb"(?:.*[,;\s])?timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
DIGITS = re.compile(rb"\d{1,18}")
HTTP_10, HTTP_11 = (1, 0), (1, 1)


class _Sent(Enum):
    """What becomes of a request's header."""

    AS_IT_IS = auto()
    USER_AGENT = auto()
    HOST = auto()
    DROPPED = auto()
    REFUSED = auto()


# Of the connection, not of the request (RFC 9110 section 7.6.1), or said by us because only we know it.
DROPPED = frozenset(
    b"accept-encoding connection content-length keep-alive proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)


def request_head(request: httpx.Request, size: int) -> bytes | str:
    """The bytes from the request line to the empty line, for a body of `size` bytes; or why it may not be sent."""
    if not _is_token(request.method) or request.method == "CONNECT":
        return f"{request.method[:40]!r} is not a method that can be sent"
    target, host = request.url.raw_path, request.url.netloc
    parts = [request.method.encode(), b" ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
    agent = b"User-Agent: %b\r\n" % USER_AGENT
    lines = 2
    for name, value in request.headers.raw:
        sent = _sent(name)
        if sent is _Sent.AS_IT_IS:
            parts += (name, b": ", value, b"\r\n")
            lines += 1
        elif sent is _Sent.USER_AGENT:
            agent = b"%b: %b\r\n" % (name, value)
        elif sent is _Sent.REFUSED:
            return f"{name[:80]!r} is not a header name"
        elif sent is _Sent.HOST and value.lower() != host:
            return f"the header Host {value[:80]!r} is not the URL's host {host!r}"
    parts += (agent, b"Accept-Encoding: gzip\r\n")
    lines += 3  # with the empty one
    if size or request.method in METHODS_WITH_BODY:
        parts.append(b"Content-Length: %d\r\n" % size)
        lines += 1
    parts.append(b"\r\n")
    head = b"".join(parts)
    # One pass in C instead of one per header: whatever is more than our own line ends was hidden in a value.
    if len(head) - len(head.translate(None, CONTROLS)) != 2 * lines or b" " in target:
        return "a header value or the URL holds a control character, such as a line break"
    return head


@lru_cache(maxsize=64)
def _is_token(method: str) -> bool:
    return method.isascii() and TOKEN.fullmatch(method.encode()) is not None


@lru_cache(maxsize=4096)
def _sent(name: bytes) -> _Sent:
    if not TOKEN.fullmatch(name):
        return _Sent.REFUSED
    match name.lower():
        case b"host":
            return _Sent.HOST
        case b"user-agent":
            return _Sent.USER_AGENT
        case lower:
            return _Sent.DROPPED if lower in DROPPED else _Sent.AS_IT_IS


class Framing(msgspec.Struct, frozen=True):
    """What a response's head says: the coding of its body, its bytes on the wire if told, seconds it may stay idle."""

    coding: bytes = b""
    length: int | None = None
    idle: float | None = None


PLAIN = Framing()


def response_framing(version: tuple[int, int], headers: Iterable[tuple[bytes, bytes]]) -> Framing | str:
    """What the head says about the body, or why this answer must not be trusted.

    The parser below us is lax; what it lets pass and two parties could read in two ways is refused here.
    """
    if version not in {HTTP_11, HTTP_10}:
        return f"HTTP version {version[0]}.{version[1]}"
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        key = _received(name)
        if key is not None:
            said[key] = said[key] + b"," + value if key in said else value
    if not said:
        return PLAIN
    if b"" in said:
        return "white space between a header's name and its colon (RFC 9112 section 5.1)"
    transfer = said.get(b"transfer-encoding", b"chunked")
    if transfer.lower() != b"chunked" or (version == HTTP_10 and b"transfer-encoding" in said):
        return f"transfer encoding {transfer[:80]!r} in HTTP/{version[0]}.{version[1]} (RFC 9112 section 6.1)"
    codings = [coding.strip() for coding in said.get(b"content-encoding", b"").lower().split(b",")]
    coding = b", ".join(coding for coding in codings if coding not in {b"", b"identity"})
    length = said.get(b"content-length", b"")
    idle = KEEP_ALIVE.match(said.get(b"keep-alive", b""))
    return Framing(
        coding=b"gzip" if coding == b"x-gzip" else coding,  # RFC 9110 section 8.4.1.3
        length=int(length) if DIGITS.fullmatch(length) else None,
        idle=float(idle[1]) if idle else None,
    )


@lru_cache(maxsize=4096)
def _received(name: bytes) -> bytes | None:
    """The lower-case name where it matters here, `b""` where the name is broken, None where it does not matter."""
    lower = name.lower()
    if lower in {b"content-length", b"content-encoding", b"transfer-encoding", b"keep-alive"}:
        return lower
    return b"" if name != name.strip() else None
