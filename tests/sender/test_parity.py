"""The same exchange over HTTPX's default transport and over ours: what the server sees and what comes back agree.

By design ours differs in what it says about itself: `User-Agent` when the caller gave none, `Accept-Encoding: gzip`
always, no `Connection`, and a body of unknown size is read first and sent with its `Content-Length`.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from sidecar.adapters.http1 import USER_AGENT
from sidecar.adapters.http1_sender import Http1Sender
from tests.authority import Authority
from tests.sender.servers import OK, answered, answering, serving

pytestmark = pytest.mark.anyio
OURS = (b"user-agent", b"accept-encoding", b"connection")
Pair = tuple[str, bytes]


@pytest.fixture
async def default(authority: Authority) -> AsyncIterator[httpx.AsyncHTTPTransport]:
    async with httpx.AsyncHTTPTransport(verify=authority.client_context()) as transport:
        yield transport


def split(request: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """Request line, headers that are the caller's, body."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    headers = [(name, value) for name, _, value in (header.partition(b": ") for header in rest)]
    kept = [pair for pair in headers if pair[0].lower() not in {*OURS, b"content-length"}]
    return line, kept + sorted(pair for pair in headers if pair[0].lower() == b"content-length"), body


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "a/b/",
        "a%2Fb",
        "a%2fb",
        "a%20b",
        "a b",
        "a+b",
        "ä/日本",
        "/double",
        "a;p=1,2",
        "a|b",
        "a[0]",
        'a"b',
        "a'b(c)*!",
        "a:b@c",
        "~a.b_c-d",
        "a//b",
        "a/../b",
        "a/%2e%2e/b",
        "?",
        "a?",
        "?x",
        "?x=",
        "?x=1&x=2",
        "?x=a%20b+c",
        "?x=%2F%2f/",
        "?x=ä",
        "?x=a?b",
        "?x[]=1&y{}=|",
        "?x=1;y=2",
        "?q=100%",
        "?q=a'b",
        "a#fragment",
        "?x=1#fragment",
    ],
)
async def test_the_url_goes_out_the_same(sender: Http1Sender, default: httpx.AsyncHTTPTransport, path: str) -> None:
    """The request line is byte for byte what HTTPX sends, however the URL is written."""
    async with serving(answering(OK)) as served:
        for transport in (default, sender):
            await (await transport.handle_async_request(httpx.Request("GET", served.url + path))).aread()
    theirs, ours = (request.split(b"\r\n")[0] for request in served.requests)
    assert ours == theirs


