"""A gate before a provider, where requests to its token endpoint wait: for a process to be killed, say.

Before the provider: it has not seen the refresh token. Behind it: the token is spent, and nobody has the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import httpx

from tests.auth_real.exchange import Answer, Asked, serving

TOKEN_PATH = "/token"
DROPPED = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding", "content-encoding"}


class Side(Enum):
    """Where requests wait: before the provider has them, or behind it with its answer."""

    BEFORE = auto()
    BEHIND = auto()


@dataclass
class Waiting:
    """A request that waits. `port` is its client's."""

    port: int
    body: bytes
    _goes: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False

    def release(self) -> None:
        """It goes on."""
        self._goes.set()

    def drop(self) -> None:
        """It is lost: nothing more of it goes either way, and its connection is closed."""
        self.dropped = True
        self._goes.set()

    async def goes(self) -> bool:
        await self._goes.wait()
        return not self.dropped


class Gate:
    """Passes everything on; token requests wait while it is shut."""

    def __init__(self, target: str) -> None:
        self.port = 0
        self.waiting: list[Waiting] = []
        self.passed = 0  # token requests that came
        self._target = target
        self._shut: Side | None = None
        self._news = asyncio.Event()
        self._client = httpx.AsyncClient(trust_env=False, timeout=60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def shut(self, side: Side) -> None:
        self._shut = side

    def open(self) -> None:
        """Token requests pass from now on; those that wait go on waiting."""
        self._shut = None

    async def has(self, number: int, seconds: float = 30) -> list[Waiting]:
        """The requests that wait, once there are so many."""
        async with asyncio.timeout(seconds):
            while len(self.waiting) < number:
                self._news.clear()
                await self._news.wait()
        return list(self.waiting)

    async def answer(self, asked: Asked) -> Answer | None:
        if asked.path != TOKEN_PATH:
            return await self._forwarded(asked)
        self.passed += 1
        side = self._shut
        if side is Side.BEFORE and not await self._wait(asked):
            return None
        answer = await self._forwarded(asked)
        if side is Side.BEHIND and not await self._wait(asked):
            return None
        return answer

    async def _wait(self, asked: Asked) -> bool:
        waiting = Waiting(asked.peer, asked.body)
        self.waiting.append(waiting)
        self._news.set()
        try:
            return await waiting.goes()
        finally:
            self.waiting.remove(waiting)

    async def _forwarded(self, asked: Asked) -> Answer:
        headers = {name: value for name, value in asked.headers.items() if name not in DROPPED}
        url = self._target + asked.path
        answer = await self._client.request(asked.method, url, headers=headers, content=asked.body)
        kept = {name: value for name, value in answer.headers.items() if name not in DROPPED}
        return Answer(answer.status_code, answer.content, kept)

    async def aclose(self) -> None:
        for waiting in self.waiting:
            waiting.drop()
        await self._client.aclose()


@asynccontextmanager
async def gate_before(target: str) -> AsyncIterator[Gate]:
    """A gate that is open."""
    gate = Gate(target)
    async with serving(gate.answer) as gate.port:
        try:
            yield gate
        finally:
            await gate.aclose()


def owner_of(port: int, pids: list[int]) -> int | None:
    """Which of these processes has a TCP connection from this local port (Linux; proc_pid_fd(5), proc_net_tcp)."""
    inodes = {
        f"socket:[{words[9]}]"
        for words in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if int(words[1].rpartition(":")[2], 16) == port
    }
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(link.readlink()) in inodes:
                    return pid
            except OSError:  # closed meanwhile
                continue
    return None
