"""nats-py's client with its ways of dying closed. This file and `nats_message|events|bus.py` alone import nats-py.

Each override names the fault it closes; all were reproduced against nats-py 2.16.0 and nats-server 2.15.1. They touch
underscored methods because nats-py offers no other place; the version is pinned to 2.16 and tests provoke each fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from nats import errors
from nats.aio.client import Client, Server, Srv
from nats.aio.subscription import Subscription
from nats.protocol import command, parser

from sidecar.adapters.nats_events import BusCounts, Malformed, cancelled, plain
from sidecar.adapters.nats_message import PLAIN_BLOCK, Received, read_at_once, read_block
from sidecar.adapters.tls import on_any_python

# nats-py splits a MSG line at any whitespace, the server only at space and tab. With \v or \f in a subject any agent
# could break our connection, or name another subscription as the receiver.
parser.MSG_RE = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
parser.HMSG_RE = re.compile(
    rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n"
)

# After these the server keeps the connection. https://docs.nats.io/reference/reference-protocols/nats-protocol#ok-err
HARMLESS = ("permissions violation", "invalid subject", "maximum subscriptions exceeded")
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.1
FIRST_DELAY = 0.05
MAX_DELAY = 2.0
LATER = 0.02  # seconds that messages which may come later are gathered for

_log = logging.getLogger(__name__)
_dice = random.SystemRandom()


class SturdyClient(Client):
    """A client that reconnects for ever, whatever a peer or the server sends, until `ending` is set."""

    def __init__(self, counts: BusCounts) -> None:
        super().__init__()
        self.ending = False
        self.queued = 0  # bytes that were put so far
        self._woken = False  # what waits is written in the loop's next turn
        self._aside: list[bytes] = []
        self._asks: tuple[str, str, bytes] | None = None  # the last of them as it would be with its reply
        self._said: dict[str, str] = {}  # the headers published last, and their bytes
        self._block = b""
        self._counts = counts
        self._proved = 0  # of the messages published so far, those known to have reached the server
        self._handed_over: dict[int, Callable[[Received], None]] = {}

    @property
    def stuck(self) -> bool:
        """Not connected, and no task that would change it."""
        return not self.is_connected and (self._reconnection_task is None or self._reconnection_task.done())

    @property
    def published(self) -> int:
        """How many messages were published so far."""
        number: int = self.stats["out_msgs"]
        return number

    @property
    def unproved(self) -> int:
        """Of them, those of which it is not known that they reached the server."""
        return max(0, self.published - self._proved)

    def put(
        self,
        subject: str,
        payload: bytes,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        later: bool = False,
    ) -> None:
        """Publish in this turn of the loop: nats-py's `publish` without what may wait there. It is written at the end
        of the turn, together with all that is put meanwhile. What may come `later` is put aside for a moment, together
        with others of its kind, and is not published before.

        Raises errors.Error as `publish` does, and ValueError for words that are no UTF-8; nothing is published then.
        """
        if self._status == Client.CLOSED:
            raise errors.ConnectionClosedError
        if self._status == Client.DRAINING_PUBS:
            raise errors.ConnectionDrainingError
        size = len(payload)
        asks, reply = (reply, "") if later else ("", reply)
        if headers:
            if headers != self._said:  # of thousands that are refused together all are told the same
                self._said, self._block = dict(headers), _header_block(headers)
            block = self._block
            self._fit(len(block) + size)
            line = b"HPUB %b%d %d\r\n%b%b\r\n" % (
                _destination(subject, reply),
                len(block),
                len(block) + size,
                block,
                payload,
            )
        else:
            self._fit(size)
            line = b"PUB %b%d\r\n%b\r\n" % (_known_destination(subject, reply), size, payload)
        if not later:
            self.stats["out_msgs"] += 1
            self.stats["out_bytes"] += size
            self._keep((line,), len(line))
            return
        if not self._aside:
            asyncio.get_running_loop().call_later(LATER, self.take_aside)
        self._aside.append(line)
        self._asks = (subject, asks, payload) if asks and not headers else None

    def fit(self, payload: bytes, headers: Mapping[str, str] | None) -> None:
        """Raise errors.MaxPayloadError for more than the server takes, which would end the connection. It counts
        headers, too.
        """
        self._fit(len(payload) + (len(_header_block(headers)) if headers else 0))

    def _fit(self, size: int) -> None:
        if size > self._max_payload:
            raise errors.MaxPayloadError

    def take_aside(self) -> None:
        """Publish what was put aside."""
        lines, self._aside = self._aside, []
        if self._asks is not None:
            subject, reply, payload = self._asks
            lines[-1] = b"PUB %b%d\r\n%b\r\n" % (_destination(subject, reply), len(payload), payload)
            self._asks = None
        size = sum(map(len, lines))
        self.stats["out_msgs"] += len(lines)
        self.stats["out_bytes"] += size
        self._keep(lines, size)

    def ask(self, subject: str, token: bytes) -> int:
        line = command.pub_cmd(subject, "", token)
        self._keep((line,), len(line))
        return self.published

    def _keep(self, lines: Sequence[bytes], size: int) -> None:
        """Each line by itself: what waits is counted where a connection breaks."""
        self._pending += lines
        self._pending_data_size += size
        self.queued += size
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._write_soon)

    def _write_soon(self) -> None:
        self._woken = False
        self.write_now()
        # What a full socket did not take the flusher writes, which waits until there is room.
        if self._pending and self.is_connected and self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def prove(self, number: int) -> None:
        self._proved = max(self._proved, number)

    def rebuild(self, why: str) -> None:
        """Leave this connection and make another, whatever state it is in. Subscriptions and what waits go along."""
        if self.ending:
            return
        _log.error("leaving the connection to NATS for another: %s", why)
        self._counts.heals += 1
        self._status = Client.RECONNECTING
        self._ps.reset()
        self.abandon()
        if self._reconnection_task is not None:
            self._reconnection_task.cancel()
        self._reconnection_task = asyncio.get_running_loop().create_task(self._attempt_reconnect())

    @property
    def unwritten(self) -> int:
        """Bytes published and not yet taken by the kernel: nats-py's own buffer and the transport's."""
        return self.pending_data_size + self._written()

    def write_now(self) -> bool:
        """Write what is published to the socket at once, without the loop turns until the flusher has its turn; whether
        the kernel has all of it.
        """
        writer = getattr(self._transport, "_io_writer", None)
        if writer is None:
            return not self._pending
        # What a full socket does not take, or one that broke, stays with us and goes along to the next connection.
        transport = writer.transport
        if not transport.is_closing() and not transport.get_write_buffer_size() and self._pending and self.is_connected:
            transport.write(b"".join(self._pending))
            self._pending, self._pending_data_size = [], 0
        return not self._pending and not transport.get_write_buffer_size()

    def hand_over(self, subscription: Subscription, callback: Callable[[Received], None]) -> None:
        """Give the subscription's messages to the callback as they are read, not by a queue and a task of nats-py.
        The callback never raises.
        """
        self._handed_over[subscription._id] = callback  # noqa: SLF001 - nats-py tells it nowhere else

    def _written(self) -> int:
        """Bytes that the transport has and the kernel has not."""
        writer = getattr(self._transport, "_io_writer", None)
        size: int = writer.transport.get_write_buffer_size() if writer is not None else 0
        return size

    def abandon(self) -> None:
        """Close the socket at once, and end the requests that wait: their replies cannot come any more.

        An orderly close would first wait until the peer took all that is written: of a half-open link, for ever.
        """
        for future in list(self._resp_map.values()):
            if not future.done():
                future.set_exception(errors.Error("the connection broke before the reply came"))
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._handed_over.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    def forget(self, subscription: Subscription) -> None:
        """Hand nothing of it over any more, and ask no later connection for it."""
        self._remove_sub(subscription._id)  # noqa: SLF001 - nats-py tells it nowhere else

    async def lose_interest(self, subscription: Subscription) -> None:
        """Tell the server to send no more of it; what is on its way is still handed over."""
        await self._send_unsubscribe(subscription._id)  # noqa: SLF001 - nats-py tells it nowhere else

    async def _connect_to_server(self, s: Srv) -> None:
        """A server that refused us while reconnecting left its socket open."""
        self.abandon()
        await super()._connect_to_server(s)
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:  # uvloop then writes at once what is written, not at the end of the loop's turn
            writer.transport.set_write_buffer_limits(high=0)

    async def _process_connect_init(self) -> None:
        """Every message went by a stream, and by a task that was woken for it."""
        await super()._process_connect_init()
        reader = getattr(self._transport, "_io_reader", None)
        if reader is not None:
            read_at_once(reader, self, self._handed_over)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """A subject that is not UTF-8 or a header block of one byte ended the read loop: a message without a subject is
        dropped, one without headers that can be read is handed over, as its sender waits for a reply.
        """
        try:
            callback = self._handed_over.get(sid)
            if callback is None:
                await super()._process_msg(sid, subject, reply, data, headers)
            else:
                block, told = b"", None
                if headers and headers.startswith(PLAIN_BLOCK):
                    block = headers[len(PLAIN_BLOCK) :]
                elif headers:  # with a status, or malformed
                    told = read_block(headers)
                callback(Received(subject.decode(), reply.decode(), data, told, block))
        except Exception as error:  # noqa: BLE001 - whatever a message provokes, the connection outlives it
            await self._error_cb(Malformed(f"dropped a malformed message on {subject[:200]!r}: {error}"))

    async def _process_pong(self) -> None:
        """A PONG for a flush that timed out or was cancelled ended the read loop (nats.py pull request 914)."""
        with contextlib.suppress(asyncio.InvalidStateError):
            await super()._process_pong()
        self._pings_outstanding = 0

    async def _process_err(self, err_msg: str) -> None:
        """An -ERR closed the client for good. New credentials may come: it ends the connection only."""
        error = errors.Error(f"nats: {err_msg}")
        if any(words in err_msg for words in HARMLESS):
            await self._error_cb(error)
        else:
            _log.error("the nats-server ended the connection: %s", plain(error))
            await self._process_op_err(error)

    async def _read_loop(self) -> None:
        """A read loop ended by an unforeseen exception left a client that says it is connected and hears nothing."""
        await super()._read_loop()
        if self.is_connected and not cancelled():
            await self._process_op_err(errors.Error("the read loop ended"))

    async def _attempt_reconnect(self) -> None:
        """An exception other than the three that nats-py expects left the client reconnecting for ever."""
        self._count_lost()
        self.abandon()
        while not self.is_closed:
            try:
                await super()._attempt_reconnect()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may do
                await self._error_cb(error)
                await asyncio.sleep(MAX_DELAY)
            else:
                return

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 - as nats-py has it
        """nats-py closes for good where it knows no better. Until we end, `stuck` says so, and it is rebuilt."""
        if status == Client.CLOSED and not self.ending:
            self._status = Client.RECONNECTING
        else:
            await super()._close(status, do_cbs)

    def _count_lost(self) -> None:
        """What was given to the connection since the last proof: whether the server had it is not known."""
        waiting = sum(line.startswith((b"PUB ", b"HPUB ")) for line in self._pending)
        self._counts.lost += max(0, self.unproved - waiting)
        self._proved = self.published - waiting

    def _read_creds_user_jwt(self, creds: Any) -> bytearray:
        """While the file was being written nats-py read it for ever, and the loop with it."""
        return _between(creds, b"BEGIN NATS USER JWT")

    def _read_creds_user_nkey(self, creds: Any) -> bytearray:
        return _between(creds, b"BEGIN USER NKEY SEED")

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Which certificates were taken depended on the Python below."""
        return on_any_python(super().ssl_context)

    def _connect_command(self) -> bytes:
        """A `tls://` URL went in clear, password and all, to a server that did not ask for TLS."""
        server = self._current_server
        if server is not None and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise errors.SecureConnWantedError
        return super()._connect_command()


