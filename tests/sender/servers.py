"""Servers for the tests of the sender: raw sockets that answer what a script says, and a certificate authority."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


class Authority:
    """A certificate authority made for one test run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = (
            self._builder(self._name).add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        )

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this authority and no other."""
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        context = ssl.create_default_context(cadata=pem)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def server_context(self, *hosts: str, expired: bool = False) -> ssl.SSLContext:
        """A context that shows a certificate for these host names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        builder = self._builder(x509.Name([]), key, days=-1 if expired else 2)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        path = self._folder / f"{hosts[0]}{'-expired' if expired else ''}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey | None = None, days: int = 2
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key((key or self._key).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
        )
