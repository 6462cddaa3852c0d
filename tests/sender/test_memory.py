"""What a hostile answer may take of our memory, measured in a process of its own."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from pathlib import Path

import pytest

from sidecar.model import Reason
from tests.sender.servers import Served, serving

pytestmark = pytest.mark.anyio
MEBIBYTE = 1024 * 1024
BOMB = gzip.compress(b"\0" * (200 * MEBIBYTE), compresslevel=1)


def packed(encoding: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (encoding, len(body), body)


# For each path: what is answered, how often it is repeated, and what the exchange must end in.
HOSTILE: dict[str, tuple[bytes, bytes, str]] = {
    "warm": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", b"", "200"),
    "whole": (packed(b"gzip\r\nConnection: close", gzip.compress(b"\0" * (4 * MEBIBYTE))), b"", "200"),
    "bomb": (packed(b"gzip", BOMB), b"", Reason.RESPONSE_TOO_LARGE),
    "twice": (packed(b"gzip, gzip", gzip.compress(BOMB)), b"", Reason.BAD_PROVIDER_RESPONSE),
    "members": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        gzip.compress(b"") * 999,
        Reason.RESPONSE_TOO_LARGE,
    ),
    "endless": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, Reason.RESPONSE_TOO_LARGE),
    "header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536, Reason.BAD_PROVIDER_RESPONSE),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 9999, Reason.BAD_PROVIDER_RESPONSE),
    "crumbs": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"2\r\nxx\r\n" * 9999,
        Reason.BAD_PROVIDER_RESPONSE,
    ),
    "trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
        b"a" * 65536,
        Reason.BAD_PROVIDER_RESPONSE,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-A: b\r\n" * 9999,
        Reason.BAD_PROVIDER_RESPONSE,
    ),
    "early": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, Reason.BAD_PROVIDER_RESPONSE),
}


async def hostile(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    path = (await served.request(reader)).split(b" ")[1][1:].decode()
    answer, again, _ = HOSTILE[path]
    writer.write(answer)
    while again:
        await writer.drain()
        writer.write(again)
    await writer.drain()
    if path not in {"warm", "whole"}:
        await reader.read()


async def test_hostile_answers_take_little_memory() -> None:
    """A bomb of 200 MB, endless headers, bodies, crumbs, trailers, 1xx: each adds at most 8 MiB; a body may have 4."""
    script = Path(__file__).with_name("memory.py")
    async with serving(hostile) as served:
        measured = await asyncio.create_subprocess_exec(
            sys.executable, str(script), served.url, *HOSTILE, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": "."}
        )
        output, _ = await measured.communicate()
    found = {path: (said, rise) for path, said, rise in json.loads(output)}
    assert {path: said for path, (said, _) in found.items()} == {path: end for path, (_, _, end) in HOSTILE.items()}
    rose = {path: rise for path, (_, rise) in found.items()}
    assert rose.pop("warm") < rose.pop("whole"), "a body that is kept must show in what is measured"
    assert max(rose.values()) <= 8 * MEBIBYTE, rose
