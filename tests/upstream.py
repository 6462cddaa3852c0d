"""The counting upstream: an API in a process of its own (`upstream_process.py`), told how to behave at any time.

Its log is the only source of counts. A request is in it before anything of its answer leaves, at the moment at which
all of it had come (seconds of time.monotonic, which all processes of a machine share).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from http import HTTPStatus
from pathlib import Path

import msgspec

from tests.limiter import Limit, Taken, most_at_once

PATIENCE = 30.0


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it does with requests. Shares are of all requests, 0 to 1; times in seconds.

    `fail`: answered with `status`, nothing done. `lose`: done, and the connection closed without an answer. `silent`:
    done, and never answered. `delay`: before the answer. `drip`: between two bytes of an answer. `late`: up to so long
    a request is under way before it counts as arrived, by dice. `limits`: all of them are kept; who comes beyond gets
    429 and when to come again. `at_once`: so many may be under way. `keys`: the first answer to an `Idempotency-Key`
    is every answer to it.
    """

    fail: float = 0.0
    status: int = 503
    lose: float = 0.0
    silent: float = 0.0
    delay: float = 0.0
    drip: float = 0.0
    late: float = 0.0
    limits: tuple[Limit, ...] = ()
    at_once: int | None = None
    keys: bool = False


class Arrived(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A request that came. `status` is what it is answered with, whether or not it is; `did`: something was done."""

    number: int
    at: float
    port: int
    method: str
    path: str
    status: int
    units: float = 1.0
    title: str | None = None
    key: str | None = None
    account: str | None = None
    did: bool = False


class Ended(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The end of that request here. `answered`: all of the answer was given to the kernel."""

    number: int
    at: float
    answered: bool = False


class StoodStill(msgspec.Struct, frozen=True, tag=True):
    """The process itself did not run for so long: what came meanwhile has a later moment than it should."""

    at: float
    seconds: float


Entry = Arrived | Ended | StoodStill
_entry = msgspec.json.Decoder(Entry)
encode = msgspec.json.Encoder().encode


class Log:
    """What is in the log so far."""

    def __init__(self, entries: list[Entry]) -> None:
        self.arrived = sorted((entry for entry in entries if isinstance(entry, Arrived)), key=lambda entry: entry.at)
        self._ended = {entry.number: entry.at for entry in entries if isinstance(entry, Ended)}
        self._stood = [entry for entry in entries if isinstance(entry, StoodStill)]

    @cached_property
    def done(self) -> Counter[str]:
        """How often each title was done."""
        return Counter(entry.title for entry in self.arrived if entry.did and entry.title is not None)

    @property
    def limited(self) -> int:
        return sum(entry.status == HTTPStatus.TOO_MANY_REQUESTS for entry in self.arrived)

    @property
    def most_at_once(self) -> int:
        """The most requests that were under way at one moment; one without an end is so for ever."""
        return most_at_once((entry.at, self._ended.get(entry.number, float("inf"))) for entry in self.arrived)

    @property
    def longest_stop(self) -> float:
        """Seconds for which the upstream itself stood still: the error of its moments."""
        return max((entry.seconds for entry in self._stood), default=0.0)

    def taken(self, since: float = 0.0, until: float = float("inf")) -> list[Taken]:
        """What came between two moments, as judges want it."""
        return [Taken(entry.at, entry.units) for entry in self.arrived if since <= entry.at < until]


class Upstream:
    """The process, as a test has it."""

    def __init__(self, child: Process, port: int, log: Path, scheme: str) -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self._child = child
        self._log = log

    async def become(self, behaviour: Behaviour) -> None:
        """Every request that comes after this is treated so."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(encode(behaviour) + b"\n")
        async with asyncio.timeout(PATIENCE):
            assert await self._child.stdout.readline()

    def log(self) -> Log:
        """All that came before now. A line that is being written is left for the next time."""
        whole = self._log.read_bytes().rpartition(b"\n")[0]
        return Log([_entry.decode(line) for line in whole.splitlines()])


@asynccontextmanager
async def upstream(
    folder: Path, behaviour: Behaviour | None = None, certificate: tuple[Path, Path] | None = None
) -> AsyncIterator[Upstream]:
    """An upstream that serves until the block ends; its log stays in the folder."""
    log = folder / f"upstream-{len(list(folder.glob('upstream-*')))}.log"
    words = [str(word) for word in (log, *(certificate or ()))]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.upstream_process"), *words, stdin=PIPE, stdout=PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(PATIENCE):
            port = int(await child.stdout.readline())
        here = Upstream(child, port, log, "https" if certificate else "http")
        await here.become(behaviour or Behaviour())
        yield here
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()
