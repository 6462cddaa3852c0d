"""HTTP/1.1 as a server sees it, and no more of it than the servers of these tests need."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import NamedTuple


class Asked(NamedTuple):
    """One request. `peer` is the client's port; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: int


class Answer(NamedTuple):
    """One response; None in its place closes the connection without a byte."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


Answering = Callable[[Asked], Awaitable[Answer | None]]


@asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[int]:
    """Answers on a loopback port, which it gives, until the block ends."""
    writers: set[StreamWriter] = set()

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while (asked := await _read(reader, writer)) and (answer := await answering(asked)):
                writer.write(_written(answer))
                await writer.drain()
        writers.discard(writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    try:
        port: int = server.sockets[0].getsockname()[1]
        yield port
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def _read(reader: StreamReader, writer: StreamWriter) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, body, writer.get_extra_info("peername")[1])


def _written(answer: Answer) -> bytes:
    headers = {**answer.headers, "content-length": str(len(answer.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} x\r\n{lines}\r\n".encode("latin-1") + answer.body