REQUESTS: dict[str, tuple[str, dict[str, object]]] = {
    "get": ("GET", {}),
    "head": ("HEAD", {}),
    "options": ("OPTIONS", {}),
    "trace": ("TRACE", {}),
    "delete": ("DELETE", {}),
    "delete with a body": ("DELETE", {"json": {"a": 1}}),
    "get with a body": ("GET", {"content": b"body"}),
    "empty post": ("POST", {}),
    "empty put": ("PUT", {}),
    "empty patch": ("PATCH", {}),
    "an unusual method": ("PROPFIND", {"content": b"<x/>"}),
    "an unusual method without a body": ("REPORT", {}),
    "a lower-case method": ("purge", {}),
    "post bytes": ("POST", {"content": bytes(range(256))}),
    "post text": ("POST", {"content": "grüße"}),
    "post json": ("POST", {"json": {"a": [1, None, "ä"]}}),
    "post form": ("POST", {"data": {"a": "1 2", "b": ["x", "y"], "c": "ä&="}}),
    "post multipart": (
        "POST",
        {"files": {"f": ("n.txt", b"\x00\xff\r\n--x")}, "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ),
    "post a megabyte": ("POST", {"content": b"0123456789abcdef" * 65536}),
    "repeated headers": ("GET", {"headers": [("X-A", "1"), ("x-a", "2"), ("X-B", "3"), ("X-A", "4")]}),
    "spelling and order": ("GET", {"headers": [("zEBRA", "1"), ("aPPLE", "2")]}),
    "an empty value": ("GET", {"headers": [("X-Empty", "")]}),
    "utf-8 in a value": ("GET", {"headers": [(b"X-A", "grüße".encode())]}),
    "latin-1 in a value": ("GET", {"headers": [(b"X-A", b"gr\xfc\xdfe")]}),
    "a tab in a value": ("GET", {"headers": [("X-A", "a\tb")]}),
    "a long value": ("GET", {"headers": [("X-A", "a" * 20_000)]}),
    "cookies": ("GET", {"cookies": {"a": "1", "b": "2"}}),
    "authorization": ("GET", {"headers": {"Authorization": "Bearer t0ken=="}}),
    "a content type without a body": ("GET", {"headers": {"Content-Type": "application/json"}}),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_request_goes_out_the_same(sender: Http1Sender, default: httpx.AsyncHTTPTransport, name: str) -> None:
    """Method, the caller's headers (order, spelling, repetition, bytes) and body are those that HTTPX sends."""
    method, parts = REQUESTS[name]
    async with serving(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as served:
        for transport in (default, sender):
            request = httpx.Request(method, served.url + "x", **parts)  # type: ignore[arg-type]  # a table of keywords
            await (await transport.handle_async_request(request)).aread()
    theirs, ours = (split(request) for request in served.requests)
    assert ours == theirs


async def test_what_we_say_about_ourselves(sender: Http1Sender) -> None:
    """Beside the caller's headers exactly Host, User-Agent, Accept-Encoding and Content-Length are sent."""
    async with serving(answering(OK)) as served:
        await answered(sender, httpx.Request("POST", served.url, headers={"X-A": "1"}, content=b"abc"))
    host = f"127.0.0.1:{served.port}".encode()
    assert served.requests[0] == (
        b"POST / HTTP/1.1\r\nHost: %b\r\nX-A: 1\r\nUser-Agent: %b\r\nAccept-Encoding: gzip\r\n"
        b"Content-Length: 3\r\n\r\nabc" % (host, USER_AGENT)
    )


async def test_what_belongs_to_the_connection_is_ours(sender: Http1Sender) -> None:
    """Hop-by-hop headers, another encoding and another length do not pass; the caller's User-Agent does."""
    refused = {
        "Connection": "close, X-A",
        "Keep-Alive": "timeout=1",
        "Proxy-Connection": "keep-alive",
        "TE": "trailers",
        "Trailer": "X-B",
        "Upgrade": "h2c",
        "Transfer-Encoding": "chunked",
        "Accept-Encoding": "br, zstd",
        "Content-Length": "999",
    }
    async with serving(answering(OK)) as served:
        request = httpx.Request("POST", served.url, headers={**refused, "User-Agent": "mine/1"}, content=b"abc")
        await answered(sender, request)
    host = f"127.0.0.1:{served.port}".encode()
    assert served.requests[0] == (
        b"POST / HTTP/1.1\r\nHost: %b\r\nUser-Agent: mine/1\r\nAccept-Encoding: gzip\r\n"
        b"Content-Length: 3\r\n\r\nabc" % host
    )


async def test_a_streamed_body_is_sent_with_its_length(sender: Http1Sender) -> None:
    """A body of unknown size arrives whole; the length is said where HTTPX would have sent chunks."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"cd"

    async with serving(answering(OK)) as served:
        await answered(sender, httpx.Request("POST", served.url, content=pieces()))
    assert served.requests[0].endswith(b"Content-Length: 4\r\n\r\nabcd")
    assert b"transfer-encoding" not in served.requests[0].lower()


PACKED = gzip.compress(b'{"hello": "world"}' * 1000, mtime=0)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
ANSWERS: dict[str, bytes] = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "created, own words": b"HTTP/1.1 201 Made It So\r\nLocation: /x\r\nContent-Length: 2\r\n\r\n{}",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
    "a megabyte": b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + b"0123456789abcdef" * 65536,
    "chunks": CHUNKED + b"\r\n5\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n",
    "chunks with extensions": CHUNKED + b'\r\n2;a=b;c="d"\r\nok\r\n0\r\n\r\n',
    "chunks and trailers": CHUNKED + b"\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    "no chunk": CHUNKED + b"\r\n0\r\n\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED),
    "gzip in capitals": b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nContent-Length: %d\r\n\r\n%b"
    % (len(PACKED), PACKED),
    "gzip in chunks": CHUNKED + b"Content-Encoding: gzip\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(PACKED), PACKED),
    "identity": b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
    "empty gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "304 with a length": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 99\r\n\r\n',
    "302 is not followed": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "303 is not followed": b"HTTP/1.1 303 See Other\r\nLocation: //other.test/\r\nContent-Length: 0\r\n\r\n",
    "308 is not followed": b"HTTP/1.1 308 Permanent Redirect\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n",
    "400": b'HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\n{"error": "no"}',
    "401": b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="x"\r\nContent-Length: 0\r\n\r\n',
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy",
    "599": b"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n",
    "100 before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "103 before": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "repeated headers": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-A: \r\nContent-Length: 0\r\n\r\n",
    "white space around": b"HTTP/1.1 200 OK\r\nX-A:\t a b \t\r\nX-B:c\r\nContent-Length: 0\r\n\r\n",
    "latin-1 in a value": b"HTTP/1.1 200 OK\r\nX-A: gr\xfc\xdfe\r\nContent-Length: 0\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(90)) + b"\r\n",
    "connection close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "until the end": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it",
    "HTTP/1.0 with a length": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
}
UNTIL_THE_END = ("many headers", "connection close", "until the end", "HTTP/1.0", "HTTP/1.0 with a length")


def seen(response: httpx.Response, body: bytes, *, packed: bool) -> tuple[object, ...]:
    """What a caller sees. A body that we decoded no longer carries what was said about the encoded one."""
    gone = {b"content-encoding", b"content-length"} if packed else set()
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in gone]
    return response.status_code, response.reason_phrase, response.http_version, headers, body


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", ANSWERS)
async def test_the_answer_comes_back_the_same(
    sender: Http1Sender, default: httpx.AsyncHTTPTransport, authority: Authority, *, name: str, tls: bool
) -> None:
    """Status, reason, version, headers and body are those that HTTPX gives."""
    packed = "gzip" in name and "empty" not in name
    close = name in UNTIL_THE_END
    context = authority.server_context("127.0.0.1") if tls else None
    results = []
    async with serving(answering(ANSWERS[name], close=close), context) as served:
        url = served.url.replace("http:", "https:") if tls else served.url
        for transport in (default, sender):
            response = await transport.handle_async_request(httpx.Request("GET", url))
            results.append(seen(response, await response.aread(), packed=packed))
    theirs, ours = results
    assert ours == theirs


async def test_a_response_has_all_that_one_of_httpx_has(sender: Http1Sender) -> None:
    """It is made without HTTPX's own way of making one; a body that was read is there to be read again."""
    async with serving(answering(OK)) as served:
        request = httpx.Request("GET", served.url)
        ours = await sender.send(request, deadline=asyncio.get_running_loop().time() + 5, max_body=1_000)
    assert isinstance(ours, httpx.Response)
    theirs = httpx.Response(200, stream=httpx.ByteStream(b"ok"), request=request)
    assert vars(ours).keys() == vars(theirs).keys() | {"_content"}
    assert (ours.request, ours.is_closed, ours.is_stream_consumed) == (request, True, True)
    assert await ours.aread() == ours.content == ours.read()
    assert (ours.num_bytes_downloaded, ours.history, len(ours.cookies)) == (0, [], 0)


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
async def test_head_has_no_body(sender: Http1Sender, default: httpx.AsyncHTTPTransport, status: bytes) -> None:
    """The answer to HEAD keeps its Content-Length and has no body, and its connection serves the next request."""
    answer = b"HTTP/1.1 %b\r\nContent-Encoding: gzip\r\nContent-Length: 5000\r\n\r\n" % status
    results = []
    async with serving(answering(answer)) as served:
        for transport in (default, sender):
            for _ in range(2):
                response = await transport.handle_async_request(httpx.Request("HEAD", served.url))
                results.append((response.status_code, response.headers.raw, await response.aread()))
    assert results[0] == results[1] == results[2] == results[3]
    assert served.connections == 2


async def test_connections_are_kept_alive(sender: Http1Sender, default: httpx.AsyncHTTPTransport) -> None:
    """Five exchanges one after the other use one connection, as with HTTPX."""
    for transport in (default, sender):
        async with serving(answering(OK)) as served:
            for _ in range(5):
                await (await transport.handle_async_request(httpx.Request("GET", served.url))).aread()
        assert served.connections == 1


async def test_a_client_of_httpx_works_over_it(sender: Http1Sender) -> None:
    """`httpx.AsyncClient(transport=...)` reads, decodes, raises for status and streams as it does by itself."""
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED)
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(packed, packed, missing)) as served:
        client = httpx.AsyncClient(transport=sender, base_url=served.url)
        assert len((await client.post("a", json={"b": 1}, params={"q": "ä"})).content) == 18_000
        async with client.stream("GET", "b") as response:
            assert len(b"".join([chunk async for chunk in response.aiter_bytes()])) == 18_000
        with pytest.raises(httpx.HTTPStatusError):
            (await client.get("c")).raise_for_status()
    assert served.requests[0].startswith(b"POST /a?q=%C3%A4 HTTP/1.1\r\n")
