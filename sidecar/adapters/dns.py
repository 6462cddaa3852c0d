"""Addresses of a host name: asked from the system, kept for a few seconds, and never asked twice at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec

MOST_KEPT = 1024


class Lookup(Protocol):
    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host name, the preferred one first. Raises OSError."""


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says (hosts file, DNS), in its order of preference (RFC 6724)."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class _Answer(msgspec.Struct, frozen=True):
    until: float
    addresses: Sequence[str] = ()
    error: OSError | None = None


class CachedLookup:
    """A look-up whose answers are kept for `keep` seconds, failures for `keep_failure`.

    Of many callers that want one host at once, one asks and the others wait for its answer; when that one is
    cancelled, the next asks.
    """

    def __init__(self, lookup: Lookup, *, keep: float = 10.0, keep_failure: float = 1.0) -> None:
        self._lookup = lookup
        self._keep = keep
        self._keep_failure = keep_failure
        self._answers: dict[tuple[str, int], _Answer] = {}
        self._turns: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """As `Lookup`."""
        key = (host, port)
        answer = self._kept(key)
        if answer is None:
            turn = self._turns.get(key)
            if turn is None:
                turn = self._turns[key] = asyncio.Lock()
            async with turn:
                answer = self._kept(key) or await self._ask(key)
        if answer.error is not None:
            raise type(answer.error)(*answer.error.args)
        return answer.addresses

    def _kept(self, key: tuple[str, int]) -> _Answer | None:
        answer = self._answers.get(key)
        return answer if answer is not None and asyncio.get_running_loop().time() < answer.until else None

    async def _ask(self, key: tuple[str, int]) -> _Answer:
        loop = asyncio.get_running_loop()
        try:
            addresses = await self._lookup(*key)
            answer = _Answer(loop.time() + self._keep, addresses)
        except OSError as error:
            answer = _Answer(loop.time() + self._keep_failure, error=error)
        if len(self._answers) >= MOST_KEPT:
            self._answers.clear()
        self._answers[key] = answer
        return answer