def next_server(servers: list[Server], _info: dict[str, Any], *, longest: float = MAX_DELAY) -> tuple[Server, float]:
    """The server that failed least, and a jittered wait: a cluster's clients do not come back all at once."""
    server = min(servers, key=lambda candidate: (candidate.reconnects, _dice.random()))
    return server, min(longest, FIRST_DELAY * 2 ** min(server.reconnects, 10)) * (0.5 + _dice.random())


def _destination(subject: str, reply: str) -> bytes:
    """What stands before the sizes of a message. Raises errors.BadSubjectError."""
    words = f"{subject} {reply} " if reply else f"{subject} "
    if not subject or words.count(" ") > 1 + bool(reply) or "\r" in words or "\n" in words or "\t" in words:
        raise errors.BadSubjectError  # white space would end it, and what follows would be a command
    return words.encode()


_known_destination = lru_cache(maxsize=4_096)(_destination)  # where one goes without headers, others follow


def _header_block(headers: Mapping[str, str]) -> bytes:
    """As nats-py writes it: no value ends its line."""
    form = _form(tuple(headers))
    block = form % tuple(map(str.strip, headers.values()))
    if block.count("\r") + block.count("\n") > 2 * (len(headers) + 2):
        block = form % tuple(value.strip().replace("\r", " ").replace("\n", " ") for value in headers.values())
    return block.encode()


@lru_cache(maxsize=256)  # what is said together is mostly the same
def _form(names: tuple[str, ...]) -> str:
    """The block of headers with these names, with a place for each value."""
    lines = ""
    for name in map(str.strip, names):
        if not HEADER_NAME.fullmatch(name):
            raise errors.BadHeaderError(name)
        lines += name.replace("%", "%%") + ": %s\r\n"
    return f"NATS/1.0\r\n{lines}\r\n"


def _between(creds: Any, marker: bytes) -> bytearray:
    """The line after the marker's. Raises errors.Error, which nats-py takes as an attempt that failed."""
    lines = Path(str(creds)).read_bytes().splitlines()
    for line, after in itertools.pairwise(lines):
        if marker in line and after and not after.startswith(b"-"):
            return bytearray(after)
    raise errors.Error(f"the credentials file holds no {marker.decode().removeprefix('BEGIN ')}")
