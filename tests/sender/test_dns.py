"""Look-ups: kept for a while, asked once at a time, and a failure is kept only briefly."""

from __future__ import annotations

import asyncio
import socket
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
    """When who asks is cancelled, the next in line asks, and all others get its answer."""
    names = Names(["192.0.2.1"], ["192.0.2.2"])
    names.go.clear()
    lookup = CachedLookup(names)
    first, *others = [asyncio.ensure_future(lookup("a.test", 443)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    names.go.set()
    assert await asyncio.gather(*others) == [["192.0.2.2"]] * 4
    assert names.asked == 2


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
