"""The bytes of a request's head, and what a response's head says about its body."""

from __future__ import annotations

import sys
from collections.abc import Callable

import httpx
import pytest

from sidecar.adapters.http1 import LONGEST_NAME, Framing, request_head, response_framing

URL = "https://api.test:8443/a?b=c"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"X-A", b"1\r\nX-Evil: 2")],
        [(b"X-A", b"1\nX-Evil: 2")],
        [(b"X-A", b"1\rX-Evil: 2")],
        [(b"X-A", b"1\r\n\r\nGET / HTTP/1.1")],
        [(b"X-A", b"\x00")],
        [(b"X-A", b"\x1b[31m")],
        [(b"X-A", b"\x7f")],
        [(b"User-Agent", b"x\r\nX-Evil: 2")],
        [(b"X-A\r\nX-Evil", b"1")],
        [(b"X-A: 1\r\nX-Evil", b"1")],
        [(b"X-A ", b"1")],
        [(b"X A", b"1")],
        [(b"X-A:", b"1")],
        [(b"", b"1")],
        [(b"X-\xc3\xa4", b"1")],
        [(b"Host", b"evil.test")],
        [(b"Host", b"api.test")],
        [(b"Host", b"api.test:8443\r\nX-Evil: 2")],
    ],
)
def test_a_header_that_could_become_another_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """Line breaks, controls, broken names and a Host that is not the URL's make no head at all."""
    refused = request_head(httpx.Request("GET", URL, headers=headers), 0)
    assert isinstance(refused, str)


@pytest.mark.parametrize("method", ["GET /x HTTP/1.1\r\nX:", "G T", "", "GÉT", "CONNECT"])
def test_a_broken_method_is_refused(method: str) -> None:
    """A method is a token; CONNECT would ask for a tunnel."""
    assert isinstance(request_head(httpx.Request(method, URL), 0), str)


def test_a_refusal_tells_no_value() -> None:
    """A refused value may be a secret: it is not repeated."""
    refused = request_head(httpx.Request("GET", URL, headers=[(b"Authorization", b"Bearer s3cret\n")]), 0)
    assert isinstance(refused, str)
    assert "s3cret" not in refused


def test_dropped_headers_are_checked_by_not_being_sent() -> None:
    """What belongs to the connection is left out, whatever it holds."""
    head = request_head(httpx.Request("GET", URL, headers=[(b"Connection", b"a\r\nX-Evil: 1")]), 0)
    assert isinstance(head, bytes)
    assert b"Evil" not in head


def test_the_host_may_be_spelled_in_capitals() -> None:
    """Host names have no case; the URL's spelling is sent."""
    head = request_head(httpx.Request("GET", URL, headers=[(b"Host", b"API.test:8443")]), 0)
    assert isinstance(head, bytes)
    assert head.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: api.test:8443\r\n")
    assert head.lower().count(b"host:") == 1


@pytest.mark.parametrize(
    ("headers", "framing"),
    [
        ([], Framing()),
        ([(b"X-A", b"1"), (b"Date", b"x")], Framing()),
        ([(b"CONTENT-LENGTH", b"12")], Framing(length=12)),
        ([(b"Content-Encoding", b"gzip")], Framing(coding=b"gzip")),
        ([(b"Content-Encoding", b" GZIP , identity")], Framing(coding=b"gzip")),
        ([(b"Content-Encoding", b"x-gzip")], Framing(coding=b"gzip")),
        ([(b"Content-Encoding", b"identity")], Framing()),
        ([(b"Content-Encoding", b"")], Framing()),
        ([(b"Content-Encoding", b"UTF-8")], Framing()),
        ([(b"Content-Encoding", b"none")], Framing()),
        ([(b"Content-Encoding", b"aws-chunked, gzip")], Framing(coding=b"gzip")),
        ([(b"Content-Encoding", b"utf-16")], Framing(coding=b"utf-16")),
        ([(b"Content-Encoding", b"gzip"), (b"content-encoding", b"br")], Framing(coding=b"gzip, br")),
        ([(b"Transfer-Encoding", b"Chunked")], Framing(chunked=True)),
        ([(b"Keep-Alive", b"timeout=5")], Framing(idle=5)),
        ([(b"Keep-Alive", b'max=100, Timeout = "72"')], Framing(idle=72)),
        ([(b"Keep-Alive", b"max=5")], Framing()),
        ([(b"Keep-Alive", b"xtimeout=5")], Framing()),
    ],
)
def test_what_a_head_says(headers: list[tuple[bytes, bytes]], framing: Framing) -> None:
    """Coding, length and idle seconds are read whatever the case and spacing."""
    assert response_framing("1.1", headers) == framing


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("2.0", []),
        ("0.9", []),
        ("1.1", [(b"Content-Length ", b"2")]),
        ("1.1", [(b"X-A\t", b"2")]),
        ("1.1", [(b"Transfer-Encoding", b"gzip")]),
        ("1.1", [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")]),
        ("1.0", [(b"Transfer-Encoding", b"chunked")]),
    ],
)
def test_a_head_of_two_meanings_is_refused(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    """What two readers could frame in two ways is refused with its rule."""
    assert isinstance(response_framing(version, headers), str)


def sent(name: bytes) -> None:
    request_head(httpx.Request("GET", URL, headers=[(name, b"1")]), 0)


def received(name: bytes) -> None:
    response_framing("1.1", [(name, b"1")])


@pytest.mark.parametrize("use", [sent, received])
@pytest.mark.parametrize(("longer", "remembered"), [(0, True), (1, False)])
def test_a_long_name_is_not_remembered(use: Callable[[bytes], None], longer: int, *, remembered: bool) -> None:
    """A stranger's names of 16 KiB, another one each time, are gone from memory with their exchange."""
    name = bytes([ord("x")]) * (LONGEST_NAME + longer)
    before = sys.getrefcount(name)
    use(name)
    assert (sys.getrefcount(name) > before) is remembered
