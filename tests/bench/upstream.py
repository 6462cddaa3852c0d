"""The API that a benchmark calls: HTTP/1.1 over TLS, one small JSON answer, as fast as one process can.

Run as `python -m tests.bench.upstream CERT KEY [DELAY_MS]`; prints its port and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop

BODY = b'{"number":812,"title":"Login fails on Safari","state":"open","labels":["bug","web"],"comments":0}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Exchange(asyncio.Protocol):
    """Answers each request once its head and body are in. No pipelining is needed, so none is done."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream server gives one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(ANSWER)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def serve(certificate: str, key: str, delay: float) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Exchange(delay), "127.0.0.1", 0, ssl=context, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.0))
