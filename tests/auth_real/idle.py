"""Many sidecars with little to do and many connections: what one expiry round writes, and what a connection weighs."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs

from tests.auth_real.exchange import Answer, Asked, serving
from tests.auth_real.fleet import Fleet, fleet
from tests.auth_real.scene import Scene
from tests.figure import Figure, at_most, equal, told

LIFE = 3600.0
OVER = -1.0
AT_ONCE = 200
WRITES = 5
JSON = {"content-type": "application/json"}
KIB = 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
T = TypeVar("T")


class Rotating:
    """A provider that rotates refresh tokens, in memory; a second use of one is counted. The strict server keeps a
    thousand things at once, which is too few for this.
    """

    def __init__(self) -> None:
        self.refreshes = self.refused = self.rejected = 0
        self._refresh: dict[str, str] = {}
        self._access: dict[str, str] = {}

    def allow(self, name: str) -> tuple[str, str]:
        """The first tokens of a connection: access and refresh."""
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._access[access] = name
        self._refresh[refresh] = name
        return access, refresh

    async def answer(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            return self._renewed(parse_qs(asked.body.decode())["refresh_token"][0])
        name = self._access.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        if name is None:
            self.rejected += 1
            return Answer(401, b'{"error":"invalid_token"}', JSON)
        return Answer(200, json.dumps({"sub": name}).encode(), JSON)

    def _renewed(self, token: str) -> Answer:
        name = self._refresh.pop(token, None)
        if name is None:
            self.refused += 1
            return Answer(400, b'{"error":"invalid_grant"}', JSON)
        self.refreshes += 1
        access, refresh = self.allow(name)
        body = {"access_token": access, "refresh_token": refresh, "expires_in": LIFE, "token_type": "Bearer"}
        return Answer(200, json.dumps(body).encode(), JSON)


async def idle_sidecars(scene: Scene) -> list[Figure]:
    counts, provider = scene.counts, Rotating()
    async with serving(provider.answer) as port, fleet(scene.folder / "fleet") as here:
        names = [f"u{number}" for number in range(counts.idle_connections)]
        url = f"http://127.0.0.1:{port}"
        await _in_parallel(names, lambda name: here.put(name, url, *provider.allow(name), LIFE))
        began = time.perf_counter()
        first = await here.member()
        start = time.perf_counter() - began
        await here.call(names[0])
        before = _rss(first.child.pid)
        failed = sum(await _in_parallel(names, lambda name: _fails(here, name)))
        weight = (_rss(first.child.pid) - before) / len(names)
        await here.grow(counts.idle_members - 1)
        await _in_parallel(names, lambda name: here.put(name, url, *provider.allow(name), OVER))
        writes = await here.store_writes()
        began = time.perf_counter()
        failed += sum(await _in_parallel(names, lambda name: _fails(here, name)))
        seconds = time.perf_counter() - began
        written = await here.store_writes() - writes
        rss = [_rss(pid) / KIB / KIB for pid in here.pids]
        return [
            told("sidecars and connections", f"{counts.idle_members} and {len(names)}"),
            equal("refreshes of one expiry round", provider.refreshes, len(names)),
            at_most("store writes for each", written / max(1, provider.refreshes), WRITES),
            equal("refresh tokens used twice", provider.refused, 0),
            equal("failed calls", failed, 0),
            told("the round took", f"{seconds:.1f} s"),
            told("memory of a cached connection", f"{weight / KIB:.2f} KiB"),
            told("memory of a sidecar after it", f"{min(rss):.0f} to {max(rss):.0f} MiB"),
            told("start until it serves", f"{start:.2f} s, with all other processes of this machine beside it"),
        ]


async def _in_parallel(names: Sequence[str], act: Callable[[str], Awaitable[T]]) -> list[T]:
    """Each name's act, so many at once; in no order."""
    left, done = iter(names), list[T]()

    async def one() -> None:
        for name in left:
            done.append(await act(name))

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return done


async def _fails(here: Fleet, name: str) -> bool:
    return (await here.call(name)).reason is not None


def _rss(pid: int) -> int:
    """Bytes in memory (proc_pid_statm(5))."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
