"""One HTTP exchange over a connection of the pool: write once, read the answer, and know at each end what was sent.

This works one layer below aiohttp's `ClientSession`, which by itself sends a request again when a kept-alive connection
breaks (https://github.com/aio-libs/aiohttp/issues/10790), re-writes URLs, adds headers, follows any number of 1xx
answers, and doubles the processor time. Here a request is written in one place, so whether it was sent is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader

from sidecar.adapters.aiohttp_pool import Lent, Pool
from sidecar.adapters.bounded_body import GzipBody, PlainBody
from sidecar.adapters.http1 import Framing, request_head, response_framing
from sidecar.model import Failure, Reason, SideEffect

MAX_LINE = 16 * 1024  # bytes of the status line
MAX_HEADER = 16 * 1024  # bytes of one header, name and value
MAX_HEADERS = 200
MAX_INFORMATIONAL = 16  # 1xx answers before the real one, RFC 9110 section 15.2
READ_SIZE = 64 * 1024  # bytes of a body that are held before the socket is read on
JOINED = 64 * 1024  # bytes of a request up to which head and body are written as one
CONTINUE, SWITCHING, FINAL = 100, 101, 200
HTTP_VERSIONS = {(1, 1): b"HTTP/1.1", (1, 0): b"HTTP/1.0"}
BODY_DETAILS = {
    Reason.RESPONSE_TOO_LARGE: "the body is larger than {limit} bytes",
    Reason.RESPONSE_TRUNCATED: "the body ended early",
    Reason.BAD_PROVIDER_RESPONSE: "the body is not what its headers say",
}


class Exchange:
    """One exchange, and how far it came: that decides what a failure says about the provider's side."""

    __slots__ = ("_max_body", "_pool", "_request", "_started", "_status", "sent")

    def __init__(self, pool: Pool, request: httpx.Request, max_body: int) -> None:
        self._pool = pool
        self._request = request
        self._max_body = max_body
        self._started = monotonic()
        self.sent = False
        self._status: int | None = None

    async def run(self) -> httpx.Response | Failure:
        origin = self._pool.origin(self._request.url)
        if isinstance(origin, Failure):
            return origin
        content = await _content(self._request)
        head = request_head(self._request, len(content))
        if isinstance(head, str):
            return self._failed(Reason.MALFORMED, head)
        lent = await self._pool.take(origin)
        if isinstance(lent, Failure):
            return lent
        # No await from here to the write: whoever counts on this moment is asked when nothing can delay it any more.
        may_send = self._request.extensions.get("may_send")
        if may_send is not None and not may_send():
            self._pool.keep(lent, None)
            return self._failed(Reason.BEFORE_SEND, "its turn was over before the connection was there")
        try:
            outcome = await self._answer(lent, head, content)
        except BaseException as error:
            self._pool.drop(lent)
            if isinstance(error, Exception):  # a defect, but after the first byte it must not read as "nothing sent"
                return self._failed(Reason.BUG, f"{type(error).__name__} while reading the answer", error)
            raise
        if isinstance(outcome, Failure):
            self._pool.drop(lent)
        return outcome

    async def _answer(self, lent: Lent, head: bytes, content: bytes) -> httpx.Response | Failure:
        protocol = lent.protocol
        protocol.set_response_params(
            skip_payload=self._request.method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_SIZE,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
        )
        self.sent = True
        if len(content) <= JOINED:
            lent.transport.write(head + content)
        else:
            lent.transport.writelines((head, content))
        found = await self._final(protocol)
        if isinstance(found, Failure):
            return found
        message, payload = found
        first_byte = monotonic() - self._started
        framing = response_framing(message.version, message.raw_headers)
        if isinstance(framing, str):
            return self._failed(Reason.BAD_PROVIDER_RESPONSE, framing)
        self._status = message.code
        body = await self._body(protocol, message, payload, framing)
        if isinstance(body, Failure):
            return body
        self._pool.keep(lent, framing.idle)
        extensions = {
            "http_version": HTTP_VERSIONS[message.version],
            "reason_phrase": message.reason.encode("utf-8", "surrogateescape"),
            "reused": lent.reused,
            "first_byte": first_byte,
        }
        headers = _decoded(message.raw_headers) if framing.coding and body else message.raw_headers
        return _Whole(message.code, headers, body, self._request, extensions)

    async def _final(self, protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader] | Failure:
        """The head of the final answer; a few informational ones may come before it."""
        for _ in range(MAX_INFORMATIONAL + 1):
            try:
                message, payload = await protocol.read()
            except HttpProcessingError as error:
                return self._failed(Reason.BAD_PROVIDER_RESPONSE, _rule(error), error)
            except (aiohttp.ClientError, aiohttp.EofStream, OSError) as error:
                detail = f"the request was sent, and the connection ended without an answer ({type(error).__name__})"
                return self._failed(Reason.OUTCOME_UNKNOWN, detail, error)
            if message.code >= FINAL:
                return message, payload
            if message.code < CONTINUE or message.code == SWITCHING:
                return self._failed(Reason.BAD_PROVIDER_RESPONSE, f"status {message.code}, which nobody asked for")
        return self._failed(Reason.BAD_PROVIDER_RESPONSE, f"more than {MAX_INFORMATIONAL} informational answers")

    async def _body(
        self, protocol: ResponseHandler, message: RawResponseMessage, payload: StreamReader, framing: Framing
    ) -> bytes | Failure:
        if payload.at_eof():
            return b""
        if framing.coding not in {b"", b"gzip"}:
            detail = f"content encoding {framing.coding[:80]!r}, where one gzip at most was asked for"
            return self._failed(Reason.BAD_PROVIDER_RESPONSE, detail)
        if not framing.coding and (framing.length or 0) > self._max_body:
            return self._bad_body(Reason.RESPONSE_TOO_LARGE, None)
        if framing.length and payload.is_eof() and not framing.coding:  # the usual case: all of it is there
            return payload.read_nowait()
        try:
            with _told_of_the_end(protocol, payload):
                body = await self._whole(payload, framing)
        except (aiohttp.ClientError, RuntimeError) as error:
            broken = isinstance(protocol.exception(), HttpProcessingError)
            return self._bad_body(Reason.BAD_PROVIDER_RESPONSE if broken else Reason.RESPONSE_TRUNCATED, error)
        if isinstance(body, Reason):
            return self._bad_body(body, None)
        # A body that ends with its connection is whole unless the connection broke, RFC 9112 section 8.
        if framing.length is None and not message.chunked and isinstance(protocol.exception(), aiohttp.ClientOSError):
            return self._bad_body(Reason.RESPONSE_TRUNCATED, protocol.exception())
        return body

    async def _whole(self, payload: StreamReader, framing: Framing) -> bytes | Reason:
        body = GzipBody(self._max_body) if framing.coding else PlainBody(self._max_body)
        while not payload.at_eof():
            reason = body.feed(await payload.readany())
            if reason is not None:
                return reason
        return body.whole()

    def past_deadline(self, error: TimeoutError | None) -> Failure:
        error = error or TimeoutError()
        if self._status is not None:
            return self._bad_body(Reason.RESPONSE_TRUNCATED, error)
        if self.sent:
            detail = "the request was sent, and the deadline passed before an answer"
            return self._failed(Reason.OUTCOME_UNKNOWN, detail, error)
        return self._failed(Reason.BEFORE_SEND, "the deadline passed before a connection was there", error)

    def _bad_body(self, reason: Reason, error: BaseException | None) -> Failure:
        detail = BODY_DETAILS[reason].format(limit=self._max_body)
        if isinstance(error, TimeoutError):
            detail = "the deadline passed before the whole body"
        return self._failed(reason, f"status {self._status}: {detail}", error)

    def _failed(self, reason: Reason, detail: str, error: BaseException | None = None) -> Failure:
        side_effect = SideEffect.UNKNOWN if self.sent else SideEffect.NONE
        return Failure(
            reason=reason,
            detail=f"{self._request.url.netloc.decode('ascii')}: {detail}",
            side_effect=side_effect if self._status is None else SideEffect.DONE,
            provider_status=self._status,
            cause=error,
        )


