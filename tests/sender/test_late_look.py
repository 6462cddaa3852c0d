"""An answer that was there before anybody had time to look at it: it is told, whatever the clock shows by then."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time

import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from tests.fixtures_nats import frozen
from tests.processes import line, process

pytestmark = pytest.mark.anyio

BUSY = 0.3  # seconds for which the loop has no time for anybody
LEFT = 0.1  # seconds that the exchange has


def answering_at_once(answer: bytes) -> tuple[threading.Thread, int]:
    """A server in a thread of its own: it answers while our loop stands still."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listening, listening.accept()[0] as peer:
            peer.recv(65_536)
            peer.sendall(answer)
            peer.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread, listening.getsockname()[1]


async def stand_still_between(reading: int, writing: int) -> None:
    """Keep the loop from everything until the answer is there; then once more, in the turn in which it is read."""
    loop = asyncio.get_running_loop()

    def again() -> None:
        os.read(reading, 1)
        loop.remove_reader(reading)
        time.sleep(BUSY)

    loop.add_reader(reading, again)
    await asyncio.sleep(0)  # the request leaves
    os.write(writing, b".")
    time.sleep(LEFT / 4)  # noqa: ASYNC251  # the loop stands still: that is the point


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, id="whole"),
        pytest.param(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, id="a refusal"),
    ],
)
async def test_what_came_in_time_is_told(sender: Http1Sender, answer: bytes, status: int) -> None:
    """The loop was busy, and the deadline passed before the exchange had its turn."""
    thread, port = answering_at_once(answer)
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()
    request = httpx.Request("GET", f"http://127.0.0.1:{port}/")

    asked = asyncio.Event()

    async def busy() -> None:
        await asked.wait()
        await stand_still_between(reading, writing)

    def may_send() -> bool:
        asked.set()
        return True

    request.extensions["may_send"] = may_send
    keeping_busy = asyncio.ensure_future(busy())
    outcome = await sender.send(request, deadline=loop.time() + LEFT, max_body=100)
    await keeping_busy
    assert isinstance(outcome, httpx.Response), outcome
    assert outcome.status_code == status
    await sender.aclose()
    thread.join(5)
    for end in (reading, writing):
        os.close(end)


PAUSED = f"""
import asyncio, sys, httpx, uvloop
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.core.egress import parse_allow

async def main():
    sender = Http1Sender(allow=parse_allow(["127.0.0.1"]))
    request = httpx.Request("GET", sys.argv[1])
    outcome = await sender.send(request, deadline=asyncio.get_running_loop().time() + {BUSY}, max_body=100)
    print(outcome.content.decode() if isinstance(outcome, httpx.Response) else outcome.reason)

uvloop.run(main())
"""


async def test_what_came_while_the_process_stood_still_is_told() -> None:
    """It was paused, as with a machine, and goes on: its deadline has passed, and the answer lies in the socket."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        async with frozen(child.pid):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await asyncio.sleep(2 * BUSY)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with process(sys.executable, "-c", PAUSED, url) as child:
            assert await line(child) == b"ok\n"
