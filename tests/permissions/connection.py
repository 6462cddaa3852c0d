"""A connection that speaks the NATS protocol itself: every refusal of the server is seen, in order, nothing retried.

https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

REFUSED = re.compile(r"Permissions Violation for (Publish|Subscription) to \"([^\"]*)\"")
SECONDS = 30


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in: a user and password, or a JWT and what signs the server's nonce."""

    user: str = ""
    password: str = ""
    jwt: str = ""
    sign: Callable[[bytes], bytes] | None = None

    def connect(self, nonce: str) -> dict[str, object]:
        if self.sign is None:
            return {"user": self.user, "pass": self.password}
        signature = base64.urlsafe_b64encode(self.sign(nonce.encode())).rstrip(b"=").decode()
        return {"jwt": self.jwt, "sig": signature}


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message: where it was published, by which subscription it came, where an answer would go, and what it says.
    `status` is NATS's own.
    """

    subject: str
    subscription: int
    reply: str
    status: str
    payload: bytes


class Wire:
    """A logged-in connection. What it sends is taken in order; `settled` returns when all of it was."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrived: list[Arrived] = []
        self.refused: set[tuple[str, str]] = set()
        self.on_message: Callable[[Arrived], None] | None = None
        self.errors: list[str] = []
        self._reader = reader
        self._writer = writer
        self._pongs: list[asyncio.Future[None]] = []
        self._sids = 0

    def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        if headers is None:
            self._writer.write(f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n")
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        sizes = f"{len(head)} {len(head) + len(payload)}"
        self._writer.write(f"HPUB {subject} {reply} {sizes}\r\n".encode() + head + payload + b"\r\n")

    def subscribe(self, subject: str) -> int:
        self._sids += 1
        self._writer.write(f"SUB {subject} {self._sids}\r\n".encode())
        return self._sids

    async def settled(self) -> None:
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._writer.write(b"PING\r\n")
        async with asyncio.timeout(SECONDS):
            await pong

    def was_refused(self, verb: str, subject: str) -> bool:
        return (verb, subject) in self.refused

    async def read(self) -> None:
        """Take in what the server sends, until the end."""
        while line := await self._reader.readline():
            word, _, rest = line.decode().rstrip("\r\n").partition(" ")
            match word.upper():
                case "MSG" | "HMSG":
                    await self._message(rest.split(), headers=word.upper() == "HMSG")
                case "PING":
                    self._writer.write(b"PONG\r\n")
                case "PONG":
                    self._pongs.pop(0).set_result(None)
                case "-ERR":
                    self._refusal(rest)
        for pong in self._pongs:
            pong.set_exception(ConnectionError(f"the server closed the connection: {self.errors}"))

    async def _message(self, words: list[str], *, headers: bool) -> None:
        head = int(words.pop(-2)) if headers else 0
        size = int(words[-1])
        content = (await self._reader.readexactly(size + 2))[:size]
        status = content[:head].partition(b"\r\n")[0].decode().removeprefix("NATS/1.0").strip()
        message = Arrived(words[0], int(words[1]), words[2] if len(words) > 3 else "", status, content[head:])
        self.arrived.append(message)
        if self.on_message is not None:
            self.on_message(message)

    def _refusal(self, said: str) -> None:
        found = REFUSED.search(said)
        if found is None:
            self.errors.append(said)
        else:
            self.refused.add(("publish" if found[1] == "Publish" else "subscribe", found[2]))


@asynccontextmanager
async def connected(port: int, login: Login) -> AsyncIterator[Wire]:
    """A connection for as long as the block lasts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * 1024 * 1024)
    told = json.loads((await reader.readline()).partition(b" ")[2])
    options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1, "lang": "t"}
    writer.write(b"CONNECT " + json.dumps({**options, **login.connect(told.get("nonce", ""))}).encode() + b"\r\n")
    wire = Wire(reader, writer)
    reading = asyncio.create_task(wire.read())
    try:
        await wire.settled()
        yield wire
    finally:
        writer.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
