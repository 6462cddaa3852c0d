"""Messages of subscriptions as they stand in what the socket brought, read out of it in the turn in which it came.

nats-py's way goes by a stream, a task that is woken and regular expressions: a tenth of a hop at one call in flight.
What is not a whole message for a known receiver is left to nats-py, and so is all behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.protocol import parser

PLAIN_BLOCK = b"NATS/1.0\r\n"  # of headers, as everybody but the server writes it
MSG, HMSG = b"MSG ", b"HMSG "


class Received:
    """`ports.Message`: one that was handed over. Its headers are read when somebody looks: of most nobody does."""

    __slots__ = ("_block", "_headers", "data", "reply", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, headers: dict[str, str] | None, block: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self._headers = headers
        self._block = block

    @property
    def headers(self) -> dict[str, str] | None:
        if self._block:
            self._headers, self._block = _headers(self._block) or None, b""
        return self._headers


Receivers = Mapping[int, Callable[[Received], None]]


def read_at_once(reader: asyncio.StreamReader, client: Client, receivers: Receivers) -> None:
    """Have what the reader is fed with from now on handed to `receivers` (by the subscription's number) at once, as
    long as nats-py has nothing left to read before it.
    """
    feed, state = reader.feed_data, client._ps  # noqa: SLF001 - nats-py has no other place

    def feed_data(data: bytes) -> None:
        waits: Any = reader._waiter  # type: ignore[attr-defined]  # noqa: SLF001 - its read loop, for bytes
        if waits is not None and not state.buf and state.state == parser.AWAITING_CONTROL_LINE:
            taken = hand_over(data, receivers)
            if taken == len(data):
                return
            data = data[taken:] if taken else data
        feed(data)

    reader.feed_data = feed_data  # type: ignore[method-assign, assignment]  # typeshed: an iterable of numbers


def hand_over(data: bytes, receivers: Receivers) -> int:
    """Hand over the whole messages that `data` begins with; returns how many of its bytes they are. Receivers never
    raise. https://docs.nats.io/reference/reference-protocols/nats-protocol#msg
    """
    at = 0
    while (end := data.find(b"\r\n", at)) > 0:
        begin = end + 2
        try:
            if data.startswith(MSG, at):
                _, subject, number, *reply, size = data[at:end].split(b" ")
                head = 0
            elif data.startswith(HMSG, at) and data.startswith(PLAIN_BLOCK, begin):
                _, subject, number, *reply, heads, size = data[at:end].split(b" ")
                head = int(heads)
            else:
                break
            receiver, after = receivers.get(int(number)), begin + int(size)
            if receiver is None or len(data) < after + 2:
                break
            block = data[begin + len(PLAIN_BLOCK) : begin + head] if head else b""
            inbox = reply[0].decode() if reply else ""
            message = Received(subject.decode(), inbox, data[begin + head : after], None, block)
        except ValueError:  # not as it should be, or no UTF-8
            break
        at = after + 2
        receiver(message)
    return at


def read_block(block: bytes) -> dict[str, str]:
    """The headers of a whole block, and the status that may stand in its first line.
    https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md
    """
    first, ended, lines = block.partition(b"\r\n")
    version, _, status = first.partition(b" ")
    if version != b"NATS/1.0" or not ended or not status.isascii():
        return {"": ""}
    number, _, description = status.decode().partition(" ")
    told = {"Status": number, "Description": description}
    return {name: value for name, value in told.items() if value} | _headers(lines)


def _headers(block: bytes) -> dict[str, str]:
    """The headers of these lines. nats-py keeps the last value of a name."""
    headers = Client._parse_header_lines(block)  # noqa: SLF001 - the one reader
    lines = block.strip(b"\r\n").split(b"\r\n")
    if len(lines) > len(headers):
        values: dict[str, set[bytes]] = {}
        for line in lines:
            name, _, value = line.partition(b":")
            values.setdefault(name.strip().lower().decode("ascii", "replace"), set()).add(value.strip())
        if unclear := [name for name, several in values.items() if len(several) > 1]:
            headers[""] = " ".join(unclear)
    return headers
