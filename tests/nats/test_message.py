"""What the socket brings is handed over at once and in order, however it is cut; the rest is nats-py's, as before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.protocol.parser import Parser

import sidecar.adapters.nats_client  # noqa: F401 - it mends nats-py's parser
from sidecar.adapters.nats_message import Received, hand_over, read_at_once, read_block

OURS, THEIRS = 7, 8  # subscriptions


class Connection:
    """A stream, nats-py's parser on it, and ourselves before both; `seen` has what came, in its order."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.parsed = 0
        self.reader = asyncio.StreamReader()
        self._ps = Parser(self)
        read_at_once(self.reader, self, {OURS: self._received})  # type: ignore[arg-type]  # as far as it is looked at
        self.reading = asyncio.get_running_loop().create_task(self._read())

    def _received(self, message: Received) -> None:
        self.seen.append((OURS, message.subject, message.reply, message.data, message.headers))

    async def _process_msg(self, number: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.parsed += 1
        block = (headers or b"").removeprefix(b"NATS/1.0\r\n")
        told = Received("", "", b"", None, block).headers
        self.seen.append((number, subject.decode(), reply.decode(), data, told))
        await asyncio.sleep(0)

    async def _process_ping(self) -> None:
        self.seen.append(("PING",))

    async def _read(self) -> None:
        while data := await self.reader.read(1024):
            await self._ps.parse(data)

    async def end(self) -> None:
        self.reader.feed_eof()
        await self.reading


async def seen(pieces: list[bytes], turns: list[int]) -> Connection:
    """What was there after the pieces had come, with so many turns of the loop after each."""
    connection = Connection()
    for piece, number in zip(pieces, turns, strict=True):
        for _ in range(number):
            await asyncio.sleep(0)
        connection.reader.feed_data(piece)
    await connection.end()
    return connection


WORD = st.sampled_from(["a", "sidecar.read.x", "_INBOX.me.1", "ü", "a\x0b8", "a\x0c7"])
DATA = st.one_of(st.binary(max_size=40), st.sampled_from([b"\r\n", b"MSG a 7 1\r\nx\r\n", b"PING\r\n"]))
MESSAGE = st.tuples(
    st.sampled_from([OURS, OURS, THEIRS]), WORD, st.one_of(st.just(""), WORD), DATA, st.sampled_from([None, {"K": "v"}])
)


def wire(message: tuple[int, str, str, bytes, dict[str, str] | None]) -> bytes:
    number, subject, reply, data, headers = message
    words = f"{subject} {number} {reply} " if reply else f"{subject} {number} "
    if headers is None:
        return f"MSG {words}{len(data)}\r\n".encode() + data + b"\r\n"
    block = "".join(["NATS/1.0\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]).encode()
    return f"HMSG {words}{len(block)} {len(block) + len(data)}\r\n".encode() + block + data + b"\r\n"


@given(st.lists(st.one_of(MESSAGE, st.just(None)), max_size=12), st.data())
def test_everything_comes_once_and_in_order(messages: list[Any], data: st.DataObject) -> None:
    """Whoever reads it, wherever the network cuts it, and whenever the pieces come."""
    stream = b"".join(b"PING\r\n" if message is None else wire(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    turns = data.draw(st.lists(st.integers(0, 4), min_size=len(pieces), max_size=len(pieces)))
    connection = asyncio.run(seen(pieces, turns))
    expected = [("PING",) if message is None else tuple(message) for message in messages]
    assert connection.seen == expected


def test_no_message_overtakes_another() -> None:
    """What nats-py was given and has not read yet comes first."""
    connection = asyncio.run(seen([wire((THEIRS, "a", "", b"", None)), wire((OURS, "b", "", b"", None))], [1, 0]))
    assert [subject for _, subject, *_ in connection.seen] == ["a", "b"]


@pytest.mark.parametrize("cut", [pytest.param(2, id="at the payload"), pytest.param(3, id="in the payload")])
def test_a_payload_is_no_message(cut: int) -> None:
    """Whatever it holds, and wherever the network cuts it off."""
    message = wire((OURS, "a", "", wire((OURS, "b", "", b"forged", None)), None))
    cut += message.index(b"\r\n")
    connection = asyncio.run(seen([message[:cut], message[cut:]], [4, 4]))
    assert [subject for _, subject, *_ in connection.seen] == ["a"]


@pytest.mark.parametrize("cut", [pytest.param(0, id="read by ourselves"), pytest.param(1, id="read by nats-py")])
@pytest.mark.parametrize(("number", "subject"), [(OURS, "a\x0b8"), (OURS, "a\x0c8"), (THEIRS, "a\x0b7")])
def test_a_subject_is_one_word(number: int, subject: str, cut: int) -> None:
    """Of white space the server takes only the space and the tab as an end of a word: nobody names another receiver."""
    message = wire((number, subject, "", b"x", None))
    connection = asyncio.run(seen([message[:cut], message[cut:]], [4, 4]))
    assert connection.seen == [(number, subject, "", b"x", None)]


@pytest.mark.parametrize(
    ("lines", "headers"),
    [
        pytest.param(b"K: v\r\n\r\n", {"K": "v"}, id="one"),
        pytest.param(b"K: v\r\nL:w\r\n\r\n", {"K": "v", "L": "w"}, id="two"),
        pytest.param(b"K: v\r\nK:  v \r\n\r\n", {"K": "v"}, id="the same value twice"),
        pytest.param(b"K: v\r\nK: w\r\n\r\n", {"K": "w", "": "k"}, id="two values"),
        pytest.param(b"K: v\r\nK: w\r\n", {"K": "w", "": "k"}, id="two values and no end"),
        pytest.param(b"K: v\r\nK: w", {"K": "w", "": "k"}, id="two values and no end of a line"),
        pytest.param(b"\r\nK: v\r\nK: w", {"K": "w", "": "k"}, id="two values behind an empty line"),
        pytest.param(b"K: v\r\nk: w\r\nK: v\r\n\r\n", {"K": "v", "k": "w", "": "k"}, id="two spellings"),
        pytest.param(b"K: v\r\nL: w\r\nK: w\r\nL: v\r\n\r\n", {"K": "w", "L": "v", "": "k l"}, id="two names"),
        pytest.param(b"K: v\r\nnothing\r\n\r\n", {"K": "v"}, id="a line that is no header"),
        pytest.param(b"\r\n", None, id="none"),
    ],
)
def test_a_name_with_two_values_is_told(lines: bytes, headers: dict[str, str] | None) -> None:
    """Who reads the headers can refuse it: the last value alone would look as if it were the only one."""
    assert Received("a", "", b"", None, lines).headers == headers


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (b"NATS/1.0 100 Idle\r\nK: v\r\n\r\n", {"Status": "100", "Description": "Idle", "K": "v"}),
        (b"NATS/1.0 100\r\nK: v\r\nK: w\r\n\r\n", {"Status": "100", "K": "w", "": "k"}),
        (b"NATS/1.0\r\nK: v\r\n\r\n", {"K": "v"}),
        (b"NATS/1.0", {"": ""}),
        (b"NATS/1.0 503", {"": ""}),
        (b"NATS/1.1\r\nK: v\r\n\r\n", {"": ""}),
        (b"NATS/1.0 \xff\r\n\r\n", {"": ""}),
        (b"\r\n\r\n", {"": ""}),
        (b"N", {"": ""}),
    ],
)
def test_every_block_of_headers_says_something(block: bytes, headers: dict[str, str]) -> None:
    """Also one that cannot be read: its sender waits for a reply as everybody does."""
    assert read_block(block) == headers


def test_a_whole_message_waits_for_no_turn_of_the_loop() -> None:
    """It is handed over while the socket is read; nats-py's parser never sees it."""

    async def run() -> Connection:
        connection = Connection()
        await asyncio.sleep(0)
        connection.reader.feed_data(wire((OURS, "a", "_INBOX.x", b"1", None)) * 2)
        assert len(connection.seen) == 2
        await connection.end()
        return connection

    assert asyncio.run(run()).parsed == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"MSG a 7 1\r\nx\r", id="not whole"),
        pytest.param(b"MSG a 7 1", id="no end of its line"),
        pytest.param(b"\r\nMSG a 7 1\r\nx\r\n", id="an empty line"),
        pytest.param(b"MSG a 8 1\r\nx\r\n", id="nobody's"),
        pytest.param(b"MSG a seven 1\r\nx\r\n", id="no number"),
        pytest.param(b"MSG a 7 one\r\nx\r\n", id="no size"),
        pytest.param(b"MSG 7 1\r\nx\r\n", id="a word less"),
        pytest.param(b"MSG \xff 7 1\r\nx\r\n", id="no UTF-8"),
        pytest.param(b"HMSG a 7 1 2\r\nab\r\n", id="a header block of one byte"),
        pytest.param(b"HMSG a 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", id="a status"),
        pytest.param(b"PING\r\n", id="a ping"),
    ],
)
def test_what_is_no_plain_message_is_left_alone(data: bytes) -> None:
    """For nats-py, with all that stands behind it."""
    received: list[Received] = []
    whole = wire((OURS, "a", "", b"1", None))
    behind = whole if data.endswith(b"\n") else b""
    assert hand_over(whole + data + behind, {OURS: received.append}) == len(whole)
    assert len(received) == 1
