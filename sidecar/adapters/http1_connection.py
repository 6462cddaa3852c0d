"""One connection to a provider: written to once per exchange, read into the answer that is awaited, else cut."""

from __future__ import annotations

import asyncio
from select import POLLIN, POLLOUT, poll
from time import monotonic

from sidecar.adapters.http1_answer import Answer

JOINED = 64 * 1024  # bytes of a request up to which head and body are written as one
MUCH = 64 * 1024  # bytes at once behind which others get their turn: libuv reads on up to 8 MB as long as there is some


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 as the client. `closed`: it can carry no exchange any more; `lost` is called at its end.

    `first_byte`: the moment (time.monotonic) at which something of the last answer came, 0.0 before.
    What a server says while nothing is awaited must not become the answer to the next request: that closes it.
    """

    __slots__ = ("_answer", "_clear", "_loop", "_socket", "_waiter", "closed", "first_byte", "transport")

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._socket: poll | None = None
        self._clear: list[tuple[int, int]] = []  # what `_socket` tells where nothing is to be read, and there is room
        self.closed = False
        self.first_byte = 0.0

    def ask(self, head: bytes, content: bytes, answer: Answer) -> asyncio.Future[None]:
        """Write a request; the future is done when its answer has ended. No await, and no exception but a defect."""
        self._answer = answer
        self.first_byte = 0.0
        waiter = self._waiter = self._loop.create_future()
        if len(content) <= JOINED:
            self.transport.write(head + content)
        else:
            self.transport.writelines((head, content))
        return waiter

    def is_writing(self) -> bool:
        """Whether bytes of a request have not been handed to the network yet."""
        return self.transport.get_write_buffer_size() > 0

    def is_clear(self) -> bool:
        """Whether another request may be written: nothing was said or ended, and there is room in the socket.

        The socket itself is asked: the loop may not have looked yet, TLS tells of an end turns of the loop late, and
        what TLS has encrypted and not sent is counted nowhere. Not for a new one with TLS: that says something too.
        """
        if self.closed or self.transport.is_closing():
            return False
        if self._socket is None:
            self._socket = poll()
            number = self.transport.get_extra_info("socket").fileno()
            self._socket.register(number, POLLIN | POLLOUT)
            self._clear = [(number, POLLOUT)]
        return self._socket.poll(0) == self._clear

    def cut(self) -> None:
        """End it at once: unsent bytes are discarded, and nothing more is read."""
        self.closed = True
        if self._answer is not None:
            self._answer.forget()
            self._answer = self._waiter = None
        self.transport.abort()

    def break_off(self, error: Exception) -> None:
        """End it at once, and the exchange on it with this error."""
        self._ended(error)
        self.cut()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as streams have it
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.cut()
            return
        if not self.first_byte:
            self.first_byte = monotonic()
        try:
            ended = answer.feed(data)
        except Exception as error:  # noqa: BLE001 - who waits is told; the loop would only log it
            self._tell(error)
        else:
            if ended:
                self._tell(None)
            elif len(data) >= MUCH:
                self.transport.pause_reading()
                self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.closed and not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self) -> None:
        """The server says no more; what it says by that is known now, not when our own bytes have left."""
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self.lost()

    def lost(self) -> None:
        """It has ended, whoever ended it; for whoever keeps it."""

    def _ended(self, error: Exception | None) -> None:
        self.closed = True
        if self._answer is not None:
            self._answer.end(error)
            self._tell(None)

    def _tell(self, defect: Exception | None) -> None:
        answer, waiter = self._answer, self._waiter
        self._answer = self._waiter = None
        if answer is not None:
            answer.forget()
        if waiter is None or waiter.done():  # who waited was cancelled
            return
        if defect is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(defect)
