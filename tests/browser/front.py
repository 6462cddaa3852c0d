"""What stands before sidecars in production: TLS, and every request to another of them. Providers are reached through
it too, so that a test can keep a browser from getting there.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.certificate import make_certificate

HEAD = b"\r\n\r\n"


class Front:
    """Where it listens, and which backend each request went to, by its first line."""

    def __init__(self) -> None:
        self.url = ""
        self.backends: Sequence[str] = ()
        self.providers: dict[str, str] = {}
        self.held = False
        self.went: list[tuple[str, str]] = []
        self._turns = itertools.count()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request to the backend whose turn it is, which closes the connection after it."""
        try:
            head = await reader.readuntil(HEAD)
            first, _, rest = head.partition(b"\r\n")
            if first.startswith(b"GET /at/"):
                writer.write(self._onward(first.split()[1].decode()))
                return
            backend = self.backends[next(self._turns) % len(self.backends)]
            self.went.append((backend, first.decode().split("?")[0]))
            host, _, port = backend.rpartition(":")
            back_reader, back_writer = await asyncio.open_connection(host, int(port))
            back_writer.write(first + b"\r\nconnection: close\r\n" + _without_connection(rest))
            while answer := await back_reader.read(65_536):
                writer.write(answer)
            back_writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass  # a browser opens connections that it does not use
        finally:
            writer.close()

    def _onward(self, path: str) -> bytes:
        """To a provider; while browsers are held, one that is sent there stays where it is (204, RFC 9110)."""
        if self.held:
            return b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
        return f"HTTP/1.1 302 Found\r\nlocation: {self.at(path)}\r\nconnection: close\r\n\r\n".encode()

    def at(self, path: str) -> str:
        """What is behind `/at/<provider>/...`."""
        _, _, name, rest = path.split("/", 3)
        return f"{self.providers[name]}/{rest}"


@asynccontextmanager
async def front(folder: Path) -> AsyncIterator[Front]:
    """Listening from the start of the block; `backends` may be named later."""
    certificate, key = make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made = Front()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


def _without_connection(headers: bytes) -> bytes:
    lines = headers.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"connection:"))
