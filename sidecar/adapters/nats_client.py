"""nats-py's client with its ways of dying closed. This file and `nats_bus.py` are the only ones that import nats-py.

Each override names the fault it closes; all were reproduced against nats-py 2.16.0 and nats-server 2.15.1. They touch
underscored methods because nats-py offers no other place; the version is pinned to 2.16 and tests provoke each fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nats import errors
from nats.aio.client import Client, Server, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol import parser

# nats-py splits a MSG line at any whitespace, the server only at space and tab. With \v or \f in a subject any agent
# could break our connection, or name another subscription as the receiver.
parser.MSG_RE = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
parser.HMSG_RE = re.compile(
    rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n"
)

# After these the server keeps the connection. https://docs.nats.io/reference/reference-protocols/nats-protocol#ok-err
HARMLESS = ("permissions violation", "invalid subject", "maximum subscriptions exceeded")
FIRST_DELAY = 0.05
MAX_DELAY = 2.0

_log = logging.getLogger(__name__)
_dice = random.SystemRandom()


class BusEvent(StrEnum):
    """What may happen to a connection."""

    DISCONNECTED = "disconnected"
    RECONNECTED = "reconnected"


@dataclass(slots=True)
class BusCounts:
    """What went wrong on the bus since the start, for metrics."""

    reconnects: int = 0
    callback_errors: int = 0
    malformed: int = 0
    slow_consumer_drops: int = 0
    permission_violations: int = 0


class Malformed(errors.Error):
    """A message that nats-py could not take apart; it was dropped."""


class ConnectionLog:
    """What nats-py reports, counted and logged. nats-py awaits these in its loops: none may raise or wait."""

    def __init__(self, on_event: Callable[[BusEvent], None] | None) -> None:
        self.counts = BusCounts()
        self.last_error: Exception | None = None
        self.up = asyncio.Event()
        self.closing = False
        self.refused: Callable[[], None] | None = None
        self._on_event = on_event

    async def error(self, error: Exception) -> None:
        self.last_error = error
        said, counts = plain(error), self.counts
        if isinstance(error, errors.SlowConsumerError):
            counts.slow_consumer_drops += 1
            _warn("dropped a message on %s: too many wait to be read", error.subject, counts.slow_consumer_drops)
        elif isinstance(error, Malformed):
            counts.malformed += 1
            _warn("%s", said, counts.malformed)
        elif "permissions violation" in said.lower():
            counts.permission_violations += 1
            _warn("the nats-server refused: %s", said, counts.permission_violations)
        elif self.refused and ("authorization" in said.lower() or isinstance(error, errors.SecureConnWantedError)):
            self.refused()
        else:
            _log.debug("nats: %s", said)

    async def disconnected(self) -> None:
        self.up.clear()
        if not self.closing:
            _log.warning("lost the connection to NATS; reconnecting")
            self._tell(BusEvent.DISCONNECTED)

    async def reconnected(self) -> None:
        self.up.set()
        self.counts.reconnects += 1
        _log.warning("connected to NATS again")
        self._tell(BusEvent.RECONNECTED)

    def _tell(self, event: BusEvent) -> None:
        try:
            if self._on_event is not None:
                self._on_event(event)
        except Exception:  # noqa: BLE001 - what leaks into nats-py ends the reconnecting
            self.counts.callback_errors += 1
            _log.exception("the callback for %s failed", event)


class SturdyClient(Client):
    """A client that reconnects for ever, whatever a peer or the server sends."""

    def __init__(self) -> None:
        super().__init__()
        self._handed_over: dict[int, Callable[[Msg], None]] = {}

    @property
    def unwritten(self) -> int:
        """Bytes published and not yet taken by the kernel: nats-py's own buffer and the transport's."""
        writer = getattr(self._transport, "_io_writer", None)
        size: int = writer.transport.get_write_buffer_size() if writer is not None else 0
        return self.pending_data_size + size

    def write_now(self) -> None:
        """Write what is published to the socket at once, without the loop turns until the flusher has its turn."""
        if self._pending_data_size and self.is_connected and self._transport is not None:
            self._transport.write(b"".join(self._pending))
            self._pending, self._pending_data_size = [], 0

    def hand_over(self, subscription: Subscription, callback: Callable[[Msg], None]) -> None:
        """Give the subscription's messages to the callback as they are read, not by a queue and a task of nats-py.
        The callback never raises.
        """
        self._handed_over[subscription._id] = callback  # noqa: SLF001 - nats-py tells it nowhere else

    def abandon(self) -> None:
        """Close the socket at once, and end the requests that wait: their replies cannot come any more."""
        for future in list(self._resp_map.values()):
            if not future.done():
                future.set_exception(errors.Error("the connection broke before the reply came"))
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]  # nats-py left it bare

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._handed_over.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

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

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """A subject that is not UTF-8 or a header block of one byte ended the read loop: such a message is dropped."""
        try:
            callback = self._handed_over.get(sid)
            if callback is None:
                await super()._process_msg(sid, subject, reply, data, headers)
            else:
                callback(self._build_message(sid, subject, reply, data, await self._process_headers(headers)))
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
        task = asyncio.current_task()
        if self.is_connected and not (task and task.cancelling()):
            await self._process_op_err(errors.Error("the read loop ended"))

    async def _attempt_reconnect(self) -> None:
        """An exception other than the three that nats-py expects left the client reconnecting for ever."""
        self.abandon()
        while not self.is_closed:
            try:
                await super()._attempt_reconnect()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may do
                await self._error_cb(error)
                await asyncio.sleep(MAX_DELAY)
            else:
                return

    def _connect_command(self) -> bytes:
        """A `tls://` URL went in clear, password and all, to a server that did not ask for TLS."""
        server = self._current_server
        if server is not None and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise errors.SecureConnWantedError
        return super()._connect_command()


def next_server(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    """The server that failed least, and a jittered wait: a cluster's clients do not come back all at once."""
    server = min(servers, key=lambda candidate: (candidate.reconnects, _dice.random()))
    return server, min(MAX_DELAY, FIRST_DELAY * 2 ** min(server.reconnects, 10)) * (0.5 + _dice.random())


def plain(error: BaseException | None) -> str:
    """What an exception of nats-py says, without its prefix and quotes."""
    if error is None:
        return ""
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__


def _warn(text: str, what: str, count: int) -> None:
    """One line at the 1st, 2nd, 4th, 8th ... time: an agent that repeats itself cannot fill the log."""
    if count & (count - 1) == 0:
        _log.warning(f"{text} (%d so far)", what, count)
