"""Connections to providers, kept alive and bounded: lent for one exchange, then given back (`keep`) or cut (`drop`).

Who waits for one is served in order within an origin, and origins take turns. Nothing here awaits between reading and
writing who has what, so no lock is needed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic

import httpx

from sidecar.adapters.http1_connect import Connector, Key, Origin
from sidecar.adapters.http1_connection import Connection
from sidecar.model import Failure, Reason

IDLE_MARGIN = 1.0  # seconds: a server that told us when it closes may do so while our request is under way
CLOSING = 2.0  # seconds that closing may take
SWEEP = 1.0  # seconds between two looks at what is idle


class Line:
    """All that leads to one origin. `slots`: connections that are lent, idle or being opened."""

    __slots__ = ("idle", "origin", "slots", "waiting")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.slots = 0
        self.idle: dict[Pooled, None] = {}  # the longest idle first
        self.waiting: deque[asyncio.Future[Pooled | None]] = deque()  # for a connection, or for a slot to open one


class Pooled(Connection):
    """A connection with its place. It may be lent again `until` a moment of time.monotonic."""

    __slots__ = ("line", "pool", "reused", "until")

    def __init__(self, pool: Pool, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.pool = pool
        self.line = line
        self.reused = False
        self.until = 0.0

    def lost(self) -> None:
        self.pool.lost(self)


class Pool:
    """At most `total` connections, `per_host` to one origin; idle ones are closed after `keep_alive` seconds.

    To be made inside a running event loop.
    """

    def __init__(self, connector: Connector, *, per_host: int, total: int, keep_alive: float) -> None:
        self._connector = connector
        self._per_host = per_host
        self._total = total
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._lines: dict[Key, Line] = {}
        self._hungry: dict[Line, None] = {}  # those where somebody waits; who was served last stands last
        self._slots = 0
        self._open: set[Pooled] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self.closed = False

    def origin(self, url: httpx.URL) -> Origin | Failure:
        """The origin of a URL, or why it may not be called."""
        return self._connector.origin(url)

    def idle(self, origin: Origin) -> Pooled | None:
        """A kept connection to the origin, if there is one that may still be used."""
        line = self._lines.get(origin.key)
        while line is not None and line.idle:
            connection, _ = line.idle.popitem()
            if monotonic() < connection.until and connection.is_clear():
                return connection
            self.drop(connection)
        return None

    async def take(self, origin: Origin) -> Pooled | Failure:
        """A connection to the origin, kept alive or new; waits while all are lent. On failure nothing was sent."""
        if self.closed:
            return _closed()
        connection = self.idle(origin)
        if connection is not None:
            return connection
        line = self._lines.get(origin.key)
        if line is None:
            line = self._lines[origin.key] = Line(origin)
        if self._has_room(line):
            self._reserve(line)
        else:
            connection = await self._turn(line)
            if connection is not None:
                if connection.is_clear():
                    return connection
                connection.cut()  # its slot is for the one that takes its place
        return await self._new(line)

    def keep(self, connection: Pooled, idle: float | None = None) -> None:
        """Give back a connection that may serve again; `idle` is how long its server said to keep it."""
        if connection.is_writing():  # an answer that came before its request was read
            self.drop(connection)
            return
        connection.reused = True
        seconds = self._keep_alive if idle is None else min(self._keep_alive, idle - IDLE_MARGIN)
        connection.until = monotonic() + seconds
        self.put_back(connection)

    def drop(self, connection: Pooled) -> None:
        """Cut a connection at once: unsent bytes are discarded, and nothing more is read."""
        connection.cut()
        self._release(connection.line)

    def lost(self, connection: Pooled) -> None:
        """A connection has ended; one that is lent is still to be given back."""
        self._open.discard(connection)
        if connection in connection.line.idle:
            del connection.line.idle[connection]
            self._release(connection.line)
        if self._empty is not None and not self._open and not self._empty.done():
            self._empty.set_result(None)

    async def aclose(self) -> None:
        """Cut every connection. Exchanges that still run end in a failure that says what is known."""
        self.closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._connector.stop()
        while self._hungry:
            self._serve(next(iter(self._hungry)), None)  # each learns at its turn that it is over
        self._empty = self._loop.create_future()
        for connection in tuple(self._open):
            connection.break_off(ConnectionAbortedError("the sender was closed"))
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._empty

    async def _new(self, line: Line) -> Pooled | Failure:
        """A new connection, in a slot that is reserved."""
        opened: Pooled | Failure = _closed()
        try:
            if not self.closed:
                opened = await self._connector.open(line.origin, lambda: Pooled(self, line, self._loop))
        finally:
            if isinstance(opened, Failure):
                self._release(line)
        if self.closed:
            if isinstance(opened, Pooled):
                self.drop(opened)
            return _closed()
        if isinstance(opened, Pooled):
            # Not before: uvloop ends an opening that is cancelled without telling the connection that came about in it.
            self._open.add(opened)
            opened.until = monotonic() + self._keep_alive
        return opened

    async def _turn(self, line: Line) -> Pooled | None:
        """Wait for one's turn: a connection that was given back, or None with a slot to open one."""
        waiter: asyncio.Future[Pooled | None] = self._loop.create_future()
        line.waiting.append(waiter)
        self._hungry[line] = None
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._leave(line, waiter)
            elif (connection := waiter.result()) is None:  # its turn came, and so did the cancellation
                self._release(line)
            else:
                self.put_back(connection)
            raise

    def _leave(self, line: Line, waiter: asyncio.Future[Pooled | None]) -> None:
        if waiter in line.waiting:
            line.waiting.remove(waiter)
        if not line.waiting:
            self._hungry.pop(line, None)
            self._forget(line)

    def put_back(self, connection: Pooled) -> None:
        """Give back a connection as it was taken: to whose turn it is, or to be kept."""
        line = connection.line
        for hungry in tuple(self._hungry):
            if connection.closed or (hungry is not line and hungry.slots < self._per_host):
                break  # it has to make room
            if hungry is line and self._serve(line, connection):
                return
        else:
            if not connection.closed:
                line.idle[connection] = None
                if self._sweeping is None:
                    self._sweeping = self._loop.call_later(SWEEP, self._sweep)
                return
        self.drop(connection)

    def _release(self, line: Line) -> None:
        """One slot less: the next whom that helps may open a connection."""
        line.slots -= 1
        self._slots -= 1
        for hungry in tuple(self._hungry):
            if self._has_room(hungry) and self._serve(hungry, None):
                break
        self._forget(line)

    def _serve(self, line: Line, connection: Pooled | None) -> bool:
        """Hand the first who waits a connection, or a slot of its own; whether somebody was there."""
        del self._hungry[line]
        served = False
        while line.waiting and not served:
            waiter = line.waiting.popleft()
            if not waiter.done():  # else it was cancelled, and does not know yet
                served = True
                if connection is None:
                    self._reserve(line)
                waiter.set_result(connection)
        if line.waiting:
            self._hungry[line] = None
        return served

    def _has_room(self, line: Line) -> bool:
        return line.slots < self._per_host and (self._slots < self._total or self._evict())

    def _reserve(self, line: Line) -> None:
        line.slots += 1
        self._slots += 1

    def _evict(self) -> bool:
        """Cut an idle connection to make room; whether there was one."""
        for line in self._lines.values():
            if line.idle:
                self._cut(next(iter(line.idle)))
                return True
        return False

    def _cut(self, idle: Pooled) -> None:
        """Cut an idle connection, for whose slot nobody waits."""
        del idle.line.idle[idle]
        idle.cut()
        idle.line.slots -= 1
        self._slots -= 1
        self._forget(idle.line)

    def _forget(self, line: Line) -> None:
        if not line.slots and not line.waiting:
            self._lines.pop(line.origin.key, None)

    def _sweep(self) -> None:
        """Close what was idle for too long."""
        now = monotonic()
        for connection in [idle for line in self._lines.values() for idle in line.idle if idle.until <= now]:
            self._cut(connection)
        again = any(line.idle for line in self._lines.values())
        self._sweeping = self._loop.call_later(SWEEP, self._sweep) if again else None


def _closed() -> Failure:
    return Failure(reason=Reason.SHUTTING_DOWN, detail="the sender was closed before the request was sent")
