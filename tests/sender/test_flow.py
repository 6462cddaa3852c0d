"""Large bodies both ways, and connections that end on one side only: nothing is lost or waited for in vain."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from collections import Counter

import httpx
import pytest
from httptools import HttpResponseParser

from sidecar.adapters import http1_answer
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Failure, Reason, SideEffect
from tests.authority import Authority
from tests.sender.servers import OK, Served, answered, answering, failing, send, serving

pytestmark = pytest.mark.anyio
MEBIBYTE = 1024 * 1024
LARGE = bytes(range(256)) * (64 * 1024)  # 16 MiB: more than any socket or TLS buffer holds


def address(served: Served, *, tls: bool) -> str:
    return f"https://api.test:{served.port}/" if tls else served.url


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_large_bodies_come_and_go_whole(sender: Http1Sender, authority: Authority, *, tls: bool) -> None:
    """16 MiB there and back, to a server that reads in small pieces, arrive byte for byte, twice on one connection."""

    async def echo(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = bytearray()
            while len(body) < size:
                body += await reader.read(min(100_000, size - len(body)))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for at in range(0, size, MEBIBYTE):
                writer.write(body[at : at + MEBIBYTE])
                await writer.drain()

    async with serving(echo, authority.server_context("api.test") if tls else None) as served:
        for _ in range(2):
            request = httpx.Request("POST", address(served, tls=tls), content=LARGE)
            response = await answered(sender, request, within=30, max_body=len(LARGE))
            assert hashlib.sha256(response.content).digest() == hashlib.sha256(LARGE).digest()
    assert served.connections == 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_large_answer_lets_others_have_their_turn(
    sender: Http1Sender, authority: Authority, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    """However much has arrived, of one answer no more than half a MiB is read in one turn of the loop."""
    turn, read = 0, Counter[int]()

    class Counted(HttpResponseParser):
        def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # it takes more kinds
            read[turn] += len(data)
            super().feed_data(data)

    async def tick() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(http1_answer, "HttpResponseParser", Counted)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(LARGE), LARGE)
    ticking = asyncio.ensure_future(tick())
    async with serving(answering(answer), authority.server_context("api.test") if tls else None) as served:
        request = httpx.Request("GET", address(served, tls=tls))
        assert (await answered(sender, request, within=30, max_body=len(LARGE))).content == LARGE
    ticking.cancel()
    assert max(read.values()) <= MEBIBYTE // 2


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_server_that_never_reads_is_left_at_the_deadline(
    sender: Http1Sender, authority: Authority, *, tls: bool
) -> None:
    """A large body that nobody takes ends at the deadline: unknown, and the connection is cut."""
    cut = asyncio.Event()

    async def deaf(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport also reads
            await left.wait()
            writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
            while await reader.read(MEBIBYTE):
                pass
        finally:
            cut.set()

    left = asyncio.Event()
    async with serving(deaf, authority.server_context("api.test") if tls else None) as served:
        request = httpx.Request("POST", address(served, tls=tls), content=LARGE)
        failure = await failing(sender, request, within=0.5)
        left.set()
        await asyncio.wait_for(cut.wait(), 20)
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)


async def test_a_server_that_ends_while_we_write_is_told_at_once(sender: Http1Sender) -> None:
    """A server that closes its side while our body is on its way will not answer: known now, not at the deadline."""

    async def half(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport also reads
        writer.write_eof()
        await done.wait()

    done = asyncio.Event()
    async with serving(half) as served:
        failure = await failing(sender, httpx.Request("POST", served.url, content=LARGE), within=20)
        done.set()
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert "ended without an answer" in failure.detail


async def test_an_answer_before_the_end_of_our_body_is_taken(sender: Http1Sender) -> None:
    """An early answer and the end of the server's side behind it: the answer counts, the connection does not."""

    async def early(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport also reads
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        writer.write_eof()
        await done.wait()

    done = asyncio.Event()
    async with serving(early) as served:
        request = httpx.Request("POST", served.url, content=LARGE)
        for _ in range(2):
            response = await answered(sender, request, within=30)
            assert (response.status_code, response.extensions["reused"]) == (413, False)
        done.set()
    assert served.connections == 2


async def test_the_end_of_the_servers_side_ends_a_body_without_length(sender: Http1Sender) -> None:
    """A half close is the end of such a body; the rest of the connection is not waited for."""

    async def half(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall")
        writer.write_eof()
        await reader.read()

    async with serving(half) as served:
        response = await answered(sender, httpx.Request("GET", served.url), within=30)
    assert response.content == b"all"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_reset_while_we_write_is_unknown(sender: Http1Sender, authority: Authority, *, tls: bool) -> None:
    """A connection that breaks under our body: the server may have read all that it wanted."""

    async def resetting(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serving(resetting, authority.server_context("api.test") if tls else None) as served:
        request = httpx.Request("POST", address(served, tls=tls), content=LARGE)
        failure = await failing(sender, request, within=30)
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537])
async def test_head_and_body_leave_together_or_one_after_the_other(
    sender: Http1Sender, authority: Authority, *, size: int, tls: bool
) -> None:
    """Around the size up to which both are joined the request arrives whole."""

    async def counting(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            writer.write(OK)

    async with serving(counting, authority.server_context("api.test") if tls else None) as served:
        outcome = await send(sender, httpx.Request("POST", address(served, tls=tls), content=b"x" * size), within=30)
    assert not isinstance(outcome, Failure)
    assert served.requests[0].endswith(b"\r\n\r\n" + b"x" * size)
