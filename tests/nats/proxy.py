"""A TCP proxy before a nats-server that fails as networks do: silent, half-open, reset, partitioned, garbled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: the close is an RST
CHUNK = 65_536


class Way(Enum):
    """A direction through the proxy, seen from the client."""

    OUT = auto()
    BACK = auto()


class _Pair:
    """One client's connection and ours to the server."""

    def __init__(self, client: StreamWriter, server: StreamWriter) -> None:
        self.client = client
        self.server = server
        self.passing = {way: asyncio.Event() for way in Way}
        for event in self.passing.values():
            event.set()

    async def pump(self, way: Way, source: StreamReader, sink: StreamWriter) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while data := await source.read(CHUNK):
                await self.passing[way].wait()
                sink.write(data)
                await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            sink.close()


class Proxy:
    """Listens on `port`. What is held back is not lost: it goes on when released, as TCP repeats what had no answer."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.accepted = 0
        self._target = target
        self._pairs: set[_Pair] = set()
        self._held_at_birth: tuple[Way, ...] = ()

    def hold(self, *ways: Way) -> None:
        """The connections that exist forward nothing in these directions; nothing is closed. New ones work."""
        for pair in self._pairs:
            for way in ways:
                pair.passing[way].clear()

    def partition(self) -> None:
        """No connection, old or new, forwards anything."""
        self._held_at_birth = tuple(Way)
        self.hold(*Way)

    def release(self) -> None:
        self._held_at_birth = ()
        for pair in self._pairs:
            for event in pair.passing.values():
                event.set()

    def reset(self) -> None:
        """RST to every client."""
        for pair in self._pairs:
            still_open = pair.client.get_extra_info("socket")
            with contextlib.suppress(OSError, AttributeError):  # closed meanwhile
                still_open.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            pair.client.transport.abort()
            pair.server.close()

    def inject(self, data: bytes) -> None:
        """Bytes to every client, as if from the server."""
        for pair in self._pairs:
            pair.client.write(data)

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        pair = _Pair(writer, server_writer)
        self._pairs.add(pair)
        for way in self._held_at_birth:
            pair.passing[way].clear()
        try:
            await asyncio.gather(
                pair.pump(Way.OUT, reader, server_writer),
                pair.pump(Way.BACK, server_reader, writer),
            )
        finally:
            self._pairs.discard(pair)


@asynccontextmanager
async def proxy_before(port: int) -> AsyncIterator[Proxy]:
    """A proxy before this port of loopback, until the block ends."""
    proxy = Proxy(port)
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(proxy.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.reset()
        proxy.release()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
