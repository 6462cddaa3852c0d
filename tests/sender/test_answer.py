"""An answer as its bytes come: where segments end makes no difference, every limit is exact, every cut is told."""

from __future__ import annotations

import gc
import gzip
import weakref
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.http1_answer import MAX_CRUMBS, MAX_HEADER, MAX_HEADERS, MAX_INFORMATIONAL, MAX_LINE, Answer
from sidecar.model import Reason
from tests.sender.test_hostile import ACCEPTED, REFUSED
from tests.sender.test_parity import ANSWERS

LIMIT = 2 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD = Reason.BAD_PROVIDER_RESPONSE
# The usual answers, small enough to be cut at every byte.
WHOLE = {name: answer for name, answer in ANSWERS.items() if len(answer) < 2000}
WHOLE |= {name: answer for name, (answer, _) in ACCEPTED.items()}


def read(*segments: bytes, to_head: bool = False, max_body: int = LIMIT, then_end: bool = True) -> Answer:
    """The answer that is read out of segments, up to its end."""
    answer = Answer(to_head=to_head, max_body=max_body)
    for segment in segments:
        if answer.feed(segment):
            return answer
    if then_end:
        answer.end(None)
    return answer


def bytewise(answer: bytes) -> list[bytes]:
    return [answer[i : i + 1] for i in range(len(answer))]


def said(answer: Answer) -> tuple[object, ...]:
    reason = None if answer.broken is None else answer.broken.reason
    return reason, answer.status, answer.version, answer.reason_phrase, answer.headers, answer.body, answer.kept


@pytest.mark.parametrize("name", WHOLE)
def test_where_segments_end_makes_no_difference(name: str) -> None:
    """In one piece, byte by byte, and in two pieces cut at every byte: the same answer, and a connection as good."""
    answer = WHOLE[name]
    expected = said(read(answer))
    assert expected[0] is None
    assert said(read(*bytewise(answer))) == expected
    for at in range(1, len(answer)):
        assert said(read(answer[:at], answer[at:])) == expected, at


@pytest.mark.parametrize("name", [name for name, answer in REFUSED.items() if len(answer) < 1000])
def test_what_is_refused_is_refused_in_any_pieces(name: str) -> None:
    """A broken answer is refused however it is cut, unless what breaks it comes when nothing is awaited any more."""
    answer = REFUSED[name]
    for at in range(len(answer)):
        parts = read(answer[:at], answer[at:])
        if parts.broken is None:
            assert name in {"more than the length, garbage", "more after close", "a body where there is none"}
        else:
            assert parts.broken.reason is BAD, at


@pytest.mark.parametrize("broke", [None, ConnectionResetError()], ids=["ended", "broke"])
@pytest.mark.parametrize("name", WHOLE)
def test_an_end_at_every_byte(name: str, broke: Exception | None) -> None:
    """Cut before its head is whole nothing is known; after it the status is, and the body is not whole.

    A body without a length is whole when its connection ends, and not when it breaks.
    """
    answer = WHOLE[name]
    until_the_end = b"ength:" not in answer and b"chunked" not in answer and read(answer).body != b""
    for at in range(len(answer)):
        cut = read(answer[:at], then_end=False)
        if cut.ended:  # what is left is an empty line
            continue
        cut.end(broke)
        if cut.status is None:
            assert cut.broken is not None
            assert cut.broken.reason is Reason.OUTCOME_UNKNOWN
        elif until_the_end and broke is None:
            assert cut.broken is None
        else:
            assert cut.broken is not None
            assert cut.broken.reason is Reason.RESPONSE_TRUNCATED


def lines(*headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, *headers, b"Content-Length: 0", b"", b""))


BIG = [b"X-%d: " % i + b"a" * 16_000 for i in range(9)]


@pytest.mark.parametrize("segment", [1 << 30, 1000], ids=["at once", "bit by bit"])
@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (lines(b"X: " + b"a" * (MAX_HEADER - 1)), True),
        (lines(b"X: " + b"a" * MAX_HEADER), False),
        (lines(b"a" * MAX_HEADER + b": "), True),
        (lines(b"a" * MAX_HEADER + b": b"), False),
        (lines(status=b"200 " + b"a" * MAX_LINE), True),
        (lines(status=b"200 " + b"a" * (MAX_LINE + 1)), False),
        (lines(*[b"A: b"] * (MAX_HEADERS - 1)), True),
        (lines(*[b"A: b"] * MAX_HEADERS), False),
        (lines(*BIG[:8]), True),
        (lines(*BIG), False),
        (b"HTTP/1.1 103 Early\r\n\r\n" * MAX_INFORMATIONAL + OK, True),
        (b"HTTP/1.1 103 Early\r\n\r\n" * (MAX_INFORMATIONAL + 1) + OK, False),
        (b"HTTP/1.1 103 Early\r\n" + b"\r\n".join(BIG) + b"\r\n\r\n" + OK, False),
        (b"HTTP/1.1 150 Odd\r\nContent-Length: 2\r\n\r\nno" + OK, False),
        (b"HTTP/1.1 150 Odd\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n" + OK, False),
        (CHUNKED + b"2\r\nok\r\n0\r\n" + b"A: b\r\n" * MAX_HEADERS + b"\r\n", True),
        (CHUNKED + b"2\r\nok\r\n0\r\n" + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", False),
        (CHUNKED + b"2;" + b"e" * 1000 + b"\r\nok\r\n0\r\n\r\n", True),
        (CHUNKED + b"1\r\nx\r\n" * MAX_CRUMBS + b"0\r\n\r\n", True),
        (CHUNKED + b"1\r\nx\r\n" * (MAX_CRUMBS + 1) + b"0\r\n\r\n", False),
        (lines(b"X: a\x00b"), False),
    ],
)
def test_every_limit_is_exact(answer: bytes, *, taken: bool, segment: int) -> None:
    """A line, a header, their number, the head, 1xx answers, trailers, crumbs: the limit is taken, one more refused."""
    end = read(*(answer[at : at + segment] for at in range(0, len(answer), segment)))
    assert (end.broken is None) is taken
    assert taken or (end.broken is not None and end.broken.reason is BAD)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\n",
        CHUNKED,
        CHUNKED + b"2;x=",
        CHUNKED + b"2\r\nok\r\n0\r\nX: ",
    ],
    ids=["empty lines", "status", "value", "name", "size", "extension", "trailer"],
)
def test_nothing_goes_on_without_end(start: bytes) -> None:
    """Whatever a server goes on with without saying anything ends in a refusal before it has cost 400 KB."""
    more = b"\r\n" if start == b"" else b"0"
    answer = read(start, *[more * 10_000] * 40, then_end=False)
    assert answer.broken is not None
    assert answer.broken.reason is BAD


