"""One answer as it arrives: httptools (llhttp) reads it, this bounds it and refuses what has two meanings. No I/O here.

Each answer has a parser of its own, so nothing of one exchange can colour the next. A body is counted and decoded while
it comes: what is held is bounded by `max_body`, so the socket is held back for no longer than one turn of the loop.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec
from httptools import HttpParserCallbackError, HttpParserError, HttpResponseParser

from sidecar.adapters.bounded_body import GzipBody, PlainBody
from sidecar.adapters.http1 import PLAIN, named, response_framing, says_close
from sidecar.model import Reason

MAX_LINE = 16 * 1024  # bytes of the status line's text
MAX_HEADER = 16 * 1024  # bytes of one header, name and value
MAX_HEADERS = 200  # of one head, and of one trailer section
MAX_HEAD = 128 * 1024  # bytes between two things that mean something: of a head, a chunk's line, the trailers
CRUMB = 16  # bytes; a piece of a body that is smaller costs more to take than it holds
MAX_CRUMBS = 65_536  # of one body
MAX_INFORMATIONAL = 16  # 1xx answers before the real one, RFC 9110 section 15.2
CONTINUE, SWITCHING, FINAL = 100, 101, 200
BODILESS = frozenset({204, 304})  # RFC 9112 section 6.3
HEAD_ENDS = (b"\r\n\r\n", b"\n\n")
TOO_LONG = f"a line or header of more than {MAX_HEADER} bytes, or a head of more than {MAX_HEAD}"


class Broken(msgspec.Struct, frozen=True):
    """Why an answer is none. `rule` says it where the reason alone does not, and quotes no byte of the provider."""

    reason: Reason
    rule: str = ""
    cause: Exception | None = None


class _Stop(Exception):
    """Ends the parser's work from within one of its callbacks."""

    def __init__(self, reason: Reason, rule: str = "") -> None:
        super().__init__(rule)
        self.broken = Broken(reason, rule)


