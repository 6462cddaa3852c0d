"""One HTTP exchange over a connection of the pool: write once, read the answer, and know at each end what was sent.

A request is written in one place and never again, whatever becomes of its connection: whether it was sent is known.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from time import monotonic

import httpx

from sidecar.adapters.http1 import VERSIONS, request_head
from sidecar.adapters.http1_answer import Answer, Broken
from sidecar.adapters.http1_pool import Pool, Pooled
from sidecar.model import Failure, Reason, SideEffect
from sidecar.raw_headers import RawHeaders

SUCCESSES = range(200, 300)
BODY_DETAILS = {
    Reason.RESPONSE_TOO_LARGE: "the body is larger than {limit} bytes",
    Reason.RESPONSE_TRUNCATED: "the body ended early",
    Reason.BAD_PROVIDER_RESPONSE: "the body is not what its headers say",
}


class Exchange:
    """One exchange, and how far it came: that decides what a failure says about the provider's side."""

    __slots__ = ("_answer", "_connection", "_deadline", "_max_body", "_pool", "_request", "_started", "sent")

    def __init__(self, pool: Pool, request: httpx.Request, *, deadline: float, max_body: int) -> None:
        self._pool = pool
        self._request = request
        self._deadline = deadline
        self._max_body = max_body
        self._started = monotonic()
        self._answer: Answer | None = None
        self._connection: Pooled | None = None
        self.sent = False

    async def run(self) -> httpx.Response | Failure:
        request, pool = self._request, self._pool
        origin = pool.origin(request.url)
        if isinstance(origin, Failure):
            return origin
        content = await _content(request)
        head = request_head(request, len(content))
        if isinstance(head, str):
            return self._failed(Reason.MALFORMED, head)
        connection = pool.idle(origin) or await pool.take(origin)
        if isinstance(connection, Failure):
            return connection
        # No await from here to the write: whoever counts on this moment is asked when nothing can delay it any more.
        may_send = request.extensions.get("may_send")
        try:
            if monotonic() >= self._deadline:  # the loop stood still: neither its own clock nor our timer has moved yet
                return self.past_deadline(None)
            if may_send is not None and not may_send():
                return self._failed(Reason.BEFORE_SEND, "its turn was over before the connection was there")
            self.sent = True
        finally:
            if not self.sent:
                pool.put_back(connection)
        answer = self._answer = Answer(to_head=request.method == "HEAD", max_body=self._max_body)
        self._connection = connection
        try:
            await connection.ask(head, content, answer)
            outcome = self._response(answer, connection) if answer.broken is None else self._broken(answer.broken)
        except BaseException as error:
            pool.drop(connection)
            if isinstance(error, Exception):  # a defect, but after the first byte it must not read as "nothing sent"
                return self._failed(Reason.BUG, f"{type(error).__name__} while reading the answer", error)
            raise
        if answer.broken is None and answer.kept:
            pool.keep(connection, answer.framing.idle)
        else:
            pool.drop(connection)
        return outcome

    def moves(self) -> bool:
        """Whether it is not the answer that is waited for: nothing was sent yet, or a status came."""
        return not self.sent or self._status() is not None

    def past_deadline(self, error: TimeoutError | None) -> httpx.Response | Failure:
        """What it ends in when its time is over."""
        error, answer = error or TimeoutError(), self._answer
        if answer is not None and answer.ended and self._connection is not None:  # it was there, and nobody had looked
            return self._response(answer, self._connection) if answer.broken is None else self._broken(answer.broken)
        if self._status() is not None:
            return self._bad_body("the deadline passed before the whole body", Reason.RESPONSE_TRUNCATED, error)
        if self.sent:
            detail = "the request was sent, and no answer came in time"
            return self._failed(Reason.OUTCOME_UNKNOWN, detail, error)
        return self._failed(Reason.BEFORE_SEND, "the deadline passed before a connection was there", error)

    def _response(self, answer: Answer, connection: Pooled, lost: Failure | None = None) -> httpx.Response:
        """The answer; or its head alone, where what came of the body is `lost`."""
        assert answer.status is not None
        extensions = {
            "http_version": VERSIONS[answer.version],
            "reason_phrase": answer.reason_phrase,
            "reused": connection.reused,
            "first_byte": connection.first_byte - self._started,
        }
        if lost is not None:
            extensions["lost"] = lost
            return _Whole(answer.status, answer.headers, b"", self._request, extensions)
        headers = _decoded(answer.headers) if answer.framing.coding and answer.body else answer.headers
        return _Whole(answer.status, headers, answer.body, self._request, extensions)

    def _broken(self, broken: Broken) -> httpx.Response | Failure:
        if broken.rule:
            return self._failed(broken.reason, broken.rule, broken.cause)
        if broken.reason is Reason.OUTCOME_UNKNOWN:
            kind = type(broken.cause).__name__
            if isinstance(broken.cause, ssl.SSLError):  # such as a server that wants a certificate of ours
                kind = f"{kind}: {broken.cause.reason}"
            detail = f"the request was sent, and the connection ended without an answer ({kind})"
            return self._failed(broken.reason, detail, broken.cause)
        return self._bad_body(BODY_DETAILS[broken.reason].format(limit=self._max_body), broken.reason, broken.cause)

    def _bad_body(self, detail: str, reason: Reason, error: Exception | None) -> httpx.Response | Failure:
        """Of a success what it says is missing. What refused the request did so without its body, too."""
        failure, answer = self._failed(reason, f"status {self._status()}: {detail}", error), self._answer
        if answer is None or self._connection is None or failure.side_effect is SideEffect.DONE:
            return failure
        return self._response(answer, self._connection, failure)

    def _failed(self, reason: Reason, detail: str, error: Exception | None = None) -> Failure:
        status = self._status()
        side_effect = SideEffect.UNKNOWN if self.sent else SideEffect.NONE
        return Failure(
            reason=reason,
            detail=f"{self._request.url.netloc.decode('ascii')}: {detail}",
            side_effect=SideEffect.DONE if status is not None and status in SUCCESSES else side_effect,
            provider_status=status,
            cause=error,
        )

    def _status(self) -> int | None:
        return None if self._answer is None else self._answer.status


class _Whole(httpx.Response):
    """A response whose decoded body is there already: HTTPX would copy its headers, and read the body once more."""

    def __init__(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        request: httpx.Request,
        extensions: dict[str, object],
    ) -> None:
        self.status_code = status
        self.headers = RawHeaders(headers)
        self.next_request = None
        self.extensions = extensions
        self.history = []
        self.is_closed = self.is_stream_consumed = True
        self.default_encoding = "utf-8"
        self.stream = httpx.ByteStream(body)
        self._request = request
        self._content = body
        self._num_bytes_downloaded = 0


async def _content(request: httpx.Request) -> bytes:
    try:
        return request.content
    except httpx.RequestNotRead:
        return await request.aread()


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a body that we decoded: what was said about the encoded one is true no more."""
    return [(name, value) for name, value in headers if name.lower() not in {b"content-encoding", b"content-length"}]
