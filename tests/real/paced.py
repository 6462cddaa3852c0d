"""A server's own limit, said of the connection: three times as many calls as it allows, and not one 429."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from tests.real.ledger import Json, Ledger, Reply

TIMES = 3
SECONDS = 15.0
DEADLINE_MS = 10_000  # a busy machine may take seconds for one message
LEAST_USED = 0.8


class Paced(NamedTuple):
    """A limit of a server: `units` in any `seconds` of the quota, and a call that counts."""

    server: str
    connection: str
    provider: str
    quota: str
    units: int
    seconds: float
    subject: str
    values: Json


async def paced(ledger: Ledger, limit: Paced) -> str:
    """Those that cannot be served in time are refused by us, at once; the others are what the server allows."""
    figures = f"{limit.units}/{limit.seconds:g}"
    await ledger.ok(f"admin.{limit.connection}.{limit.provider}.limit", {"limits": {limit.quota: [figures]}})
    await asyncio.sleep(2 * limit.seconds)  # what was there before is over, by the server's own count
    before = len(ledger.attempts_of(limit.provider))
    pause = limit.seconds / limit.units / TIMES
    asked = []
    for _ in range(int(SECONDS / pause)):
        asked.append(asyncio.create_task(_asked(ledger, limit)))
        await asyncio.sleep(pause)
    replies = await asyncio.gather(*asked)
    statuses = [event.get("http.response.status_code") for event in ledger.attempts_of(limit.provider)[before:]]
    limited = statuses.count(429)
    done = sum(not reply.failed for reply in replies)
    ours = sum(b"LOCAL_RATE_LIMITED" in reply.payload for reply in replies)
    allowed = limit.units + limit.units * SECONDS / limit.seconds
    ledger.check(limited == 0, f"{limit.server} answered 429 {limited} times")
    ledger.check(done + ours == len(replies), f"{len(replies) - done - ours} calls ended otherwise")
    ledger.check(done >= LEAST_USED * allowed, f"{done} calls were done, {allowed:.0f} were allowed")
    ledger.check(ours > 0, "no call was refused, so there were not too many of them")
    return (
        f"{limit.server} with its limit of {figures} s on the connection: {len(replies)} calls in {SECONDS:.0f} s, "
        f"{limited} answers of 429; {done} done, {ours} refused by the sidecar"
    )


async def _asked(ledger: Ledger, limit: Paced) -> Reply:
    return await ledger.ask(limit.subject, limit.values, {"Timeout_Ms": str(DEADLINE_MS)})
