"""Servers for the tests of the sender: raw sockets that answer what a script says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.core.egress import parse_allow
from sidecar.model import Failure

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LIMIT = 1024 * 1024
LOOPBACK = parse_allow(["127.0.0.0/8"])


@dataclass
class Served:
    """What a server saw: its port, how many connections, and each request's bytes."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request's bytes, whole; raises IncompleteReadError when the client has gone."""
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            body = await reader.readuntil(b"0\r\n\r\n")
        else:
            _, found, rest = lower.partition(b"\r\ncontent-length:")
            body = await reader.readexactly(int(rest.split(b"\r\n")[0]) if found else 0)
        self.requests.append(head + body)
        self.asked.set()
        return head + body


Script = Callable[[Served, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """A server on a free loopback port that runs the script for each connection, then cuts it."""
    served = Served()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        served.writers.append(writer)
        # The client may be gone at any line of the script; uvloop says so of a closed transport with a RuntimeError.
        with suppress(asyncio.IncompleteReadError, OSError, RuntimeError, asyncio.CancelledError):
            await script(served, reader, writer)
        with suppress(Exception):
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context, backlog=1024, limit=2**20)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for writer in served.writers:
            with suppress(Exception):
                writer.transport.abort()
        await asyncio.sleep(0)
        await server.wait_closed()


def answering(*answers: bytes, close: bool = False) -> Script:
    """Answer each request with the next of the answers, the last one for ever; with `close`, end after each."""

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            writer.write(answers[min(len(served.requests), len(answers)) - 1])
            await writer.drain()
            if close:
                writer.close()
                await writer.wait_closed()
                return

    return script


def writing(parts: Sequence[bytes]) -> Script:
    """Answer one request in several segments, each handed to the kernel on its own, then hold the line."""

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            for _ in range(3):  # let the client's side of this loop read it before the next
                await asyncio.sleep(0)
        await reader.read()

    return script


async def resolve_to_loopback(host: str, port: int) -> list[str]:
    """A look-up under which every name is this machine."""
    return ["127.0.0.1"]


async def send(
    sender: Http1Sender, request: httpx.Request, *, within: float = 5.0, max_body: int = LIMIT
) -> httpx.Response | Failure:
    deadline = asyncio.get_running_loop().time() + within
    return await sender.send(request, deadline=deadline, max_body=max_body)


async def failing(
    sender: Http1Sender, request: httpx.Request, *, within: float = 5.0, max_body: int = LIMIT
) -> Failure:
    outcome = await send(sender, request, within=within, max_body=max_body)
    assert isinstance(outcome, Failure), outcome
    return outcome


async def answered(
    sender: Http1Sender, request: httpx.Request, *, within: float = 5.0, max_body: int = LIMIT
) -> httpx.Response:
    outcome = await send(sender, request, within=within, max_body=max_body)
    assert isinstance(outcome, httpx.Response), outcome
    return outcome
