"""Servers that lie, break off or flood: each ends in a failure that says what is known, and harms no later request."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib

import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Failure, Reason, SideEffect
from tests.authority import Authority
from tests.sender.servers import (
    OK,
    Served,
    answered,
    answering,
    failing,
    send,
    serving,
    writing,
)

pytestmark = pytest.mark.anyio
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


def post(url: str) -> httpx.Request:
    return httpx.Request("POST", url, content=b"{}")


def with_headers(*headers: bytes, body: bytes = b"ok") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *headers, b"", body))


# What two readers could understand in two ways is refused, whoever of the two we would be.
REFUSED: dict[str, bytes] = {
    "length and chunks": with_headers(
        b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"
    ),
    "chunks and length": with_headers(
        b"Transfer-Encoding: chunked", b"Content-Length: 2", body=b"2\r\nok\r\n0\r\n\r\n"
    ),
    "two lengths": with_headers(b"Content-Length: 2", b"Content-Length: 3"),
    "two equal lengths": with_headers(b"Content-Length: 2", b"Content-Length: 2"),
    "a list of lengths": with_headers(b"Content-Length: 2, 2"),
    "a folded second length": with_headers(b"Content-Length: 1", b" 2"),
    "hex length": with_headers(b"Content-Length: 0x2"),
    "negative length": with_headers(b"Content-Length: -2"),
    "signed length": with_headers(b"Content-Length: +2"),
    "length with an underscore": with_headers(b"Content-Length: 0_2"),
    "length with a space": with_headers(b"Content-Length: 2 2"),
    "empty length": with_headers(b"Content-Length: "),
    "huge length": with_headers(b"Content-Length: 99999999999999999999999"),
    "a length of thousands of digits": with_headers(b"Content-Length: " + b"0" * 5000 + b"2"),
    "white space before the colon": with_headers(b"Content-Length : 2"),
    "a tab before the colon": with_headers(b"Content-Length\t: 2"),
    "no colon": with_headers(b"Content-Length 2"),
    "no name": with_headers(b": x", b"Content-Length: 2"),
    "a control character in a name": with_headers(b"Content\x0bLength: 2"),
    "a NUL in a value": with_headers(b"X-A: a\x00b", b"Content-Length: 2"),
    "a bare CR in a value": with_headers(b"X-A: a\rContent-Length: 2"),
    "two transfer encodings": with_headers(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "chunked twice": with_headers(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "gzip as a transfer encoding": with_headers(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "identity as a transfer encoding": with_headers(b"Transfer-Encoding: identity"),
    "chunked with a tab behind it, which our parser does not see": with_headers(
        b"Transfer-Encoding: chunked\t", body=b"2\r\nok\r\n0\r\n\r\n"
    ),
    "an unknown transfer encoding": with_headers(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"\r\n-2\r\nok\r\n0\r\n\r\n",
    "hex prefix in a chunk": CHUNKED + b"\r\n0x2\r\nok\r\n0\r\n\r\n",
    "huge chunk": CHUNKED + b"\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n",
    "bare LF after a chunk size": CHUNKED + b"\r\n2\nok\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"\r\n2\r\nokk\r\n0\r\n\r\n",
    "a length among the trailers": CHUNKED + b"\r\n2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n",
    "more than the length, garbage": OK + b"XYZ",
    "more after close": OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"XYZ",
    "a body where there is none": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "switching unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nok",
    "status below 100": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n",
    "four digits of status": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "signed status": b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9 by name": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "a page without a head": b"<html>hello</html>",
    "noise": bytes(range(255, 0, -1)),
    "a header of 2 MB": with_headers(b"X-A: " + b"a" * 2_000_000),
    "a header without end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000,
    "5,000 headers": with_headers(*(b"X-%d: y" % i for i in range(5000))),
    "a long status line": b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
    "a long name": with_headers(b"a" * 100_000 + b": x"),
    "a flood of 1xx": b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + OK,
    "a flood of early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 200 + OK,
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_broken_answer_is_refused(sender: Http1Sender, name: str) -> None:
    """An answer that breaks its protocol is BAD_PROVIDER_RESPONSE, side effect unknown; its connection is cut."""
    async with serving(answering(REFUSED[name], OK)) as served:
        failure = await failing(sender, post(served.url))
        after = await answered(sender, post(served.url))
    assert (failure.reason, failure.side_effect) == (Reason.BAD_PROVIDER_RESPONSE, SideEffect.UNKNOWN)
    assert (after.content, after.extensions["reused"], served.connections) == (b"ok", False, 2)


ACCEPTED: dict[str, tuple[bytes, bytes]] = {
    # RFC 9112 section 2.2: a recipient may take a single LF as the end of a line. Framing is the same either way, as
    # chunk sizes still need their CR.
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok"),
    "a bare LF between headers": (b"HTTP/1.1 200 OK\r\nX-A: a\nContent-Length: 2\r\n\r\nok", b"ok"),
    # RFC 9112 section 5.2: a user agent replaces the fold by a space; a folded length or encoding is checked folded.
    "obs-fold": (with_headers(b"X-A: a", b"\tb", b"Content-Length: 2"), b"ok"),
    "folded length": (with_headers(b"Content-Length:", b" 2"), b"ok"),
    # RFC 9112 section 2.2 asks it of servers; an empty line before the head says nothing.
    "empty lines first": (b"\r\n\r\n" + OK, b"ok"),
    "an empty line after": (OK + b"\r\n", b"ok"),
    # RFC 9110 section 5.5: kept, for whoever shows it to escape it.
    "a control character in a value": (with_headers(b"X-A: a\x01\x1b[31mb", b"Content-Length: 2"), b"ok"),
    "a space after a chunk size": (CHUNKED + b"\r\n2 \r\nok\r\n0\r\n\r\n", b"ok"),
    "a few 1xx": (b"HTTP/1.1 100 Continue\r\n\r\n" * 10 + OK, b"ok"),
    # What a 1xx says of the connection is about nothing: the answer itself is still to come (RFC 9110 section 15.2).
    "a 100 that would close": (b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + OK, b"ok"),
    "a 100 in HTTP/1.0": (b"HTTP/1.0 100 Continue\r\n\r\n" + OK, b"ok"),
    "a length on a 100": (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + OK, b"ok"),
    "an offer to upgrade": (with_headers(b"Upgrade: h2c", b"Connection: upgrade", b"Content-Length: 2"), b"ok"),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_harmless_oddity_is_accepted(sender: Http1Sender, name: str) -> None:
    """What has one meaning is taken, though it is not written as it should be; the reason stands beside each case."""
    answer, body = ACCEPTED[name]
    async with serving(answering(answer, OK)) as served:
        response = await answered(sender, post(served.url))
        after = await answered(sender, post(served.url))
    assert (response.status_code, response.content, after.content) == (200, body, b"ok")


@pytest.mark.parametrize("name", ["hex length", "length and chunks", "noise", "two transfer encodings"])
async def test_a_broken_answer_is_refused_byte_by_byte(sender: Http1Sender, name: str) -> None:
    """Where segments end makes no difference to what is refused."""
    answer = REFUSED[name]
    async with serving(writing([answer[i : i + 1] for i in range(len(answer))])) as served:
        failure = await failing(sender, post(served.url))
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE


async def test_a_refusal_quotes_no_bytes_of_the_provider(sender: Http1Sender) -> None:
    """What is refused may hold a secret: the detail names host and rule, not what was sent."""
    for answer in (
        with_headers(b"Set-Cookie: s3cret\x00"),
        b"s3cret",
        with_headers(b"X: s3cret" * 9000),
        with_headers(b"Content-Encoding: gzip, s3cret"),
        with_headers(b"Transfer-Encoding: s3cret"),
    ):
        async with serving(answering(answer)) as served:
            failure = await failing(sender, post(served.url + "?token=s3cret"))
        assert "s3cret" not in failure.detail
        assert f"127.0.0.1:{served.port}" in failure.detail


@pytest.mark.parametrize("header", [b"Content-Encoding: GZIP, br", b"Transfer-Encoding: gzip,br"])
async def test_a_refused_coding_is_named_where_it_is_known(sender: Http1Sender, header: bytes) -> None:
    """A registered word is no secret, and tells whoever reads the failure what the server does."""
    async with serving(answering(with_headers(header))) as served:
        failure = await failing(sender, post(served.url))
    assert "encoding gzip, br" in failure.detail


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_chunk_that_turns_bad_ends_at_once(sender: Http1Sender, authority: Authority, *, tls: bool) -> None:
    """A malformed chunk in a later segment is told when it comes, not at the deadline; the status had come: done."""
    context = authority.server_context("api.test") if tls else None
    async with serving(writing([CHUNKED + b"\r\n2\r\nok\r\n", b"zz\r\nok\r\n"]), context) as served:
        url = f"https://api.test:{served.port}/" if tls else served.url
        failure = await failing(sender, post(url), within=30)
    assert (failure.reason, failure.side_effect) == (Reason.BAD_PROVIDER_RESPONSE, SideEffect.DONE)
    assert failure.provider_status == 200


async def write_and_end(writer: asyncio.StreamWriter, answer: bytes, how: str) -> None:
    """Write, and end the connection with FIN (closed) or RST (reset)."""
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.write(answer)
    await writer.drain()
    for _ in range(5):  # let the client read what was written: a reset would take it away
        await asyncio.sleep(0)
    writer.transport.abort()


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world"
CHUNKS = CHUNKED + b"\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"
PACKED = gzip.compress(b"hello, world", mtime=0)
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED)


@pytest.mark.parametrize("answer", [LENGTH, CHUNKS, GZIP], ids=["length", "chunks", "gzip"])
@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_an_answer_cut_at_every_byte(sender: Http1Sender, answer: bytes, how: str) -> None:
    """An answer cut in its head is OUTCOME_UNKNOWN, in its body RESPONSE_TRUNCATED and done; the whole succeeds."""

    async def cut(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await served.request(reader)
        await write_and_end(writer, answer[: int(request.split(b" ")[1][1:])], how)

    head = answer.index(b"\r\n\r\n") + 4
    async with serving(cut) as served:
        for size in range(len(answer) + 1):
            outcome = await send(sender, post(f"{served.url}{size}"))
            if size == len(answer):
                assert isinstance(outcome, httpx.Response)
                assert outcome.content == b"hello, world"
                continue
            assert isinstance(outcome, Failure)
            known = (outcome.reason, outcome.side_effect)
            if size < head:
                assert known == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN), size
            else:
                assert known == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE), size
    assert len(served.requests) == len(answer) + 1


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_body_without_length_ends_with_a_clean_end_only(sender: Http1Sender, how: str) -> None:
    """A body that ends with its connection is whole when the connection ended, and truncated when it broke."""

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await write_and_end(writer, b"HTTP/1.1 200 OK\r\n\r\nhello", how)

    async with serving(script) as served:
        outcome = await send(sender, post(served.url))
    if how == "closed":
        assert isinstance(outcome, httpx.Response)
        assert outcome.content == b"hello"
    else:
        assert isinstance(outcome, Failure)
        assert (outcome.reason, outcome.side_effect) == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE)


TWICE = gzip.compress(gzip.compress(b"hello", mtime=0), mtime=0)
DEFLATE = zlib.compress(b"hello")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip, gzip", TWICE),
        (b"gzip\r\nContent-Encoding: gzip", TWICE),
        (b"gzip, identity, gzip", TWICE),
        (b", ".join([b"gzip"] * 100), TWICE),
        (b"deflate", DEFLATE),
        (b"gzip, deflate", DEFLATE),
        (b"br", b"\x0b\x02\x80hello\x03"),
        (b"zstd", b"(\xb5/\xfd"),
        (b"aes128gcm", b"x"),
        (b"gzip", b"not gzip"),
        (b"gzip", gzip.compress(b"hello", mtime=0) + b"garbage"),
        (b"gzip", gzip.compress(b"hello", mtime=0)[:-8] + b"12345678"),
    ],
)
async def test_an_encoding_nobody_asked_for_is_refused(sender: Http1Sender, encoding: bytes, body: bytes) -> None:
    """Only one gzip was asked for; all else is BAD_PROVIDER_RESPONSE. The status had come, so it is done."""
    answer = b"HTTP/1.1 201 Created\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        encoding,
        len(body),
        body,
    )
    async with serving(answering(answer)) as served:
        failure = await failing(sender, post(served.url))
    assert (failure.reason, failure.side_effect) == (Reason.BAD_PROVIDER_RESPONSE, SideEffect.DONE)
    assert failure.provider_status == 201


async def test_a_gzip_stream_that_stops_is_truncated(sender: Http1Sender) -> None:
    """Encoded bytes that end before the stream does are RESPONSE_TRUNCATED, though the length is right."""
    body = PACKED[:-9]
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with serving(answering(answer)) as served:
        failure = await failing(sender, post(served.url))
    assert (failure.reason, failure.side_effect) == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE)


BOMB = gzip.compress(b"\0" * 20_000_000)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        CHUNKED + b"\r\n" + b"64\r\n" + b"x" * 100 + b"\r\n" + (b"64\r\n" + b"x" * 100 + b"\r\n") * 10 + b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(BOMB), BOMB),
        CHUNKED + b"Content-Encoding: gzip\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BOMB), BOMB),
    ],
    ids=["length", "chunks", "until the end", "gzip", "gzip in chunks"],
)
async def test_a_body_over_the_limit_is_refused(sender: Http1Sender, answer: bytes) -> None:
    """More than `max_body` decoded bytes are RESPONSE_TOO_LARGE, side effect done; the connection is cut."""
    async with serving(answering(answer, OK)) as served:
        failure = await failing(sender, post(served.url), max_body=1000)
        after = await answered(sender, post(served.url))
    assert (failure.reason, failure.side_effect) == (Reason.RESPONSE_TOO_LARGE, SideEffect.DONE)
    assert "1000" in failure.detail
    assert after.extensions["reused"] is False


@pytest.mark.parametrize("coding", ["plain", "gzip"])
async def test_a_body_of_exactly_the_limit_is_whole(sender: Http1Sender, coding: str) -> None:
    """The limit itself is allowed."""
    body = b"x" * 1000 if coding == "plain" else gzip.compress(b"x" * 1000)
    encoding = b"Content-Encoding: gzip\r\n" if coding == "gzip" else b""
    answer = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (encoding, len(body), body)
    async with serving(answering(answer)) as served:
        assert (await answered(sender, post(served.url), max_body=1000)).content == b"x" * 1000


STRANGE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@pytest.mark.parametrize("late", [False, True], ids=["with the answer", "into the idle connection"])
@pytest.mark.parametrize(
    "extra", [STRANGE, STRANGE[:-3], STRANGE[:4], b"noise"], ids=["whole", "part", "start", "noise"]
)
async def test_bytes_nobody_asked_for_answer_no_request(sender: Http1Sender, extra: bytes, *, late: bool) -> None:
    """What a server says beyond its answer never becomes the answer to the next request: that has a new connection."""
    idle = asyncio.Event()

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            if len(served.requests) > 1:
                writer.write(OK.replace(b"ok", b"2!"))
            elif late:
                writer.write(OK)
                await idle.wait()
                writer.write(extra)
            else:
                writer.write(OK + extra)

    async with serving(script) as served:
        first = await send(sender, post(served.url))
        idle.set()
        for _ in range(20):  # over loopback one turn brings it; the sender reads it while the connection is idle
            await asyncio.sleep(0)
        second = await answered(sender, post(served.url))
    if isinstance(first, httpx.Response):
        assert first.content == b"ok"
    else:
        assert first.side_effect is SideEffect.UNKNOWN
    assert (second.content, second.extensions["reused"]) == (b"2!", False)


async def test_a_tls_end_without_notice(sender: Http1Sender, authority: Authority) -> None:
    """A body with a length that TLS cuts off without its closing notice is truncated."""
    async with serving(answering(LENGTH[:-3], close=True), authority.server_context("api.test")) as served:
        failure = await failing(sender, post(f"https://api.test:{served.port}/"))
    assert (failure.reason, failure.side_effect) == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE)


async def test_a_body_without_length_over_tls_is_taken_as_it_ends(sender: Http1Sender, authority: Authority) -> None:
    """Known limit: without a length, a TLS connection cut without its closing notice looks like the end of the body.

    Neither asyncio nor uvloop says whether the notice came (RFC 9112 section 9.8), and HTTPX takes such a body too.
    """

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await write_and_end(writer, b"HTTP/1.1 200 OK\r\n\r\nhel", "closed")

    async with serving(script, authority.server_context("api.test")) as served:
        response = await answered(sender, post(f"https://api.test:{served.port}/"))
    assert response.content == b"hel"