class Answer:
    """The final answer to one request. Once it has ended, `broken` is None or says why there is none.

    `status` is None until a head was believed. `kept`: the connection may serve another request after it.
    """

    __slots__ = (
        "_coming",
        "_counted",
        "_crumbs",
        "_headers",
        "_informational",
        "_loose",
        "_max_body",
        "_parser",
        "_phrase",
        "_to_head",
        "body",
        "broken",
        "ended",
        "framing",
        "headers",
        "kept",
        "reason_phrase",
        "status",
        "version",
    )

    def __init__(self, *, to_head: bool, max_body: int) -> None:
        self._to_head = to_head
        self._max_body = max_body
        self._headers: list[tuple[bytes, bytes]] = []
        self._phrase = b""
        self._coming: PlainBody | None = None
        self._counted = False
        self._crumbs = 0
        self._informational = 0
        self._loose = 0
        self.status: int | None = None
        self.version = ""
        self.reason_phrase = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.framing = PLAIN
        self.body = b""
        self.kept = False
        self.ended = False
        self.broken: Broken | None = None
        self._parser = HttpResponseParser(self)
        # What has one meaning all the same is taken: folds and controls in values, a bare LF as the end of a line,
        # spaces behind a chunk's size (RFC 9112 sections 2.2, 5.2), a 1xx with `Connection: close` or of HTTP/1.0.
        # What this lets in too is refused below.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_keep_alive=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, received: bytes) -> bool:
        """Take what came; whether the answer has ended with it. Another exception than its own ones is a defect."""
        believed = self.status
        self._loose += len(received)
        try:
            self._parser.feed_data(received)
        except HttpParserCallbackError as error:
            stop = error.__context__
            if not isinstance(stop, _Stop):
                raise (stop or error) from None
            self._end(stop.broken)
        except HttpParserError as error:
            self.status = believed  # a head that came in one piece with broken bytes is not believed
            rule = f"not an HTTP/1.1 answer: {error}" if believed is None else ""
            self._end(Broken(Reason.BAD_PROVIDER_RESPONSE, rule, error))
        else:
            if self._loose > MAX_HEAD and not self.ended:
                self._end(Broken(Reason.BAD_PROVIDER_RESPONSE, TOO_LONG))
        if self._to_head and not received.endswith(HEAD_ENDS):
            self.kept = False  # behind it may be a body of which the parser has not told yet
        return self.ended

    def end(self, error: Exception | None) -> None:
        """The connection has ended, or broke with an error."""
        if self.status is None:
            self._end(Broken(Reason.OUTCOME_UNKNOWN, cause=error or EOFError()))
        elif error is None and self.framing.length is None and not self.framing.chunked:
            self._complete()  # its body ends with the connection, RFC 9112 section 6.3
        else:
            self._end(Broken(Reason.RESPONSE_TRUNCATED, cause=error or EOFError()))

    def forget(self) -> None:
        """Part from the parser: each of the two holds the other, and only the garbage collector would find them."""
        del self._parser

    def _end(self, broken: Broken | None) -> None:
        self.broken = broken
        self.ended = True

    def _complete(self) -> None:
        body = b"" if self._coming is None else self._coming.whole()
        if isinstance(body, Reason):
            self._end(Broken(body))
        else:
            self.body = body
            self._end(None)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.ended:
            self._refuse_more()
        self._headers = []
        self._phrase = b""

    def on_status(self, text: bytes) -> None:
        self._phrase += text

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._headers) == MAX_HEADERS:
            raise _Stop(Reason.BAD_PROVIDER_RESPONSE, f"more than {MAX_HEADERS} headers")
        if b"\0" in value:
            raise _Stop(Reason.BAD_PROVIDER_RESPONSE, "a NUL in a header's value (RFC 9110 section 5.5)")
        self._headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._loose > MAX_HEADER:
            self._bound_head()
        self._loose = 0
        status = self._parser.get_status_code()
        if status < FINAL:
            self._inform(status)
            return
        version = self._parser.get_http_version()
        framing = response_framing(version, self._headers)
        if isinstance(framing, str):
            raise _Stop(Reason.BAD_PROVIDER_RESPONSE, framing)
        self.status, self.version, self.framing = status, version, framing
        self.headers, self._headers = self._headers, []  # what comes now are trailers, which nobody asked for
        self.reason_phrase = self._phrase
        self.kept = self._parser.should_keep_alive()
        if self.kept and version == "1.0" and says_close(self.headers):  # which llhttp does not look for there
            self.kept = False
        if self._to_head:
            self.ended = True
        elif (framing.length or 0) > self._max_body and not framing.coding and status not in BODILESS:
            raise _Stop(Reason.RESPONSE_TOO_LARGE)

    def on_chunk_header(self) -> None:
        if self.ended:
            self._refuse_more()
        self._counted = True

    def on_body(self, chunk: bytes) -> None:
        self._loose = 0
        if self._coming is None:
            self._coming = self._begin_body()
        if len(chunk) < CRUMB:
            self._crumbs += 1
            if self._crumbs > MAX_CRUMBS:
                detail = f"a body in more than {MAX_CRUMBS} pieces of less than {CRUMB} bytes"
                raise _Stop(Reason.BAD_PROVIDER_RESPONSE, detail)
        reason = self._coming.feed(chunk)
        if reason is not None:
            raise _Stop(reason)

    def on_message_complete(self) -> None:
        if self.status is not None and not self.ended:
            self._complete()

    def _begin_body(self) -> PlainBody:
        if self.ended or self.status is None:
            self._refuse_more()
        if self.framing.chunked is not self._counted:  # such as a tab behind `chunked`, which llhttp does not read
            self._refuse("a transfer encoding that can be read in two ways (RFC 9112 section 6.1)")
        match self.framing.coding:
            case b"":
                return PlainBody(self._max_body)
            case b"gzip":
                return GzipBody(self._max_body)
            case coding:
                detail = f"content encoding {named(coding)}, where one gzip at most was asked for"
                raise _Stop(Reason.BAD_PROVIDER_RESPONSE, detail)

    def _inform(self, status: int) -> None:
        if status < CONTINUE or status == SWITCHING:
            raise _Stop(Reason.BAD_PROVIDER_RESPONSE, f"status {status}, which nobody asked for")
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            raise _Stop(Reason.BAD_PROVIDER_RESPONSE, f"more than {MAX_INFORMATIONAL} informational answers")

    def _bound_head(self) -> None:
        sizes = [len(name) + len(value) for name, value in self._headers]
        if sum(sizes) > MAX_HEAD or max(sizes, default=0) > MAX_HEADER or len(self._phrase) > MAX_LINE:
            raise _Stop(Reason.BAD_PROVIDER_RESPONSE, TOO_LONG)

    def _refuse_more(self) -> NoReturn:
        self._refuse("more bytes than its answer has")

    def _refuse(self, rule: str) -> NoReturn:
        self.status = None  # where it is unclear what belongs to an answer, it is not known whose it is
        raise _Stop(Reason.BAD_PROVIDER_RESPONSE, rule)
