"""The quotas of this process as calls see them: leave to start, or why not in time. `core/quota/` decides.

The node is told what happens and says what it wants done. What is about calls and time is done here; `Outside` does
what is about other sidecars and the store.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import anyio

from sidecar.core.quota.event import (
    Asked,
    Began,
    Effect,
    Event,
    Get,
    Go,
    Gone,
    Heard,
    Hinted,
    Jumped,
    Leaving,
    Left,
    Put,
    Refuse,
    Say,
    Send,
    SendAll,
    Told,
    Wait,
    Wake,
    Woke,
)
from sidecar.core.quota.limit import Demand
from sidecar.core.quota.message import Closed
from sidecar.log import defect
from sidecar.model import Failure, Reason
from sidecar.permit import Counts, Dated, Line, Permit
from sidecar.ports import Clock, Random

log = logging.getLogger("sidecar.quota")

JUMP = 0.5  # seconds by which wall and process clock come apart where a machine was put to sleep from outside
SOON = 0.001  # seconds; a wait no longer than that is not told
LATE = 0.05  # seconds past a call's deadline after which nothing more is expected of the node
MAX_CLOSED = 10_000

Tell = Callable[[Wait], object]
Given = Permit | Failure


class Node(Protocol):
    """`core/quota/node.py`."""

    def on(self, event: Event, now: float, jitter: float) -> Iterable[Effect]: ...


class Outside(Protocol):
    """The other sidecars and the store. What comes of it is told to `hear`."""

    def attach(self, hear: Callable[[Event], None]) -> None: ...

    def perform(self, effect: Send | SendAll | Put | Get) -> None: ...


class Timer(Protocol):
    """One moment at which `woke` is called."""

    def attach(self, woke: Callable[[], None]) -> None: ...

    def wake(self, at: float | None) -> None:
        """At this moment, on the clock of `Quotas`, in place of the one before; None: not at all."""

    async def until(self, settled: asyncio.Future[None]) -> None:
        """Return when it is settled."""


class Quotas:
    """Gives leave to exchanges. `elapsed` is a clock of this machine that counts sleep too; by default `clock`'s."""

    def __init__(
        self,
        node: Node,
        outside: Outside,
        timer: Timer,
        clock: Clock,
        random: Random,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self.counts = Counts()
        self.begun: list[tuple[str, float]] = []
        self.elapsed = elapsed or clock.now
        self._node = node
        self._outside = outside
        self._timer = timer
        self._clock = clock
        self._random = random
        self._names = itertools.count(1)
        self._lines: dict[str, Line] = {}
        self._closed: dict[str, float] = {}
        self._all_open = 0.0  # from then on nothing of it is closed
        self._events: deque[Event] = deque()
        self._busy = False
        self._ahead = clock.wall() - self.elapsed()
        self._gone = anyio.Event()
        outside.attach(self.hear)
        timer.attach(self._woke)

    @property
    def waiting(self) -> list[Line]:
        """Who waits now."""
        return [line for line in self._lines.values() if line.answer is None]

    def free(self, demand: Demand) -> Permit | None:
        """Leave for an exchange that no quota is about, unless the provider said to wait. Nobody need be asked."""
        if demand.wants or (self._closed and self.closed(demand.keys)):
            return None
        self.counts.at_once += 1
        return Permit(self, demand.keys)

    def reserve(self, run_id: str, demand: Demand, deadline: float, tell: Tell) -> Given | Coroutine[Any, Any, Given]:
        """Leave for one exchange, in time for it to begin before the deadline; else at once why not, and when it could.
        Where it has to wait, that wait, to be awaited at once.

        Each wait is told to `tell` before it begins.
        """
        left = deadline - self._clock.now()
        if left <= 0:
            return _too_late()
        free = self.free(demand)
        if free is not None:
            return free
        line = self._ask(run_id, demand, left)
        answer = line.answer
        if answer is None or line.waits:
            return self._waited(line, deadline, tell)
        if isinstance(answer, Go) and not answer.earliest <= self.elapsed() <= answer.latest:
            return self._waited(line, deadline, tell)
        del self._lines[line.call]
        return self._taken(line, answer, waited=False)

    def told(self, keys: tuple[str, ...], seconds: float, reason: str = "") -> None:
        """The provider said "not before": obeyed here at once, and by all who share these limits."""
        self._close(keys, seconds)
        self.hear(Told(keys, seconds, reason))

    def hinted(self, hints: Iterable[Hinted]) -> None:
        """What an answer said of limits."""
        for hint in hints:
            self.hear(hint)

    def closed(self, keys: Iterable[str]) -> bool:
        """Whether the provider said to wait, and the time has not come."""
        if not self._closed:
            return False
        now = self.elapsed()
        if now >= self._all_open:
            self._closed.clear()
            return False
        return any(self._closed.get(key, 0.0) > now for key in keys)

    async def leave(self, within: float) -> bool:
        """Hand over what is owned and give back what is held; false where that was not done in so many seconds."""
        self.hear(Leaving())
        with anyio.move_on_after(within):
            await self._gone.wait()
        return self._gone.is_set()

    def hear(self, event: Event) -> None:
        """Tell the node what happened, and do what it wants. What that brings about at once is heard behind it."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._step(self._events.popleft())
        finally:
            self._busy = False

    def _step(self, event: Event) -> None:
        now = self.moment()
        if isinstance(event, Heard) and isinstance(event.message, Closed):
            self._close(event.message.keys, event.message.seconds)
        try:
            if self.begun:
                begun, self.begun = tuple(self.begun), []
                self._node.on(Began(begun), now, 0.0)
            for effect in self._node.on(event, now, self._random.jitter()):
                self._perform(effect)
        except Exception as error:
            log.exception("a defect in the quotas, at %s", type(event).__name__, exc_info=defect(error))
            if isinstance(event, Asked):
                self._settle(event.call, Refuse(event.call, 1.0, "", away=True))

    def moment(self) -> float:
        """Now. Where the machine slept in a way that no clock tells, all leave of before is over by then."""
        now = self.elapsed()
        if abs(self._clock.wall() - now - self._ahead) > JUMP:
            self._jumped(now)
        return now

    def _jumped(self, now: float) -> None:
        self._ahead = self._clock.wall() - now
        self.counts.jumps += 1
        log.warning("the wall clock jumped: quotas that were held are asked for anew, the machine may have been asleep")
        for effect in self._node.on(Jumped(), now, self._random.jitter()):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Go() | Refuse():
                self._settle(effect.call, effect)
            case Wake():
                self._timer.wake(effect.at)
            case Send() | SendAll() | Put() | Get():
                self._outside.perform(effect)
            case Wait():
                line = self._lines.get(effect.call)
                if line is not None:
                    line.bucket = effect.bucket
                    if effect.seconds > SOON:
                        line.waits.append(effect)
                        line.wake()
            case Say():
                log.info("quotas%s: %s", f" ({effect.bucket})" if effect.bucket else "", effect.what)
            case Gone():
                self._gone.set()

    def _settle(self, call: str, answer: Go | Refuse) -> None:
        line = self._lines.get(call)
        if line is not None:
            line.answer = answer
            line.wake()

    def _woke(self) -> None:
        self.hear(Woke())

    # --- one exchange ------------------------------------------------------------------------------------------------

    def _ask(self, run_id: str, demand: Demand, left: float) -> Line:
        """The place of one that asks the node; where that is so, its answer is there."""
        call = f"{next(self._names):x}"
        line = self._lines[call] = Line(call, run_id, demand)
        self.hear(Asked(call, demand, self.elapsed() + left))
        return line

    async def _waited(self, line: Line, deadline: float, tell: Tell) -> Given:
        """Leave, or why not, when that is known. Leave that was over before it was given is asked for again."""
        while True:
            given = await self._given(line, deadline, tell)
            if isinstance(given, Failure) or given.holds():
                return given
            self.counts.void += 1
            given.unused()
            left = deadline - self._clock.now()
            if left <= 0:
                return _too_late()
            line = self._ask(line.run_id, line.demand, left)

    async def _given(self, line: Line, deadline: float, tell: Tell) -> Given:
        try:
            answer = line.answer
            waited = answer is None or bool(line.waits)
            if waited:
                answer = await self._answer(line, deadline, tell)
            if isinstance(answer, Go) and answer.earliest > self.elapsed():
                waited = True
                await self._clock.sleep(answer.earliest - self.elapsed())
        except BaseException:
            self.hear(Left(line.call))
            raise
        finally:
            del self._lines[line.call]
        return self._taken(line, answer, waited=waited)

    def _taken(self, line: Line, answer: Go | Refuse | None, *, waited: bool) -> Given:
        """What the answer means to the call."""
        counts = self.counts
        if isinstance(answer, Go):
            if waited:
                counts.waited += 1
            else:
                counts.at_once += 1
            return Dated(self, line.call, line.demand.keys, answer.latest)
        if answer is None:
            log.error("quotas: a call had no answer by its deadline, for bucket %s", line.bucket or "?")
            self.hear(Left(line.call))
            answer = Refuse(line.call, 1.0, line.bucket, away=True)
        counts.refused += 1
        counts.closed += answer.closed
        counts.away += answer.away
        return _refused(line.demand, answer)

    async def _answer(self, line: Line, deadline: float, tell: Tell) -> Go | Refuse | None:
        """The answer, when it comes; None where it does not. Waits are told meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            while line.waits:
                tell(line.waits.popleft())
            if line.answer is not None:
                return line.answer
            line.settled = loop.create_future()
            with anyio.move_on_after(deadline + LATE - self._clock.now()):
                await self._timer.until(line.settled)
                continue
            return None

    def _close(self, keys: Iterable[str], seconds: float) -> None:
        now = self.elapsed()
        if len(self._closed) > MAX_CLOSED:
            self._closed = {key: until for key, until in self._closed.items() if until > now}
        for key in keys:
            self._closed[key] = max(self._closed.get(key, 0.0), now + seconds)
        self._all_open = max(self._all_open, now + seconds)


def _too_late() -> Failure:
    return Failure(reason=Reason.BEFORE_SEND, detail="the deadline passed before anything was sent")


def _refused(demand: Demand, answer: Refuse) -> Failure:
    provider, wait = demand.family.partition("|")[0], answer.retry_after
    who = f"bucket {answer.bucket} of {provider}"
    reason = Reason.LOCAL_RATE_LIMITED
    if answer.closed:
        detail = f"the provider said to wait; {who} opens in {wait:.1f} s, after the deadline"
        reason = Reason.PROVIDER_RATE_LIMITED
    elif answer.away:
        detail = (
            f"{who} is shared with other sidecars, and none of them could be asked, nor the store; try in {wait:.1f} s"
        )
    else:
        detail = f"{who} is used up; the next unit comes in {wait:.1f} s, after the deadline"
    return Failure(reason=reason, detail=detail, retry_after=wait, bucket=answer.bucket or None)
