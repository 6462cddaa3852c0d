"""A new connection is looked at before it is written to: what its server said or ended by then is no answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from typing import Self

import httpx
import pytest

from sidecar.adapters.http1_connect import AddressInfo
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Reason, SideEffect
from tests.authority import Authority
from tests.sender.servers import LOOPBACK, failing

pytestmark = pytest.mark.anyio
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


class Hasty:
    """A server that says or ends something by itself, some turns of the loop after a client has its socket."""

    def __init__(self, how: str, turns: int) -> None:
        self._how = how
        self._turns = turns
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listening, *self._peers):
            each.close()

    def open_socket(self, address: AddressInfo) -> socket.socket:
        server = self

        class Connected(socket.socket):
            """Is asked for its peer as soon as it is connected, and before the event loop has it."""

            def getpeername(self) -> object:
                server._after(server._turns)
                return super().getpeername()

        return Connected(*address[:3])

    def _after(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._after, turns - 1)
        else:
            self._meet(self._listening.accept()[0])

    def _meet(self, peer: socket.socket) -> None:
        self._peers.append(peer)
        match self._how:
            case "said":
                peer.sendall(POISON)
            case "ended":
                peer.shutdown(socket.SHUT_WR)
            case "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()

    def read(self) -> bytes:
        """What it was sent."""
        sent = b""
        for peer in self._peers:
            with suppress(OSError):
                sent += peer.recv(65_536, socket.MSG_DONTWAIT)
        return sent


@pytest.mark.parametrize("how", ["said", "ended", "reset"])
@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_server_that_is_done_before_it_was_asked_gets_no_request(how: str, turns: int) -> None:
    """Nothing is written to it, and the failure says so: what it said is not the answer (RFC 9112 section 9.2)."""
    with Hasty(how, turns) as server:
        sender = Http1Sender(allow=LOOPBACK, open_socket=server.open_socket)
        failure = await failing(sender, httpx.Request("POST", server.url, content=b"{}"))
        await sender.aclose()
        assert (failure.reason, failure.side_effect) == (Reason.CONNECT_FAILED, SideEffect.NONE)
        assert server.read() == b""


class WithTheHandshake(asyncio.Protocol):
    """A TLS server that speaks in the very segment that ends the handshake."""

    transport: asyncio.Transport

    def __init__(self, context: ssl.SSLContext) -> None:
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_side=True)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as streams have it
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._came.write(data)
        with suppress(ssl.SSLError):
            self._tls.do_handshake()
            self._tls.write(POISON)
        self.transport.write(self._goes.read())


async def test_what_came_with_the_handshake_is_no_answer(sender: Http1Sender, authority: Authority) -> None:
    """Over TLS too, what a server said before it was asked answers nothing, though the loop tells of it a turn late."""
    context = authority.server_context("api.test")
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the server has the last word
    server = await asyncio.get_running_loop().create_server(lambda: WithTheHandshake(context), "127.0.0.1", 0)
    request = httpx.Request("POST", f"https://api.test:{server.sockets[0].getsockname()[1]}/", content=b"{}")
    failure = await failing(sender, request)
    assert (failure.reason, failure.side_effect) == (Reason.CONNECT_FAILED, SideEffect.NONE)
    await sender.aclose()
    server.close()
    await server.wait_closed()
