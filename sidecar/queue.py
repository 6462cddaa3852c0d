"""Durable calls run: words are taken from the queue tenant by tenant, and each is followed to its end (`delivery.py`).

Every tenant has room for one call of its own, whatever the others have waiting; more than that comes from what all
share, of which one tenant gets an eighth at most.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from typing import NoReturn

import anyio
from anyio.abc import TaskGroup

from sidecar.delivery import Deliveries, Taken
from sidecar.durable_ground import DurableGround
from sidecar.log import defect
from sidecar.model import Reason
from sidecar.ports import StoreUnavailable, Word
from sidecar.scope import Scope
from sidecar.submit import Submission
from sidecar.wake import Forgotten
from sidecar.wire.subject import encode_token

log = logging.getLogger("sidecar.queue")

SHARE = 8  # of what runs at once, one tenant gets one part in so many
LOOK_SECONDS = 5.0  # a tenant's first durable call, taken in by another sidecar, is found after so long at most
TAKE_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
LAST_SECONDS = 2.0  # for calls that were told to stop to say so
SWEEP_SECONDS = 600.0  # about; between two looks for calls whose words are gone
BEATS = 3  # in the time that a word is held


class DurableCalls:
    """Takes and runs the durable calls of a scope, at most so many at once."""

    def __init__(
        self,
        on: DurableGround,
        deliveries: Deliveries,
        submission: Submission,
        forgotten: Forgotten,
        *,
        scope: Scope,
        most: int,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._on = on
        self._deliveries = deliveries
        self._forgotten = forgotten
        self._scope = scope
        self._sweep_seconds = sweep_seconds
        self._most = most
        self._share = max(1, most // SHARE)
        self._running: Counter[str] = Counter()  # by tenant's token
        self._taken: set[Taken] = set()
        self._changed = anyio.Event()
        self._news = anyio.Event()
        self._told: set[str] = set()
        submission.opened = self._opened
        self._takers: anyio.CancelScope | None = None
        self._beats = anyio.CancelScope()
        self._grace: anyio.CancelScope | None = None
        self._ending = False
        self._hurried = False

    async def serve(self) -> None:
        """Take and run until `stop`; returns when nothing runs any more."""
        async with anyio.create_task_group() as works:
            works.start_soon(self._beat)
            if not self._ending:
                async with anyio.create_task_group() as takers:
                    self._takers = takers.cancel_scope
                    takers.start_soon(self._find_tenants, takers, works)
            await self._all_ended()
            self._beats.cancel()

    async def stop(self, grace: float) -> int:
        """Begin no more, finish what runs within `grace` seconds; what is not begun stays in the queue.

        Returns how many had to be given up; those of them that changed nothing run elsewhere.
        """
        self._ending = True
        if self._takers is not None:
            self._takers.cancel()
        if not self._hurried:
            with anyio.move_on_after(grace) as self._grace:
                await self._all_ended()
        given_up = [taken.stop.tell(Reason.SHUTTING_DOWN) for taken in self._taken if taken.stop is not None]
        with anyio.move_on_after(LAST_SECONDS):
            await self._all_ended()
        with contextlib.suppress(StoreUnavailable):
            for word in await self._on.queue.close():
                await self._on.queue.give_back(word)
        return sum(given_up)

    @property
    def in_flight(self) -> int:
        return len(self._taken)

    def hurry(self) -> None:
        """Give up now what runs, whatever is left of the grace."""
        self._hurried = True
        if self._grace is not None:
            self._grace.cancel()

    async def _all_ended(self) -> None:
        while self._taken:
            await self._changed.wait()

    # --- taking ------------------------------------------------------------------------------------------------------

    async def _find_tenants(self, takers: TaskGroup, works: TaskGroup) -> NoReturn:
        """Begin to take the words of each tenant that has some."""
        known: set[str] = set()
        while True:
            for tenant in {*self._told, *await self._tenants()} - known:
                known.add(tenant)
                for later in (False, True):
                    takers.start_soon(self._take, works, tenant, later)
                takers.start_soon(self._wake, tenant)
            with anyio.move_on_after(LOOK_SECONDS):
                await self._news.wait()

    def _opened(self, tenant: str) -> None:
        """A tenant's first durable call was taken in here: it need not be found."""
        self._told.add(tenant)
        self._news.set()
        self._news = anyio.Event()

    async def _tenants(self) -> list[str]:
        if self._scope.tenant is not None:
            return [encode_token(self._scope.tenant)]
        try:
            return await self._on.queue.tenants()
        except StoreUnavailable as error:
            log.info("whose durable calls wait cannot be seen: %s", error)
            return []

    async def _wake(self, tenant: str) -> NoReturn:
        """Now and then, those that wait and whose word is gone."""
        while True:
            await anyio.sleep(self._sweep_seconds * (0.5 + self._on.random.jitter()))
            with contextlib.suppress(StoreUnavailable):
                await self._forgotten.wake(tenant)

    async def _take(self, works: TaskGroup, tenant: str, later: bool) -> NoReturn:  # noqa: FBT001  # start_soon has no keywords
        """Take one tenant's words, one after the other, as there is room to run them."""
        pause, opened = FIRST_PAUSE, False
        while True:
            try:
                if not opened:  # it may be what is gone
                    await self._on.queue.open(tenant)
                    opened = True
                await self._room(tenant)
                word = await self._on.queue.take(tenant, later=later, within=TAKE_SECONDS)
            except StoreUnavailable as error:
                log.info("durable calls of %s cannot be taken: %s", tenant, error)
                opened = False
                await anyio.sleep(pause * (0.5 + self._on.random.jitter()))
                pause = min(LONGEST_PAUSE, 2 * pause)
                continue
            pause = FIRST_PAUSE
            if word is not None:
                works.start_soon(self._work, self._begins(tenant, word))

    async def _room(self, tenant: str) -> None:
        """Return when one more of this tenant may run."""
        while self._running[tenant] and (self._running[tenant] >= self._share or len(self._taken) >= self._most):
            await self._changed.wait()

    def _begins(self, tenant: str, word: Word) -> Taken:
        taken = Taken(tenant, word)
        self._running[tenant] += 1
        self._taken.add(taken)
        self._on.counters.durable_in_flight(len(self._taken))
        return taken

    def _ends(self, taken: Taken) -> None:
        self._running[taken.tenant] -= 1
        self._taken.remove(taken)
        self._on.counters.durable_in_flight(len(self._taken))
        self._changed.set()
        self._changed = anyio.Event()

    async def _beat(self) -> None:
        """Say of every word that is being worked on that it is."""
        with self._beats:
            while True:
                await anyio.sleep(self._on.queue.hold_seconds / BEATS)
                for taken in tuple(self._taken):
                    with contextlib.suppress(StoreUnavailable):
                        await self._on.queue.hold(taken.word)

    async def _work(self, taken: Taken) -> None:
        try:
            await self._deliveries.follow(taken)
        except StoreUnavailable as error:
            log.info("a durable call of %s is left to be taken again: %s", taken.tenant, error)
        except Exception as defective:
            log.exception("a durable call of %s ended in a defect", taken.tenant, exc_info=defect(defective))
        finally:
            self._ends(taken)