@pytest.mark.parametrize(
    ("segments", "kept"),
    [
        ((OK[:-2],), True),
        ((OK[:10], OK[10:-2]), True),
        ((CHUNKED,), True),
        ((b"HTTP/1.1 200 OK\r\n\r\n",), False),
        ((CHUNKED[:-1], CHUNKED[-1:]), False),
        ((CHUNKED + b"5",), False),
        ((OK,), False),
        ((CHUNKED + b"2\r\nok\r\n0\r\n\r\n",), False),
    ],
)
def test_an_answer_to_head_ends_with_its_head(segments: tuple[bytes, ...], *, kept: bool) -> None:
    """No body is awaited or taken, and a connection on which one may follow is not used again."""
    answer = read(*segments, to_head=True, then_end=False)
    assert (answer.ended, answer.body) == (True, b"")
    assert (answer.broken is None and answer.kept) is kept


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    ("connection", "kept"),
    [
        (b"keep-alive", True),
        (b"Keep-Alive, X-Close", True),
        (b"keep-alive, close", False),
        (b"close, keep-alive", False),
        (b"keep-alive\r\nConnection: Close", False),
    ],
)
def test_who_says_close_is_believed(version: bytes, connection: bytes, *, kept: bool) -> None:
    """`close` decides also beside `keep-alive`, in one header or two and in HTTP/1.0 (RFC 9112 section 9.3)."""
    answer = read(b"HTTP/%b 200 OK\r\nConnection: %b\r\nContent-Length: 2\r\n\r\nok" % (version, connection))
    assert (answer.broken, answer.body, answer.kept) == (None, b"ok", kept)


def test_more_than_the_answer_in_one_piece_is_refused() -> None:
    """Two answers to one request: it is not known whose the first is, so neither is taken."""
    answer = read(OK + OK)
    assert answer.broken is not None
    assert (answer.broken.reason, answer.status) == (BAD, None)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_crumbs_of_a_body_are_one_buffer(size: int) -> None:
    """A body in many small chunks is whole, and counted to the byte."""
    count = 60_000 // size
    body = CHUNKED + (b"%x\r\n" % size + b"x" * size + b"\r\n") * count + b"0\r\n\r\n"
    assert read(body, max_body=size * count).body == b"x" * (size * count)
    too_large = read(body, max_body=size * count - 1)
    assert too_large.broken is not None
    assert too_large.broken.reason is Reason.RESPONSE_TOO_LARGE


def test_a_packed_body_that_ends_with_its_connection_must_be_whole() -> None:
    """Where the connection's end is the body's end, the end of the gzip stream still has to come before it."""
    head, packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"hello")
    assert read(head + packed).body == b"hello"
    cut = read(head + packed[:-3])
    assert cut.broken is not None
    assert cut.broken.reason is Reason.RESPONSE_TRUNCATED


def test_an_answer_is_gone_with_its_last_user() -> None:
    """Parser and answer hold each other; after `forget` no garbage collection is needed to be rid of them."""

    class Seen(Answer):
        __slots__ = ("__weakref__",)

    gc.disable()
    try:
        answer = Seen(to_head=False, max_body=LIMIT)
        assert answer.feed(OK)
        answer.forget()
        gone = weakref.ref(answer)
        del answer
        assert gone() is None
    finally:
        gc.enable()


PIECES = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b":",
        b" ",
        b"\t",
        b"\0",
        b"\xff",
        b";",
        b"0",
        b"0\r\n\r\n",
        b"\r\n\r\n",
        b"100",
        b"101",
        b"204",
    ),
    *(
        b"HTTP/1.1 ",
        b"HTTP/1.0 200 OK\r\n",
        b"X-A:\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Encoding: gzip\r\n",
    ),
]
CORPUS = [answer for answer in (*WHOLE.values(), *REFUSED.values()) if len(answer) < 600]
EDITS = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 12), st.sampled_from(PIECES)), max_size=4)


@given(st.sampled_from(CORPUS), EDITS, st.lists(st.integers(0, 600), max_size=5), st.booleans())
def test_whatever_comes_ends_in_an_answer_or_a_refusal(
    answer: bytes, edits: list[tuple[int, int, bytes]], cuts: list[int], to_head: bool
) -> None:
    """Damaged answers raise nothing; what is an answer in one piece is the same one in any pieces."""
    for at, size, piece in edits:
        answer = answer[:at] + piece + answer[at + size :]
    edges = [0, *sorted(cuts), len(answer)]
    one = read(answer, to_head=to_head)
    other = read(*(answer[a:b] for a, b in pairwise(edges)), to_head=to_head)
    assert one.ended
    assert other.ended
    if one.broken is None:
        assert said(other)[:-1] == said(one)[:-1]
