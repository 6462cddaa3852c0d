"""Agents that call, in a process of their own: `python -m tests.chaos.load URL PLAN LOG`.

Prints a line when it begins; ends when its plan is done, or when it reads the end of its input and what is under way is
told. Each answer is a line of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sys
import time
import uuid
from pathlib import Path
from typing import IO, Any

import msgspec
import nats
import uvloop
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tests.chaos.told import Plan, Stood, Told, encode

PATIENCE = 40.0  # seconds after the stop for which it asks again
PAUSE = 0.1  # seconds until it asks again where nobody said how long
TICK = 0.005
STOOD_STILL = 0.015
FAILED = "Nats-Service-Error"


class Agents:
    """What all agents of a plan share."""

    def __init__(self, client: Client, plan: Plan, log: IO[bytes]) -> None:
        self._client = client
        self._plan = plan
        self._log = log
        self._dice = random.Random(plan.name)
        self._numbers = itertools.count()
        self._ends = time.monotonic() + plan.seconds if plan.seconds else float("inf")
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._gives_up = float("inf")

    def stop(self) -> None:
        """Begin no more."""
        self._stopped.set()
        self._gives_up = time.monotonic() + PATIENCE

    async def run(self) -> None:
        """Until the plan is done or stopped, and everything that was begun is told."""
        watching = asyncio.create_task(self._watch())
        if self._plan.rate is None:
            await asyncio.gather(*(self._one_after_another() for _ in range(self._plan.agents)))
        else:
            await self._as_they_come(self._plan.rate)
        await asyncio.gather(*self._under_way)
        watching.cancel()

    def _next(self) -> int | None:
        """The number of the next call; None when there is to be none."""
        if self._stopped.is_set() or time.monotonic() >= self._ends:
            return None
        number = next(self._numbers)
        return None if self._plan.calls and number >= self._plan.calls else number

    async def _one_after_another(self) -> None:
        while (number := self._next()) is not None:
            await self._call(number)

    async def _as_they_come(self, rate: float) -> None:
        """Poisson: whoever calls does not wait for the others."""
        due = time.monotonic()
        while True:
            due += self._dice.expovariate(rate)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), max(0.0, due - time.monotonic()))
            number = self._next()
            if number is None:
                return
            task = asyncio.create_task(self._call(number))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _call(self, number: int) -> None:
        """One call; again with the same key until it has a final answer, where the plan says so."""
        plan = self._plan
        title = f"{plan.name}-{number}"
        subject = plan.subjects[number % len(plan.subjects)]
        least, most = plan.timeout_ms
        for attempt in itertools.count(1):
            told, again = await self._ask(subject, title, attempt, self._dice.randint(least, most))
            self._log.write(encode(told) + b"\n")
            if not plan.until_final or again is None or time.monotonic() > self._gives_up:
                return
            await asyncio.sleep(again)

    async def _ask(self, subject: str, title: str, attempt: int, timeout_ms: int) -> tuple[Told, float | None]:
        """What was told, and after how many seconds the same may be asked again; None: that is final."""
        headers = {"Timeout-Ms": str(timeout_ms)} | ({"Idempotency-Key": title} if self._plan.keys else {})
        if self._plan.call_ids:
            headers["Call-Id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, title))
        began = time.monotonic()
        try:
            answer = await self._client.request(
                subject, encode({"title": title}), timeout=timeout_ms / 1000 + self._plan.margin, headers=headers
            )
        except NatsError as error:
            told = Told(title, attempt, timeout_ms, began, time.monotonic(), type(error).__name__)
            return told, PAUSE
        ended, header = time.monotonic(), answer.headers or {}
        body: Any = msgspec.json.decode(answer.data or b"null")
        replayed = header.get("Idempotent-Replayed") == "true"
        if FAILED not in header:
            call_id = str(body.get("call_id", "")) if isinstance(body, dict) else ""
            told = Told(title, attempt, timeout_ms, began, ended, replayed=replayed, call_id=call_id)
            return msgspec.structs.replace(told, attempts=int(header.get("Attempts", "0"))), None
        told = Told(
            title,
            attempt,
            timeout_ms,
            began,
            ended,
            str(body["reason"]),
            side_effect=str(body["side_effect"]),
            attempts=int(body.get("attempts") or 0),
            retry_after=body["retry_after_ms"] / 1000 if body.get("retry_after_ms") is not None else None,
            replayed=replayed,
        )
        return told, (told.retry_after or PAUSE) if body.get("retryable") else None

    async def _watch(self) -> None:
        """Note when this process did not run: what it measured then is its own doing."""
        expected = time.monotonic() + TICK
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            if now - expected > STOOD_STILL:
                self._log.write(encode(Stood(now, now - expected)) + b"\n")
            expected = now + TICK


async def _quiet(_error: Exception) -> None:
    pass


async def _main(url: str, plan: Plan, log: Path) -> None:
    client = await nats.connect(url.split(","), error_cb=_quiet, max_reconnect_attempts=-1, allow_reconnect=True)
    with log.open("wb") as file:
        agents = Agents(client, plan, file)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        running = asyncio.create_task(agents.run())
        sys.stdout.write("\n")
        sys.stdout.flush()
        ended = asyncio.create_task(lines.read())
        await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
        agents.stop()
        await running
        ended.cancel()
    await client.close()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=Plan), Path(sys.argv[3])))
