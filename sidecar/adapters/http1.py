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
# Said where nothing is encoded. The last three are no codings, but stores give back what an uploader said of an object
# (S3: utf-8; others: aws-chunked), and some servers mean identity by none. https://github.com/curl/curl/pull/2298
UNCODED = frozenset({b"", b"identity", b"none", b"utf-8", b"aws-chunked"})
# What a detail may name; any other word could be a secret that lost its way.
# https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding
REGISTERED = frozenset(
    b"aes128gcm br chunked compress dcb dcz deflate exi gzip identity pack200-gzip x-compress x-gzip zstd".split()
)
KEEP_ALIVE = re.compile(rb"(?:.*[,;\s])?timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
VERSIONS = {"1.1": b"HTTP/1.1", "1.0": b"HTTP/1.0"}
LONGEST_LENGTH = 20  # digits of a Content-Length, which has 64 bits at most; of thousands Python makes no number
LONGEST_NAME = 64  # bytes of a header's name that is remembered: strangers' names are many, and may have 16 KiB each


class _Sent(Enum):
    """What becomes of a request's header that is not sent as it is."""

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
    method = _method(request.method)
    if method is None:
        return f"{request.method[:40]!r} is not a method that can be sent"
    target, host = request.url.raw_path, request.url.netloc
    agent = b"User-Agent: " + USER_AGENT
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: " + host]
    for name, value in request.headers.raw:
        start = _known_start(name) if len(name) <= LONGEST_NAME else _start(name)
        if isinstance(start, bytes):
            lines.append(start + value)
        elif start is _Sent.USER_AGENT:
            agent = b"%b: %b" % (name, value)
        elif start is _Sent.REFUSED:
            return f"{name[:80]!r} is not a header name"
        elif start is _Sent.HOST and value.lower() != host:
            return f"the header Host {value[:80]!r} is not the URL's host {host!r}"
    lines += (agent, b"Accept-Encoding: gzip")
    if size or request.method in METHODS_WITH_BODY:
        lines.append(b"Content-Length: %d" % size)
    lines += (b"", b"")
    head = b"\r\n".join(lines)
    # One pass in C instead of one per header: whatever is more than our own line ends was hidden in a value.
    if len(head) - len(head.translate(None, CONTROLS)) != 2 * (len(lines) - 1) or b" " in target:
        return "a header value or the URL holds a control character, such as a line break"
    return head


@lru_cache(maxsize=64)
def _method(method: str) -> bytes | None:
    """The method as it is sent, or None for what is none and for CONNECT, which would ask for a tunnel."""
    sent = method.encode("ascii", "replace")
    return sent if TOKEN.fullmatch(sent) and method.isascii() and method != "CONNECT" else None


def _start(name: bytes) -> bytes | _Sent:
    """What stands before the value of a header that is sent as it is, else what becomes of it."""
    if not TOKEN.fullmatch(name):
        return _Sent.REFUSED
    match name.lower():
        case b"host":
            return _Sent.HOST
        case b"user-agent":
            return _Sent.USER_AGENT
        case lower:
            return _Sent.DROPPED if lower in DROPPED else name + b": "


_known_start = lru_cache(maxsize=4096)(_start)


class Framing(msgspec.Struct, frozen=True):
    """What a response's head says of its body (coding, bytes on the wire if told) and of seconds to stay idle after."""

    coding: bytes = b""
    length: int | None = None
    chunked: bool = False
    idle: float | None = None


PLAIN = Framing()


def response_framing(version: str, headers: Iterable[tuple[bytes, bytes]]) -> Framing | str:
    """What the head says about the body, or why this answer must not be trusted.

    The parser below us is lax; what it lets pass and two parties could read in two ways is refused here.
    """
    if version not in VERSIONS:
        return f"HTTP version {version}"
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        key = _known_received(name) if len(name) <= LONGEST_NAME else _received(name)
        if key is not None:
            said[key] = said[key] + b"," + value if key in said else value
    if not said:
        return PLAIN
    if b"" in said:
        return "white space between a header's name and its colon (RFC 9112 section 5.1)"
    transfer = said.get(b"transfer-encoding", b"chunked")
    if transfer.lower() != b"chunked" or (version == "1.0" and b"transfer-encoding" in said):
        return f"transfer encoding {named(transfer)} in HTTP/{version} (RFC 9112 section 6.1)"
    length = said.get(b"content-length", b"")
    if len(length) > LONGEST_LENGTH:
        return f"a Content-Length of more than {LONGEST_LENGTH} digits"
    return Framing(
        coding=_coding(said[b"content-encoding"]) if b"content-encoding" in said else b"",
        length=int(length) if length.isdigit() else None,
        chunked=b"transfer-encoding" in said,
        idle=_idle(said[b"keep-alive"]) if b"keep-alive" in said else None,
    )


def named(codings: bytes) -> str:
    """The codings as a detail may say them: no byte of the provider that is not a registered word."""
    words = [word.strip() for word in codings.lower().split(b",")]
    return b", ".join(words)[:80].decode("ascii") if REGISTERED.issuperset(words) else "(unknown)"


def says_close(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the connection ends with this answer; `close` decides also beside `keep-alive`, RFC 9112 section 9.3."""
    said = b",".join(value for name, value in headers if name.lower() == b"connection")
    return b"close" in {option.strip() for option in said.lower().split(b",")}


def _coding(said: bytes) -> bytes:
    codings = [coding.strip() for coding in said.lower().split(b",")]
    coding = b", ".join(coding for coding in codings if coding not in UNCODED)
    return b"gzip" if coding == b"x-gzip" else coding  # RFC 9110 section 8.4.1.3


def _idle(said: bytes) -> float | None:
    found = KEEP_ALIVE.match(said)
    return float(found[1]) if found else None


def _received(name: bytes) -> bytes | None:
    """The lower-case name where it matters here, `b""` where the name is broken, None where it does not matter."""
    lower = name.lower()
    if lower in {b"content-length", b"content-encoding", b"transfer-encoding", b"keep-alive"}:
        return lower
    return b"" if name != name.strip() else None


_known_received = lru_cache(maxsize=4096)(_received)
