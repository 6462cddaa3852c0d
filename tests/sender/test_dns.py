"""Look-ups: kept for a while, asked once at a time, and a failure is kept only briefly."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest

from sidecar.adapters.dns import CachedLookup, system_lookup

pytestmark = pytest.mark.anyio


class Names:
    """A scripted look-up that waits for `go` and counts."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = answers
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        await self.go.wait()
        if isinstance(answer, OSError):
            raise answer
        return answer


async def test_an_answer_is_kept() -> None:
    """Within `keep` seconds nobody is asked again; another port is another question."""
    names = Names(["192.0.2.1"], ["192.0.2.2"])
    lookup = CachedLookup(names, keep=60)
    assert [await lookup("a.test", 443) for _ in range(3)] == [["192.0.2.1"]] * 3
    assert await lookup("a.test", 80) == ["192.0.2.2"]
    assert names.asked == 2


async def test_an_old_answer_is_asked_for_again() -> None:
    """With nothing kept each call asks."""
    names = Names(["192.0.2.1"], ["192.0.2.2"])
    lookup = CachedLookup(names, keep=0)
    assert [await lookup("a.test", 443), await lookup("a.test", 443)] == [["192.0.2.1"], ["192.0.2.2"]]


async def test_many_callers_ask_once() -> None:
    """A hundred calls at once are one question."""
    names = Names(["192.0.2.1"])
    names.go.clear()
    lookup = CachedLookup(names)
    waiting = [asyncio.ensure_future(lookup("a.test", 443)) for _ in range(100)]
    await asyncio.sleep(0)
    names.go.set()
    assert await asyncio.gather(*waiting) == [["192.0.2.1"]] * 100
    assert names.asked == 1


async def test_a_cancelled_asker_does_not_fail_the_others() -> None:
    """When who asks is cancelled, its question goes on, and all others get the answer."""
    names = Names(["192.0.2.1"], ["192.0.2.2"])
    names.go.clear()
    lookup = CachedLookup(names)
    first, *others = [asyncio.ensure_future(lookup("a.test", 443)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    names.go.set()
    assert await asyncio.gather(*others) == [["192.0.2.1"]] * 4
    assert names.asked == 1


async def test_a_silent_dns_server_is_asked_once_at_a_time() -> None:
    """Callers that come and give up while a question has no answer ask no second one: each would hold a thread."""
    names = Names(["192.0.2.1"])
    names.go.clear()
    lookup = CachedLookup(names)
    for _ in range(20):
        caller = asyncio.ensure_future(lookup("a.test", 443))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        caller.cancel()
        assert isinstance((await asyncio.gather(caller, return_exceptions=True))[0], asyncio.CancelledError)
    names.go.set()
    assert await lookup("a.test", 443) == ["192.0.2.1"]
    assert names.asked == 1


async def test_names_without_an_answer_do_not_hold_up_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the system's resolver waits for the servers of some names, another name is resolved."""
    resolve, silent = socket.getaddrinfo, threading.Event()

    def resolver(host: str, port: int, **options: int) -> object:
        if host != "localhost":
            silent.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return resolve(host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    waiting = [asyncio.ensure_future(system_lookup(f"{n}.silent.test", 443)) for n in range(10)]
    try:
        assert await asyncio.wait_for(system_lookup("localhost", 443), 20)
    finally:
        silent.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in told] == [socket.gaierror] * 10


async def test_no_more_than_so_many_questions_at_once() -> None:
    """Further names wait for their turn."""
    names = Names(["192.0.2.1"])
    names.go.clear()
    lookup = CachedLookup(names, most=2)
    waiting = [asyncio.ensure_future(lookup(f"{n}.test", 443)) for n in range(5)]
    for _ in range(5):
        await asyncio.sleep(0)
    asked = names.asked
    names.go.set()
    assert await asyncio.gather(*waiting) == [["192.0.2.1"]] * 5
    assert asked == 2


async def test_a_failure_is_shared_and_soon_forgotten() -> None:
    """Each who waits for a failing look-up gets its error; after `keep_failure` seconds it is asked again."""
    names = Names(socket.gaierror(socket.EAI_NONAME, "unknown"), ["192.0.2.1"])
    lookup = CachedLookup(names, keep_failure=60)
    failed = await asyncio.gather(*(lookup("a.test", 443) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in failed] == [f"[Errno {socket.EAI_NONAME}] unknown"] * 3
    assert all(isinstance(error, socket.gaierror) for error in failed)
    assert len({id(error) for error in failed}) == 3
    assert names.asked == 1
    brief = CachedLookup(Names(OSError("unknown"), ["192.0.2.1"]), keep_failure=0)
    with pytest.raises(OSError, match="unknown"):
        await brief("a.test", 443)
    assert await brief("a.test", 443) == ["192.0.2.1"]


async def test_the_system_knows_this_machine() -> None:
    """The real look-up gives plain addresses, each once."""
    addresses = await system_lookup("localhost", 80)
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert len(addresses) == len(set(addresses)) > 0
