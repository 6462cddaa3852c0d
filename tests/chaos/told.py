"""What agents are to call, what they were told, and what that says beside the log of the upstream."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.upstream import Log

PATIENCE = 60.0
NO_REPLY = "TimeoutError"
NOBODY = "NoRespondersError"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`rate` calls a second by dice, or `agents` that call one after the other; for so many `seconds` or `calls`, else
    until stopped. Titles are made of `name`; `keys`: each is its call's idempotency key too;
    `call_ids`: and says its call id. `until_final`: the same is
    asked again while its answer says that it may. `timeout_ms`: least and most, by dice; no reply
    `margin` seconds later is none.
    """

    subjects: tuple[str, ...]
    name: str = "t"
    rate: float | None = None
    agents: int = 16
    seconds: float = 0.0
    calls: int = 0
    timeout_ms: tuple[int, int] = (5_000, 5_000)
    margin: float = 5.0
    keys: bool = False
    call_ids: bool = False
    until_final: bool = False


class Told(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """One answer; `reason` is empty for a success, the name of the exception where no answer came. In seconds."""

    title: str
    number: int
    timeout_ms: int
    began: float
    ended: float
    reason: str = ""
    side_effect: str = ""
    attempts: int = 0
    retry_after: float | None = None
    replayed: bool = False
    call_id: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def overrun(self) -> float:
        """Seconds past the deadline at which its answer came; below 0 before it."""
        return self.seconds - self.timeout_ms / 1000


class Stood(msgspec.Struct, frozen=True, tag=True):
    """The agents' process did not run for so long."""

    at: float
    seconds: float


encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Told | Stood] = msgspec.json.Decoder(Told | Stood)


class Answers:
    """All that the agents of a load were told."""

    def __init__(self, lines: Sequence[Told | Stood]) -> None:
        self.told = [line for line in lines if isinstance(line, Told)]
        self.longest_stop = max((line.seconds for line in lines if isinstance(line, Stood)), default=0.0)

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(told.reason or "ok" for told in self.told)

    def last(self) -> dict[str, Told]:
        """The last answer for each title."""
        return {told.title: told for told in self.told}

    def between(self, since: float, until: float) -> Answers:
        """Of the calls that began in between."""
        return Answers([told for told in self.told if since <= told.began < until])


@asynccontextmanager
async def load(folder: Path, url: str, plan: Plan) -> AsyncIterator[Load]:
    """Agents that call until their plan is done, or the block ends."""
    log = folder / f"load-{plan.name}.log"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.load", url, encode(plan), str(log)), stdin=PIPE, stdout=PIPE
    )
    running = Load(child, log)
    try:
        assert child.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await child.stdout.readline()
        yield running
        await running.stop()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()


class Load:
    """Agents in a process of their own."""

    def __init__(self, child: Process, log: Path) -> None:
        self._child = child
        self._log = log

    async def done(self, seconds: float = PATIENCE) -> Answers:
        """Everything they were told, when their plan is done."""
        async with asyncio.timeout(seconds):
            assert await self._child.wait() == 0
        return self._answers()

    @property
    def succeeded(self) -> int:
        """How many successes there are so far."""
        return sum(b'"Told"' in line and b'"reason"' not in line for line in self._log.read_bytes().splitlines())

    async def stop(self) -> Answers:
        """Everything they were told; they begin no more."""
        if self._child.stdin is not None and not self._child.stdin.is_closing():
            self._child.stdin.close()
        return await self.done()

    def _answers(self) -> Answers:
        return Answers([_decoder.decode(line) for line in self._log.read_bytes().splitlines()])


class Reconciled(NamedTuple):
    """What agents know by their last answer for each title, held against what was done."""

    twice: int  # done more than once
    denied: int  # told that nothing was done, and it was
    missing: int  # told that it was done, and it was not
    unknown: int  # told that it may be done: true, whichever it is
    unanswered: int  # nobody answered


def reconciled(answers: Answers, log: Log) -> Reconciled:
    """Every title of these agents."""
    rows = [(log.done[title], told) for title, told in answers.last().items()]
    return Reconciled(
        twice=sum(done > 1 for done, _ in rows),
        denied=sum(bool(done) and (told.side_effect == "none" or told.reason == NOBODY) for done, told in rows),
        missing=sum(not done and (not told.reason or told.side_effect == "done") for done, told in rows),
        unknown=sum(told.side_effect == "unknown" for _, told in rows),
        unanswered=sum(told.reason == NO_REPLY for _, told in rows),
    )


def quantile(share: float, values: Sequence[float]) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