class _Whole(httpx.Response):
    """A response whose decoded body is there already: reading it once more would only run it through HTTPX again."""

    def __init__(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        request: httpx.Request,
        extensions: dict[str, object],
    ) -> None:
        super().__init__(status, headers=headers, stream=httpx.ByteStream(body), request=request, extensions=extensions)
        self._content = body
        self.is_closed = self.is_stream_consumed = True


async def _content(request: httpx.Request) -> bytes:
    try:
        return request.content
    except httpx.RequestNotRead:
        return await request.aread()


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a body that we decoded: what was said about the encoded one is true no more."""
    return [(name, value) for name, value in headers if name.lower() not in {b"content-encoding", b"content-length"}]


@contextmanager
def _told_of_the_end(protocol: ResponseHandler, payload: StreamReader) -> Iterator[None]:
    """Wake who waits for the body when the connection has ended; aiohttp leaves it waiting after a malformed chunk."""
    if payload.is_eof() or (ended := protocol.closed) is None:
        yield
        return

    def tell(_: object) -> None:
        if not payload.is_eof() and payload.exception() is None:
            payload.set_exception(aiohttp.ClientPayloadError("the connection ended"))

    ended.remove_done_callback(_seen)
    ended.add_done_callback(_seen)
    ended.add_done_callback(tell)
    try:
        yield
    finally:
        ended.remove_done_callback(tell)


def _seen(ended: asyncio.Future[None]) -> None:
    """An idle connection may break at any time; asyncio would log an error that nobody looked at."""
    if not ended.cancelled():
        ended.exception()


def _rule(error: HttpProcessingError) -> str:
    """The rule that an answer broke, without the bytes that aiohttp quotes after it: they may hold a secret."""
    return f"not an HTTP/1.1 answer: {error.message.partition(chr(10))[0].partition(':')[0]}"
