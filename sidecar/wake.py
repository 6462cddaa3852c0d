"""Durable calls that wait although nobody will say their word: it is said again, a few of them now and then.

A word may be lost where somebody emptied the stream of later work, or lost a store that holds it. The record stays, and
says that the call waits and since when. One word too many does no harm, so nobody has to know which are gone.
"""

from __future__ import annotations

import logging

from sidecar.durable import Stage
from sidecar.model import Failure
from sidecar.ports import Clock
from sidecar.store.durable import DurableStore, Seen
from sidecar.submit import Submission
from sidecar.wire.subject import decode_token

log = logging.getLogger("sidecar.queue")

OVERDUE_SECONDS = 600.0  # what waits its turn for longer may be one too many, which costs one look at a record
MOST_READ = 2_000  # records in one sweep
MOST_WOKEN = 64  # words in one sweep
BATCH = 64


class Forgotten:
    """Looks for durable calls whose time came long ago. Where the last sweep ended the next one begins."""

    def __init__(self, store: DurableStore, submission: Submission, clock: Clock) -> None:
        self._store = store
        self._submission = submission
        self._clock = clock
        self._after: dict[str, str] = {}  # of each tenant's token, the last id looked at

    async def wake(self, token: str) -> int:
        """Say the words of this tenant's calls that are long overdue; how many."""
        tenant = decode_token(token)
        places = [] if tenant is None else await self._store.places(tenant)
        if isinstance(places, Failure):
            log.info("whether durable calls of %s are forgotten cannot be seen: %s", token, places.detail)
            return 0
        after = self._after.pop(token, "")
        later = sorted((place for place in places if place.call_id > after), key=lambda place: place.call_id)
        woken = 0
        for start in range(0, min(len(later), MOST_READ), BATCH):
            several = later[start : start + BATCH]
            for seen in await self._store.several(several):
                if woken < MOST_WOKEN and isinstance(seen, Seen) and self._overdue(seen):
                    if await self._submission.put(seen.place, None) is not None:
                        return woken  # it is full, or away: the next sweep looks at these again
                    woken += 1
            if woken >= MOST_WOKEN or start + BATCH >= MOST_READ:
                self._after[token] = several[-1].call_id
                break
        if woken:
            log.info("%d durable calls of %s wait for long; their words are said again", woken, token)
        return woken

    def _overdue(self, seen: Seen) -> bool:
        call = seen.call
        since = call.submitted if call.due is None else call.due
        return call.stage is Stage.WAITING and self._clock.wall() - since > OVERDUE_SECONDS
