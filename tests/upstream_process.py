"""The counting upstream itself: an HTTP/1.1 server that notes every request, and behaves as it is told.

`POST /items` with a `title` does something, once for each request that is not refused; `GET /items/<title>` tells
whether it was done; any other path answers and does nothing. `?units=5` says what a request costs.

Run as `python -m tests.upstream_process LOG [CERTIFICATE KEY]`: prints its port; each line that it reads is a
behaviour, which it takes on and then answers with a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import uvloop

from tests.limiter import Limiter
from tests.upstream import Arrived, Behaviour, Ended, Entry, StoodStill, encode

TICK = 0.005
STOOD_STILL = 0.015
NICE = -10


class Desk:
    """What the connections share: the behaviour, the log, and what was done."""

    def __init__(self, log: int) -> None:
        self.behaviour = Behaviour()
        self.done: dict[str, int] = {}
        self.dice = random.Random(0)
        self._log = log
        self._number = 0
        self._limiters: list[Limiter] = []
        self._answers: dict[str, tuple[int, bytes]] = {}
        self.under_way = 0

    def take_on(self, behaviour: Behaviour) -> None:
        """Limits that stay as they were go on as they stand."""
        if behaviour.limits != self.behaviour.limits:
            self._limiters = [limit.limiter() for limit in behaviour.limits]
        self.behaviour = behaviour

    def write(self, entry: Entry) -> None:
        os.write(self._log, encode(entry) + b"\n")

    def receive(self, port: int, method: str, target: str, head: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Decide, do, note: the number of the request, and its answer."""
        url = urlsplit(target)
        units = float(parse_qs(url.query).get("units", ["1"])[0])
        title = _title(method, url.path, body)
        key = head.get("idempotency-key")
        self._number += 1
        now = time.monotonic()
        status, headers, did, answer = self._decided(now, method, units, title, key if self.behaviour.keys else None)
        arrived = Arrived(
            number=self._number,
            at=now,
            port=port,
            method=method,
            path=url.path,
            status=status,
            units=units,
            title=title,
            key=key,
            account=head.get("authorization"),
            did=did,
        )
        self.write(arrived)
        return self._number, _written(status, headers, answer)

    def _decided(
        self, now: float, method: str, units: float, title: str | None, key: str | None
    ) -> tuple[int, dict[str, str], bool, bytes]:
        behaviour = self.behaviour
        if behaviour.at_once is not None and self.under_way >= behaviour.at_once:
            return 429, {"Retry-After": "1"}, False, b'{"error":"too many at once"}'
        wait = max((limiter.wait(now, units) for limiter in self._limiters), default=0.0)
        if wait > 0:
            told = {"Retry-After": str(int(wait) + 1), "X-Retry-After-Ms": str(int(wait * 1000) + 1)}
            return 429, told, False, b'{"error":"too many"}'
        for limiter in self._limiters:
            limiter.take(now, units)
        if self.dice.random() < behaviour.fail:
            return behaviour.status, {}, False, b'{"error":"failing"}'
        if key is not None and key in self._answers:
            status, answer = self._answers[key]
            return status, {}, False, answer
        if method == "POST" and title is not None:
            self.done[title] = self.done.get(title, 0) + 1
            answer = msgspec.json.encode({"id": self._number, "title": title})
            if key is not None:
                self._answers[key] = 201, answer
            return 201, {}, True, answer
        if title is not None and title not in self.done:
            return 404, {}, False, b'{"error":"no such item"}'
        return 200, {}, False, msgspec.json.encode({"title": title})


class Connection(asyncio.Protocol):
    """HTTP/1.1 with bodies of a stated length. Nobody pipelines here: one request, one answer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._received = b""
        self._open: set[int] = set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream server gives one
        self._transport = transport
        self._port: int = transport.get_extra_info("peername")[1]

    def connection_lost(self, _error: Exception | None) -> None:
        for number in list(self._open):
            self._end(number, answered=False)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(body) < int(headers.get("content-length", "0")):
            return
        self._received = b""
        method, target, _ = first.split(" ")
        late = self._desk.behaviour.late
        _later(self._desk.dice.random() * late if late else 0.0, lambda: self._take(method, target, headers, body))

    def _take(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        desk, behaviour = self._desk, self._desk.behaviour
        number, answer = desk.receive(self._port, method, target, headers, body)
        self._open.add(number)
        desk.under_way += 1
        dice = desk.dice.random()
        if self._transport.is_closing():
            self._end(number, answered=False)
        elif dice < behaviour.lose:
            _later(behaviour.delay, self._transport.abort)
        elif dice >= behaviour.lose + behaviour.silent:
            _later(behaviour.delay, lambda: self._answer(number, answer))

    def _answer(self, number: int, answer: bytes) -> None:
        drip = self._desk.behaviour.drip
        if self._transport.is_closing():
            return
        if drip and len(answer) > 1:
            self._transport.write(answer[:1])
            _later(drip, lambda: self._answer(number, answer[1:]))
            return
        self._transport.write(answer)
        self._end(number, answered=True)

    def _end(self, number: int, *, answered: bool) -> None:
        self._open.discard(number)
        self._desk.under_way -= 1
        self._desk.write(Ended(number, time.monotonic(), answered))


def _later(seconds: float, act: Callable[[], None]) -> None:
    if seconds:
        asyncio.get_running_loop().call_later(seconds, act)
    else:
        act()


def _title(method: str, path: str, body: bytes) -> str | None:
    if not path.startswith("/items"):
        return None
    if method == "POST":
        asked = msgspec.json.decode(body or b"{}")
        return str(asked["title"]) if "title" in asked else None
    return unquote(path.removeprefix("/items").removeprefix("/")) or None


def _written(status: int, headers: dict[str, str], body: bytes) -> bytes:
    told = {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body


async def _watch(desk: Desk) -> None:
    """Note when this process did not run."""
    expected = time.monotonic() + TICK
    while True:
        await asyncio.sleep(TICK)
        now = time.monotonic()
        if now - expected > STOOD_STILL:
            desk.write(StoodStill(now, now - expected))
        expected = now + TICK


async def _serve(log: Path, certificate: tuple[str, ...]) -> None:
    with contextlib.suppress(PermissionError):  # moments are as good as this process is quick
        os.nice(NICE)
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    desk = Desk(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(desk), "127.0.0.1", 0, ssl=context, backlog=4096)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    watching = asyncio.create_task(_watch(desk))
    while line := await lines.readline():  # whoever started it has gone, where there is none
        desk.take_on(msgspec.json.decode(line, type=Behaviour))
        sys.stdout.write("\n")
        sys.stdout.flush()
    watching.cancel()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), tuple(sys.argv[2:4])))
