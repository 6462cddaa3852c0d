"""Addresses of a host name: asked from the system, kept for a few seconds, and never asked twice at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import Protocol

import msgspec

MOST_KEPT = 1024


class Lookup(Protocol):
    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host name, the preferred one first. Raises OSError."""


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says (hosts file, DNS), in its order of preference (RFC 6724).

    In a thread of its own, which goes on when who asked is cancelled. The loop's getaddrinfo has two threads in uvloop:
    with three questions to silent DNS servers no other name was resolved for ten seconds.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Sequence[str]] = loop.create_future()

    def tell(addresses: Sequence[str], error: Exception | None) -> None:
        if told.done():  # who asked was cancelled
            return
        if error is None:
            told.set_result(addresses)
        else:
            told.set_exception(error)

    def ask() -> None:
        addresses: Sequence[str] = ()
        problem: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            problem = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, addresses, problem)

    Thread(target=ask, name="look-up", daemon=True).start()
    return await told


class _Answer(msgspec.Struct, frozen=True):
    until: float
    addresses: Sequence[str] = ()
    error: OSError | None = None


class CachedLookup:
    """A look-up whose answers are kept for `keep` seconds, failures for `keep_failure`.

    Of many callers that want one host at once, one asks and the others wait for its answer. A question goes on when all
    of them have left, so that a silent DNS server is asked once at a time; `most` are under way at once.
    """

    def __init__(self, lookup: Lookup, *, keep: float = 10.0, keep_failure: float = 1.0, most: int = 64) -> None:
        self._lookup = lookup
        self._keep = keep
        self._keep_failure = keep_failure
        self._room = asyncio.Semaphore(most)
        self._answers: dict[tuple[str, int], _Answer] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[_Answer]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """As `Lookup`."""
        key = (host, port)
        answer = self._kept(key)
        if answer is None:
            asking = self._asking.get(key)
            if asking is None:
                asking = self._asking[key] = asyncio.create_task(self._ask(key))
            answer = await asyncio.shield(asking)
        if answer.error is not None:
            raise type(answer.error)(*answer.error.args)
        return answer.addresses

    def _kept(self, key: tuple[str, int]) -> _Answer | None:
        answer = self._answers.get(key)
        return answer if answer is not None and asyncio.get_running_loop().time() < answer.until else None

    async def _ask(self, key: tuple[str, int]) -> _Answer:
        loop = asyncio.get_running_loop()
        try:
            async with self._room:
                addresses = await self._lookup(*key)
            answer = _Answer(loop.time() + self._keep, addresses)
        except OSError as error:
            answer = _Answer(loop.time() + self._keep_failure, error=error)
        finally:
            del self._asking[key]
        if len(self._answers) >= MOST_KEPT:
            self._answers.clear()
        self._answers[key] = answer
        return answer
